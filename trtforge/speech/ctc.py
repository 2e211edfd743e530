"""Read text from the output of a network trained with connectionist temporal classification."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trtforge.errors import ConfigError, ExecutionError, InputError, ModelError
from trtforge.model import DECODER_KEY, ModelSource, load_model, model_metadata, model_outputs
from trtforge.speech.ctc_beam import PrefixBeam

if TYPE_CHECKING:
    import onnx

_EXAMPLE = '{"kind": "ctc", "vocabulary": ["a", "b"], "blank": 2, "output": "logits", "stride": 2}'


@dataclass(frozen=True)
class CtcDecoder:
    """CTC decoding: the best symbol of each frame, repeats merged, blanks dropped; or a beam search.

    Parameters
    ----------
    vocabulary : text of each symbol, in the order of the network's last axis; a space is a symbol too.
    blank : index of the blank on that axis. It may point at an entry of ``vocabulary``, whose text is then
        never used, or be ``len(vocabulary)``: one past the last symbol.
    output : name of the output that holds the scores.
    frames_per_output : feature frames that make one output frame (the network's stride in time).
    beam_width : texts that a prefix beam search keeps from frame to frame, for the likeliest text over all
        its alignments; 1 takes the best symbol of each frame. It is no part of the network's metadata.

    Raises
    ------
    ConfigError : a setting is out of range.

    References
    ----------
    A. Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with
    Recurrent Neural Networks", ICML 2006, section 3.2 (best path decoding). For the beam see `PrefixBeam`.
    """

    vocabulary: tuple[str, ...]
    blank: int
    output: str = "logits"
    frames_per_output: int = 1
    beam_width: int = 1

    def __post_init__(self) -> None:
        if not self.vocabulary:
            raise ConfigError("the vocabulary is empty", hint="list the text of every symbol in output order")
        if not 0 <= self.blank <= len(self.vocabulary):
            raise ConfigError(
                f"blank must lie in 0 to {len(self.vocabulary)} for {len(self.vocabulary)} symbols, "
                f"got {self.blank}"
            )
        if self.frames_per_output < 1:
            raise ConfigError(f"frames_per_output must be at least 1, got {self.frames_per_output}")
        if self.beam_width < 1:
            raise ConfigError(
                f"beam_width must be 1 or more, got {self.beam_width}", settings=("beam_width",)
            )

    @classmethod
    def for_model(cls, model: ModelSource) -> CtcDecoder:
        """Make the decoder that a network asks for in its ONNX metadata.

        Parameters
        ----------
        model : path of an ``.onnx`` file or a loaded model, with the key ``trtforge.decoder``.

        Raises
        ------
        ModelError : the key is missing or malformed, or does not fit the network's outputs.
        """
        loaded = load_model(model)
        text = model_metadata(loaded).get(DECODER_KEY)
        if text is None:
            raise ModelError(
                f"the network does not say how its output is read: its metadata lacks {DECODER_KEY!r}",
                hint="state it once: trtforge annotate MODEL --symbols FILE -o ONNX, or in Python "
                "trtforge.annotate with a CtcDecoder",
            )
        decoder = cls._from_metadata(text)
        decoder.check(loaded)
        return decoder

    def check(self, model: onnx.ModelProto) -> None:
        """Raise `ModelError` unless the network has the output, with an axis of as many symbols."""
        specs = {spec.name: spec for spec in model_outputs(model)}
        found = specs.get(self.output)
        if found is None:
            raise ModelError(f"the decoder reads output {self.output!r}, the network has {list(specs)}")
        symbols = found.shape[2] if len(found.shape) == 3 else None
        if found.shape and (symbols is None or (isinstance(symbols, int) and symbols != self.num_symbols)):
            raise ModelError(
                f"the decoder reads [batch, time, {self.num_symbols}], the network gives {found}",
                hint=f"the vocabulary has {len(self.vocabulary)} symbols and the blank is {self.blank}",
            )

    @classmethod
    def _from_metadata(cls, text: str) -> CtcDecoder:
        problem = ModelError(
            f"{DECODER_KEY} is malformed: {text[:120]!r}", hint=f"write it like this: {_EXAMPLE}"
        )
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            raise problem from None
        if not isinstance(value, dict) or not _is_text_list(value.get("vocabulary")):
            raise problem
        if value.get("kind") != "ctc":
            raise ModelError(f"{DECODER_KEY} asks for a {value.get('kind')!r} decoder, known is 'ctc'")
        blank, output, stride = value.get("blank"), value.get("output"), value.get("stride", 1)
        if type(blank) is not int or type(stride) is not int or not isinstance(output, str):
            raise problem
        try:
            return cls(tuple(value["vocabulary"]), blank, output, stride)
        except ConfigError as error:
            raise ModelError(f"{DECODER_KEY} is wrong: {error.message}") from error

    def metadata(self) -> str:
        """Return the JSON text that a network stores under ``trtforge.decoder``."""
        return json.dumps(
            {
                "kind": "ctc",
                "vocabulary": list(self.vocabulary),
                "blank": self.blank,
                "output": self.output,
                "stride": self.frames_per_output,
            },
            ensure_ascii=False,
        )

    @property
    def num_symbols(self) -> int:
        """Size of the network's last axis, the blank counted."""
        return max(len(self.vocabulary), self.blank + 1)

    def beam(self) -> PrefixBeam:
        """Begin a beam search over one recording."""
        begins_word = [index for index, text in enumerate(self.vocabulary) if text[:1].isspace()]
        return PrefixBeam(self.blank, self.beam_width, settling=begins_word or range(self.num_symbols))

    def output_lengths(self, output: str, num_frames: Sequence[int]) -> list[int] | None:
        """Return the true length of each row in output frames; None for an output that it does not read."""
        if output != self.output:
            return None
        return [math.ceil(count / self.frames_per_output) for count in num_frames]

    def decode(self, outputs: Mapping[str, NDArray[Any]], num_frames: Sequence[int] = ()) -> list[str]:
        """Read one text for each row.

        Parameters
        ----------
        outputs : output name to array; scores are float [batch, time, symbols], logits or log-probabilities.
        num_frames : true length of each row in feature frames, int [batch]; empty means nothing is padded.

        Returns
        -------
        One text for each row, runs of spaces merged, none at the ends.

        Raises
        ------
        InputError : the output is missing or of another shape, or the lengths do not fit it.
        ExecutionError : a score within a row's length is NaN.
        """
        scores = self._scores(outputs)
        batch, time, _ = scores.shape
        lengths = self.output_lengths(self.output, num_frames) if len(num_frames) else [time] * batch
        if lengths is None or len(lengths) != batch:
            raise InputError(f"output {self.output!r} has {batch} rows, num_frames has {len(num_frames)}")
        for row, length in enumerate(lengths):
            if not 0 <= length <= time:
                raise InputError(
                    f"row {row}: {num_frames[row]} feature frames make {length} output frames, "
                    f"output {self.output!r} has {time}",
                    hint=f"frames_per_output is {self.frames_per_output}; is that the network's stride?",
                )
            if np.isnan(scores[row, :length]).any():
                raise ExecutionError(f"output {self.output!r} has NaN in row {row}; it has no text")
        return [self._text(self._symbols(scores[row, :length])) for row, length in enumerate(lengths)]

    def _scores(self, outputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        if self.output not in outputs:
            raise InputError(f"the decoder reads output {self.output!r}, got {sorted(outputs)}")
        scores = np.asarray(outputs[self.output])
        if scores.ndim != 3 or scores.shape[2] != self.num_symbols:
            raise InputError(
                f"output {self.output!r} must be [batch, time, {self.num_symbols}], got {list(scores.shape)}"
            )
        return scores

    def _symbols(self, scores: NDArray[Any]) -> list[int]:
        """Return the symbols of one row, whose scores are [time, symbols]."""
        if self.beam_width > 1:
            beam = self.beam()
            return [one.symbol for one in (*beam.push(scores), *beam.finish())]
        best = scores.argmax(axis=1)
        is_new = np.ones(best.shape, dtype=bool)
        is_new[1:] = best[1:] != best[:-1]
        symbols: list[int] = best[is_new & (best != self.blank)].tolist()
        return symbols

    def _text(self, symbols: Sequence[int]) -> str:
        return " ".join("".join(self.vocabulary[index] for index in symbols).split())


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
