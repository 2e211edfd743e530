"""One clip: what is known of it, and whether its audio file bears that out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trtforge._files import file_sha256, sha256
from trtforge.audio.decode import probe_audio
from trtforge.audio.manifest import ManifestEntry
from trtforge.errors import ClipError

# A lossy codec's own delay stays below this; a truncated clip does not.
_DURATION_TOLERANCE = 0.1


@dataclass(frozen=True)
class Clip:
    """One recording and what is known of it.

    Parameters
    ----------
    id : unique in its set.
    path : of the audio file, relative to the set's folder where it has one; empty where there is no file.
    text : what is said; None where nobody wrote it down, empty where nothing is said.
    duration : in seconds.
    num_samples : samples of one channel, at the file's own sampling rate.
    sampling_rate : of the file, in Hz.
    sha256 : of the file, in hexadecimal.
    license : under which the clip may be used, None where the manifest does not say.
    strata : axis to value, such as ``{"noise": "babble"}``.
    recipe : how the clip was made or where it was taken from, as plain JSON values.
    """

    id: str
    path: str
    text: str | None
    duration: float
    num_samples: int
    sampling_rate: int
    sha256: str
    license: str | None = None
    strata: Mapping[str, str] = field(default_factory=dict, hash=False)
    recipe: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the clip's line in a manifest; what is not known is left out."""
        line = asdict(self)
        return {key: value for key, value in line.items() if value is not None and value != {}}


def admit(entry: ManifestEntry, path: Path, *, verify: bool) -> Clip:
    """Make a clip of a manifest's line.

    Parameters
    ----------
    entry : the line.
    path : where its audio file should be.
    verify : hash the file, read its header, and hold both against the line; otherwise the file is opened only
        for what the line leaves out.

    Raises
    ------
    ClipError : the file is missing, not what the line says, or not audio that can be read.
    """
    try:
        num_bytes = path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise ClipError(f"clip {entry.id!r}: cannot read the file: {error}", clip_id=entry.id) from error
    if num_bytes is None:
        raise ClipError(f"clip {entry.id!r}: no audio file {entry.path}", clip_id=entry.id)
    if num_bytes == 0:
        raise ClipError(f"clip {entry.id!r}: the file is empty (0 bytes)", clip_id=entry.id)
    digest = entry.sha256
    if verify or digest is None:
        digest = _hash(entry, path)
    duration, num_samples, sampling_rate = entry.duration, entry.num_samples, entry.sampling_rate
    if verify or duration is None or num_samples is None or sampling_rate is None:
        info = probe_audio(path, clip_id=entry.id)
        if sampling_rate not in (None, info.sampling_rate):
            raise ClipError(
                f"clip {entry.id!r}: the manifest says {sampling_rate} Hz, the file has {info.sampling_rate}",
                clip_id=entry.id,
            )
        if num_samples is not None:
            check_duration(entry.id, num_samples / info.sampling_rate, info.duration)
        if duration is not None:
            check_duration(entry.id, duration, info.duration)
        duration, num_samples, sampling_rate = info.duration, info.num_samples, info.sampling_rate
    return Clip(
        entry.id,
        entry.path,
        entry.text,
        duration,
        num_samples,
        sampling_rate,
        digest,
        entry.license,
        entry.strata,
        entry.recipe,
    )


def describe(
    clip_id: str,
    source: Path | bytes,
    *,
    text: str | None = None,
    license: str | None = None,  # noqa: A002 - the manifest's word
    strata: Mapping[str, str] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Clip:
    """Make a clip of an audio file that no manifest of ours describes.

    Parameters
    ----------
    clip_id : the clip's id.
    source : path of its audio file, or the file's bytes.
    text, license, strata, recipe : as in `Clip`.

    Raises
    ------
    ClipError : the file is missing or not audio that can be read.
    """
    info = probe_audio(source, clip_id=clip_id)
    try:
        digest = sha256(source) if isinstance(source, bytes) else file_sha256(source)
    except OSError as error:
        raise ClipError(f"clip {clip_id!r}: cannot read the file: {error}", clip_id=clip_id) from error
    return Clip(
        clip_id,
        "" if isinstance(source, bytes) else str(source),
        text,
        info.duration,
        info.num_samples,
        info.sampling_rate,
        digest,
        license,
        dict(strata or {}),
        dict(recipe or {}),
    )


def check_duration(clip_id: str, stated: float, found: float) -> None:
    """Raise `ClipError` unless a file is as long as its manifest says, both in seconds."""
    if abs(stated - found) > _DURATION_TOLERANCE:
        raise ClipError(
            f"clip {clip_id!r}: the manifest says {stated:.2f} s, the file holds {found:.2f} s: it is "
            "truncated, or another file",
            clip_id=clip_id,
        )


def _hash(entry: ManifestEntry, path: Path) -> str:
    try:
        found = file_sha256(path)
    except OSError as error:
        raise ClipError(f"clip {entry.id!r}: cannot read the file: {error}", clip_id=entry.id) from error
    if entry.sha256 not in (None, found):
        raise ClipError(
            f"clip {entry.id!r}: the SHA-256 of {entry.path} is {found[:12]}..., the manifest says "
            f"{str(entry.sha256)[:12]}...: the file was altered, or the manifest is of another version",
            clip_id=entry.id,
        )
    return found
