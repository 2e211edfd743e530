"""The text side of a causal checkpoint: prompts to symbols and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trtforge.errors import InputError, ModelError
from trtforge.speech.generation.checkpoints import (
    read_config_and_tokenizer,
    read_generation,
    stop_symbols,
)


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    Parameters
    ----------
    role : who speaks.
    content : what is said.
    """

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class PromptSide:
    """How a checkpoint reads and writes text.

    Parameters
    ----------
    tokenizer : of `transformers`.
    stop : symbols that end a text.
    """

    tokenizer: Any
    stop: frozenset[int]

    @classmethod
    def load(cls, checkpoint: str) -> PromptSide:
        """Read configuration and tokenizer; no weights are read and PyTorch is not needed.

        Parameters
        ----------
        checkpoint : folder, or id of a model hub.

        Raises
        ------
        MissingExtraError : `transformers` is not installed.
        ModelError : there is no such checkpoint, it has an encoder, or it does not say what ends a text
            with symbols.
        """
        config, tokenizer = read_config_and_tokenizer(checkpoint)
        if config.is_encoder_decoder:
            raise ModelError(
                f"{checkpoint} is of kind {config.model_type!r}, which has an encoder; a causal language "
                "model was expected"
            )
        told = read_generation(checkpoint).get("eos_token_id")
        end = told if told is not None else getattr(config, "eos_token_id", None)
        end = tokenizer.eos_token_id if end is None else end
        if end is None:
            raise ModelError(f"{checkpoint} does not say its eos_token_id, the symbol that ends a text")
        return cls(tokenizer, stop_symbols(end, checkpoint))

    def encode(self, prompt: str | Sequence[Message]) -> tuple[int, ...]:
        """Return the symbols of a prompt.

        Parameters
        ----------
        prompt : a text to go on with, as it is; or turns, which the checkpoint's chat template joins, and
            blank lines where it has none.

        Raises
        ------
        InputError : the prompt is empty, or the template refuses the roles.
        """
        if isinstance(prompt, str):
            symbols = self.tokenizer(prompt, verbose=False)["input_ids"]
        elif not self.tokenizer.chat_template:
            text = "\n\n".join(turn.content for turn in prompt)
            symbols = self.tokenizer(f"{text}\n\n" if text else "", verbose=False)["input_ids"]
        else:
            turns = [asdict(turn) for turn in prompt]
            try:
                text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            except Exception as error:  # the checkpoint's own template raises what it likes
                raise InputError(f"the checkpoint's chat template refuses the prompt: {error}") from error
            symbols = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if not symbols:
            raise InputError("the prompt is empty")
        return tuple(symbols)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of symbols."""
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text.strip()
