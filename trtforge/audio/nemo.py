"""Read and write NeMo manifests: one JSON object a line, with the audio file, its text and its duration."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trtforge._files import write_text
from trtforge.audio._rejection import check_bad_share, refuse_bad_share
from trtforge.audio.clip import Clip, describe
from trtforge.audio.clips import ClipSet
from trtforge.audio.decode import probe_audio
from trtforge.audio.manifest import MAX_SECONDS, is_name, is_seconds, is_text, read_lines
from trtforge.audio.segments import cut_audio
from trtforge.errors import ClipError, ClipSetError, ConfigError

_HINT = (
    'a NeMo manifest has lines such as {"audio_filepath": "a.wav", "duration": 2.5, "text": "hello there"}'
)
_TOLERANCE = 0.1


def read_nemo(
    path: str | os.PathLike[str],
    *,
    strata: Sequence[str] | Mapping[str, str] = (),
    license: str | None = None,  # noqa: A002 - the manifest's word
    max_bad_share: float = 0.1,
) -> ClipSet:
    """Make a clip set of a NeMo manifest; `ClipSet.from_nemo` documents the parameters."""
    check_bad_share(max_bad_share)
    manifest = Path(path)
    axes = dict(strata) if isinstance(strata, Mapping) else {axis: axis for axis in strata}
    clips: list[Clip] = []
    rejected: dict[str, str] = {}
    spans: dict[str, _Span] = {}
    num_lines = 0
    keys: dict[str, None] = {}
    filled: Counter[str] = Counter()
    for number, line in read_lines(manifest, hint=_HINT):
        num_lines += 1
        keys |= dict.fromkeys(line)
        filled.update(key for key, value in line.items() if value not in (None, ""))
        where = f"{manifest}, line {number}"
        if not is_name(line.get("audio_filepath")):
            raise ClipSetError(
                f"{where}: the key 'audio_filepath' is missing or no file can be called so", hint=_HINT
            )
        file = manifest.parent.absolute() / line["audio_filepath"]
        clip_id = _id(line, f"{file.stem}-{number:05d}", where)
        if clip_id in spans or clip_id in rejected:
            raise ClipSetError(f"{where}: id {clip_id!r} was used before", hint="give every line its own id")
        try:
            span = _span(line, file, clip_id)
            clips.append(_clip(line, span, clip_id, axes, license))
            spans[clip_id] = span
        except ClipError as error:
            rejected[clip_id] = error.message
    if not num_lines:
        raise ClipSetError(f"{manifest} names no clips", hint=_HINT)
    _check_strata(axes, manifest, tuple(keys), filled, num_lines)
    refuse_bad_share(rejected, num_lines, max_bad_share, manifest.stem)
    return ClipSet(
        clips,
        locate=_SpanLocator(spans),
        name=manifest.stem,
        rejected=rejected,
        unverified=(clip.id for clip in clips),
    )


def _check_strata(
    axes: Mapping[str, str], manifest: Path, keys: Sequence[str], filled: Mapping[str, int], num_lines: int
) -> None:
    if missing := sorted(set(axes.values()) - set(keys)):
        raise ConfigError(
            f"no line of {manifest} has the key {', '.join(map(repr, missing))}; "
            f"its keys are {', '.join(keys)}",
            hint="say which keys hold the strata",
            settings=("strata",),
        )
    for key in dict.fromkeys(axes.values()):
        if lacking := num_lines - filled.get(key, 0):
            warnings.warn(
                f"{lacking} of {num_lines} lines of {manifest} have nothing under {key!r}; their clips "
                "have no such stratum",
                RuntimeWarning,
                stacklevel=4,
            )


def write_nemo(
    clips: Iterable[Clip], locate: Callable[[Clip], Path | bytes], path: str | os.PathLike[str]
) -> Path:
    """Write a NeMo manifest of clips whose audio lies in files; `ClipSet.write_nemo` documents it."""
    manifest = Path(path)
    folder = manifest.parent.absolute()
    lines = []
    for clip in clips:
        source = locate(clip)
        if isinstance(source, bytes):
            raise ClipSetError(
                f"clip {clip.id!r} has no file that a NeMo manifest could name",
                hint="save the set first, and write the manifest of what save returns",
            )
        file = source.absolute()
        named = file.relative_to(folder).as_posix() if file.is_relative_to(folder) else str(file)
        line: dict[str, Any] = {"audio_filepath": named, "duration": clip.duration}
        line |= {} if clip.text is None else {"text": clip.text}
        lines.append(json.dumps(line | {"id": clip.id} | _extra(clip), ensure_ascii=False) + "\n")
    write_text(manifest, "".join(lines))
    return manifest


@dataclass(frozen=True)
class _Span:
    """A whole file, or ``duration`` seconds of it from ``offset`` on."""

    file: Path
    offset: float | None = None
    duration: float = 0.0

    def read(self, clip_id: str) -> Path | bytes:
        if self.offset is None:
            return self.file
        return cut_audio(self.file, self.offset, self.duration, clip_id=clip_id)


@dataclass(frozen=True)
class _SpanLocator:
    spans: Mapping[str, _Span]

    def __call__(self, clip: Clip) -> Path | bytes:
        return self.spans[clip.id].read(clip.id)


def _id(line: Mapping[str, Any], otherwise: str, where: str) -> str:
    value = line.get("id")
    if value in (None, ""):
        return otherwise
    if isinstance(value, bool) or not (is_name(value) or isinstance(value, int)):
        raise ClipSetError(f"{where}: its id is {value!r:.80}, not text or a number", hint=_HINT)
    return str(value)


def _span(line: Mapping[str, Any], file: Path, clip_id: str) -> _Span:
    info = probe_audio(file, clip_id=clip_id)
    offset = _seconds(line, "offset", clip_id) or 0.0
    duration = _seconds(line, "duration", clip_id)
    duration = info.duration - offset if duration is None else duration
    if offset == 0 and abs(duration - info.duration) <= _TOLERANCE:
        return _Span(file)
    return _Span(file, offset, duration)


def _clip(
    line: Mapping[str, Any], span: _Span, clip_id: str, axes: Mapping[str, str], license_name: str | None
) -> Clip:
    text = line.get("text")
    if text is not None and not is_text(text):
        raise ClipError(f"clip {clip_id!r}: its text is {text!r:.80}, not text", clip_id=clip_id)
    values = {axis: line.get(key) for axis, key in axes.items()}
    strata = {axis: value for axis, value in values.items() if value not in (None, "")}
    for axis, value in strata.items():
        if not (is_text(value) or isinstance(value, int | float)):
            raise ClipError(
                f"clip {clip_id!r}: its {axis} is {value!r:.80}, not text or a number", clip_id=clip_id
            )
    recipe: dict[str, Any] = {"file": span.file.name}
    if span.offset is not None:
        recipe |= {"offset": span.offset, "duration": span.duration}
    clip = describe(
        clip_id,
        span.read(clip_id),
        text=text,
        license=license_name,
        recipe=recipe,
        strata={axis: str(value) for axis, value in strata.items()},
    )
    return clip if span.offset is None else replace(clip, path="")


def _seconds(line: Mapping[str, Any], key: str, clip_id: str) -> float | None:
    value = line.get(key)
    if value is None:
        return None
    if not is_seconds(value):
        raise ClipError(
            f"clip {clip_id!r}: its {key} is {value!r:.80}, not a number of seconds from 0 to {MAX_SECONDS}",
            clip_id=clip_id,
        )
    return float(value)


def _extra(clip: Clip) -> dict[str, str]:
    """Return the strata, save those that would take the place of a key that NeMo reads."""
    return {axis: v for axis, v in clip.strata.items() if axis not in _RESERVED}


_RESERVED = frozenset({"audio_filepath", "duration", "text", "offset", "id"})
