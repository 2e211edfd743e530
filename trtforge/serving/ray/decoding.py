"""Read audio files and turn them into features, inside Ray's tasks: what fails becomes a row that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trtforge._files import file_sha256
from trtforge._optional import require
from trtforge.audio import Features, decode_audio
from trtforge.errors import ClipError, TrtforgeError
from trtforge.serving.ray.listing import ListedClip

Columns = Mapping[str, Sequence[Any]]

PURPOSE = "transcribe many clips"


def digest_files(clips: Sequence[ListedClip]) -> list[tuple[str, str]]:
    """Return the SHA-256 of each clip's file, or the reason why it cannot be read.

    Returns
    -------
    One (digest, reason) for each clip, one of the two empty.
    """
    results = []
    for clip in clips:
        try:
            results.append((file_sha256(clip.path), ""))
        except OSError as error:
            results.append(("", f"clip {clip.id!r}: cannot read the file: {error}"))
    return results


def decode_table(table: Any, features: Features) -> Any:
    """Decode a batch of clips as `decode_rows` does, from one Arrow table into another."""
    arrow = require("pyarrow", PURPOSE)
    columns = decode_rows(table.to_pydict(), features)
    # The samples of a few long clips exceed what offsets of 32 bits can tell apart.
    values = arrow.array(columns.pop("features"), arrow.large_binary())
    return arrow.table({**columns, "features": values})


def decode_rows(columns: Columns, features: Features) -> dict[str, list[Any]]:
    """Decode a batch of clips.

    Parameters
    ----------
    columns : ``id``, ``digest`` and ``path`` of each clip.
    features : what turns samples into the network's input.

    Returns
    -------
    ``id`` and ``digest`` as they came; ``features``, the values as float32 bytes in C order; ``shape``, their
    axes; ``num_frames``; ``error_code`` and ``error``, empty where all went well.
    """
    rows = [
        {"id": str(clip_id), "digest": str(digest), **_decode(str(path), str(clip_id), features)}
        for clip_id, digest, path in zip(columns["id"], columns["digest"], columns["path"], strict=True)
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _decode(path: str, clip_id: str, features: Features) -> dict[str, Any]:
    try:
        audio = decode_audio(path, sampling_rate=features.sampling_rate, clip_id=clip_id)
        if len(audio) < features.min_num_samples:
            raise ClipError(
                f"clip {clip_id!r}: {len(audio)} samples at {features.sampling_rate} Hz, the features need "
                f"{features.min_num_samples}",
                clip_id=clip_id,
            )
        values = np.ascontiguousarray(features(audio), np.float32)
    except TrtforgeError as error:
        return _failed(error.code, error.message)
    except Exception as error:  # one clip must never end the job of all others
        return _failed("exception", f"clip {clip_id!r}: {error!r}")
    return {
        "features": values.tobytes(),
        "shape": ",".join(map(str, values.shape)),
        "num_frames": features.num_frames(len(audio)),
        "error_code": "",
        "error": "",
    }


def _failed(code: str, reason: str) -> dict[str, Any]:
    return {"features": b"", "shape": "", "num_frames": 0, "error_code": code, "error": reason}
