"""The actor that holds the network: it answers for every clip, and dies where its GPU is lost."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trtforge._files import sha256
from trtforge._optional import require
from trtforge.audio import Features
from trtforge.errors import DeviceLostError, OutOfMemoryError, TrtforgeError
from trtforge.serving.ray.decoding import PURPOSE
from trtforge.serving.ray.running import RunnerSource
from trtforge.speech import CtcDecoder
from trtforge.speech.stitching import Runner


@dataclass(frozen=True)
class Row:
    """One decoded clip.

    Parameters
    ----------
    id, digest : of the clip.
    features : float32 [..., num_frames].
    num_frames : true length.
    """

    id: str
    digest: str
    features: NDArray[np.float32]
    num_frames: int


def texts_of(runner: Runner, rows: Sequence[Row], features: Features, decoder: CtcDecoder) -> list[str]:
    """Run clips together, padded with zeros to the longest, and read the output.

    Raises
    ------
    TrtforgeError : the network failed, or gave scores that are no numbers.
    """
    longest = max(row.features.shape[-1] for row in rows)
    batch = np.zeros((len(rows), *rows[0].features.shape[:-1], longest), np.float32)
    for target, row in zip(batch, rows, strict=True):
        target[..., : row.features.shape[-1]] = row.features
    return decoder.decode(runner({features.input_name: batch}), [row.num_frames for row in rows])


class Recogniser:
    """A network in a process of its own; Ray Data calls it with batches of decoded clips.

    Parameters
    ----------
    source : the network or engine.
    features, decoder : how its input is made and its output read.
    attempts : handle of the job's `Attempts`.
    max_deaths : as in `ManySettings`.
    num_threads : as in `ManySettings`.

    Raises
    ------
    TrtforgeError : it is not the job's network, or cannot be run here.
    """

    def __init__(
        self,
        *,
        source: RunnerSource,
        features: Features,
        decoder: CtcDecoder,
        attempts: Any,
        max_deaths: int = 2,
        num_threads: int = 1,
    ) -> None:
        self._ray, self._arrow = require("ray", PURPOSE), require("pyarrow", PURPOSE)
        self.features, self.decoder = features, decoder
        self._attempts, self._max_deaths = attempts, max_deaths
        self.runner = source.open(num_threads=num_threads)

    def __call__(self, table: Any) -> Any:
        """Transcribe a batch; a clip that could not be decoded passes through with its error.

        Parameters
        ----------
        table : Arrow table of what `decode_rows` returns.

        Returns
        -------
        Arrow table of ``id``, ``digest``, ``num_frames``, ``text``, ``error_code``, ``error`` and
        ``retryable``, one of each for each clip, in order.
        """
        told = table.drop_columns(["features"]).to_pylist()
        good = [
            Row(
                row["id"],
                row["digest"],
                np.frombuffer(values.as_buffer(), np.float32).reshape(
                    [int(size) for size in row["shape"].split(",")]
                ),
                row["num_frames"],
            )
            for row, values in zip(told, table["features"], strict=True)
            if not row["error_code"]
        ]
        answers = self._answer(good) if good else {}
        results = [
            {name: row[name] for name in ("id", "digest", "num_frames")}
            | (answers.get(row["id"]) or _error(row["error_code"], row["error"]))
            for row in told
        ]
        return self._arrow.Table.from_pylist(results)

    def texts(self, rows: Sequence[Row]) -> list[str]:
        """Run the network on clips, padded to the longest, and read its output.

        Raises
        ------
        TrtforgeError : the network failed, or gave scores that are no numbers.
        """
        return texts_of(self.runner, rows, self.features, self.decoder)

    def _answer(self, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
        """Return the answer of each clip by id; what cannot run together runs alone."""
        key = sha256("\n".join(row.digest for row in rows).encode())
        if self._ray.get(self._attempts.begin.remote(key)) >= self._max_deaths:
            if len(rows) > 1:
                return self._one_by_one(rows)
            return {
                rows[0].id: _error(
                    "poisoned",
                    f"clip {rows[0].id!r} was begun {self._max_deaths} times, and its process died each time",
                )
            }
        answers = self._try(rows)
        # Not waited for: a process's calls come in order, so it is done before the next batch begins.
        self._attempts.finish.remote(key)
        return answers

    def _try(self, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
        try:
            texts = self.texts(rows)
        except DeviceLostError:
            # Nothing in this process can use the GPU again; Ray starts another.
            os._exit(1)
        except OutOfMemoryError as error:
            if len(rows) == 1:
                return {rows[0].id: _error(error.code, error.message, retryable=True)}
            half = len(rows) // 2
            return {**self._answer(rows[:half]), **self._answer(rows[half:])}
        except Exception as error:  # one clip must never end the job of all others
            if len(rows) > 1:
                return self._one_by_one(rows)
            known = isinstance(error, TrtforgeError)
            code = error.code if isinstance(error, TrtforgeError) else "exception"
            reason = str(error) if known else repr(error)
            return {rows[0].id: _error(code, f"clip {rows[0].id!r}: {reason}")}
        return {row.id: _error("", "", text=text) for row, text in zip(rows, texts, strict=True)}

    def _one_by_one(self, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
        return {clip_id: answer for row in rows for clip_id, answer in self._answer([row]).items()}


def _error(code: str, reason: str, *, text: str = "", retryable: bool = False) -> dict[str, Any]:
    return {"text": text, "error_code": code, "error": reason, "retryable": retryable}
