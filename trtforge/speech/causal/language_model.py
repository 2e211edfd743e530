"""Continue prompts with a causal checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence

from trtforge._closing import Closing
from trtforge._progress import OnProgress
from trtforge.errors import ConfigError, InputError
from trtforge.runtime import Session
from trtforge.speech.causal.networks import Device, open_decoder
from trtforge.speech.causal.prompts import Message, PromptSide
from trtforge.speech.causal.values import Completion
from trtforge.speech.generation import Generated, Pick, Request, RowDecoder, Seat, generate
from trtforge.speech.generation.decoder import Network
from trtforge.speech.generation.engine_profiles import largest_size
from trtforge.speech.generation.loop import common_prefix

_PREFILL = 128

Tokens = tuple[int, ...]


class LanguageModel(Closing):
    """A causal checkpoint, ready to run.

    Rows keep their keys and values between calls: where as many prompts or fewer than rows are given, each is
    read from where it differs from the prompt before in its row. A prompt that grows at its end, such as the
    transcript of a talk that goes on, costs only what was added.

    Parameters
    ----------
    prompts : its text side.
    decoder : the network that `export_causal` wrote, in an `OnnxRunner`; or its engine, in a `Session`.
    num_positions : symbols that a row can hold.
    max_batch : most prompts at a time; an engine has its own.

    Raises
    ------
    ConfigError : ``max_batch`` is below 1.
    """

    def __init__(self, prompts: PromptSide, decoder: Network, num_positions: int, max_batch: int = 8) -> None:
        if max_batch < 1:
            raise ConfigError(f"max_batch must be 1 or more, got {max_batch}", settings=("max_batch",))
        self.prompts, self.decoder = prompts, decoder
        self.num_positions, self.max_batch, self._max_prefill = num_positions, max_batch, _PREFILL
        if isinstance(decoder, Session):
            self.max_batch = largest_size(decoder.profiles, "tokens", 0)
            self.num_positions = largest_size(decoder.profiles, "self_key_0", 2)
            self._max_prefill = largest_size(decoder.profiles, "tokens", 1)
        self._rows: RowDecoder | None = None
        self._held: list[Tokens] = []

    @classmethod
    def load(
        cls,
        checkpoint: str | os.PathLike[str],
        *,
        device: Device = "cpu",
        max_batch: int = 8,
        max_positions: int = 4096,
        num_threads: int | None = None,
    ) -> LanguageModel:
        """Load a checkpoint of `transformers` without an encoder, such as TinyLlama or Phi-3.

        Parameters
        ----------
        checkpoint : folder of a checkpoint, or id of a model hub; or a folder that `export_language_model`
            wrote, which needs no PyTorch.
        device : ``cpu`` for ONNX Runtime; ``gpu`` for the engine that `build_language_model` put into the
            folder.
        max_batch : most prompts at a time; an engine was built for a number of its own.
        max_positions : most symbols of a prompt and its text together.
        num_threads : threads inside an operator on the CPU; all usable cores by default.

        Raises
        ------
        MissingExtraError : a package is not installed; the message says which.
        ConfigError : a number is below 1, or the device is unknown.
        NoGpuError : there is no GPU for the engine.
        ModelError : there is no such checkpoint, or it is of another kind.
        """
        path = os.fspath(checkpoint)
        prompts = PromptSide.load(path)
        network, positions = open_decoder(path, device, max_positions=max_positions, num_threads=num_threads)
        return cls(prompts, network, positions, max_batch)

    def close(self) -> None:
        """Give the network and its rows back; closing twice does nothing."""
        self._forget()
        self.decoder.close()  # type: ignore[attr-defined]

    def complete(
        self,
        prompts: Sequence[str | Sequence[Message]],
        *,
        max_new_tokens: int = 128,
        pick: Pick | None = None,
        on_progress: OnProgress | None = None,
    ) -> tuple[Completion, ...]:
        """Continue prompts, greedily unless asked otherwise.

        Of what a checkpoint says of generation, only the symbols that end a text are taken: what it says of
        drawing and of penalties for repetition is not, see ``pick``.

        Parameters
        ----------
        prompts : each a text or turns, as `PromptSide.encode` takes them.
        max_new_tokens : most symbols of each continuation; fewer where a row has no room for more.
        pick : chooses each symbol on the host, such as `Sample` and `NoRepeat`; None takes the likeliest.
        on_progress : called with the number of finished texts and of all.

        Returns
        -------
        One continuation for each prompt, in order.

        Raises
        ------
        InputError : ``prompts`` is one string, or a prompt is empty or leaves no room; nothing has run then.
        ConfigError : ``max_new_tokens`` is below 1.
        TrtforgeError : the network failed.
        """
        if isinstance(prompts, str):
            raise InputError("prompts must be a list of prompts, got one string", hint="pass [prompt]")
        given = [self.prompts.encode(prompt) for prompt in prompts]
        for index, tokens in enumerate(given):
            if len(tokens) > self.num_positions:
                raise InputError(
                    f"prompt {index} has {len(tokens)} symbols, a row can hold {self.num_positions}",
                    hint="shorten it, or load the checkpoint with a greater max_positions",
                )
        rows = self._rows_for(len(given))
        is_known = len(given) <= rows.num_rows
        held = [
            min(common_prefix(before, tokens), len(tokens) - 1) if is_known else 0
            for before, tokens in zip([*self._held, *[()] * len(given)], given, strict=False)
        ]
        # What a failure leaves in the rows is not known.
        self._held = [()] * rows.num_rows
        seats = (
            Seat(
                Request(tokens, max_new_tokens, self.prompts.stop, pick=pick, key=index), num_held=held[index]
            )
            for index, tokens in enumerate(given)
        )
        done: dict[int, Generated] = {}
        for generated in generate(rows, seats, max_prefill=self._max_prefill):
            done[generated.request.key] = generated
            if on_progress is not None:
                on_progress(len(done), len(given))
        if is_known:
            # The last symbol given was chosen, and never fed.
            self._held = [(*tokens, *done[index].tokens)[:-1] for index, tokens in enumerate(given)]
            self._held += [()] * (rows.num_rows - len(given))
        return tuple(
            Completion(
                self.prompts.decode(done[index].tokens),
                done[index].tokens,
                done[index].mean_log_probability,
                done[index].stopped,
                len(tokens),
                held[index],
            )
            for index, tokens in enumerate(given)
        )

    def count(self, prompt: str | Sequence[Message]) -> int:
        """Return how many symbols a prompt has."""
        return len(self.prompts.encode(prompt))

    def _rows_for(self, count: int) -> RowDecoder:
        """Return rows for so many prompts; those of an engine are as many as it was built for."""
        wanted = self.max_batch if isinstance(self.decoder, Session) else max(1, min(self.max_batch, count))
        if self._rows is None or self._rows.num_rows != wanted:
            self._forget()
            self._rows = RowDecoder(self.decoder, num_rows=wanted, num_positions=self.num_positions)
            self._held = [()] * wanted
        return self._rows

    def _forget(self) -> None:
        if self._rows is not None:
            self._rows.close()
        self._rows, self._held = None, []
