"""Profiles as the command lines of Polygraphy and trtexec write them.

=============  ==========================================================================================
Polygraphy     ``--trt-min-shapes mel:[1,80,64] length:[1] --trt-opt-shapes ... --trt-max-shapes ...``
trtexec        ``--minShapes=mel:1x80x64,length:1 --optShapes=... --maxShapes=...``
=============  ==========================================================================================

Polygraphy takes several profiles as repeated groups of the three options, trtexec with ``--profile=N`` before
each group. The last colon of an entry separates name and shape, so that names may hold colons; trtexec's
names may stand in single quotes. A profile of Polygraphy's Python interface is a mapping, which
`OptimizationProfile` takes as it is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence

from trtforge.errors import ProfileError
from trtforge.profiles.shapes import OptimizationProfile, Shape, ShapeRange

_KINDS = ("min", "opt", "max")
_POLYGRAPHY = {f"--trt-{kind}-shapes": kind for kind in _KINDS}
_TRTEXEC = {f"--{kind}Shapes": kind for kind in _KINDS}
_POLYGRAPHY_ENTRY = re.compile(r"(?P<name>.+):\[(?P<shape>[^\[\]]*)\]")
_TRTEXEC_ENTRY = re.compile(r"(?P<name>'[^']+'|[^,]+):(?P<shape>\d+(?:x\d+)*|scalar)(?:,|$)")


def to_polygraphy(profiles: Sequence[OptimizationProfile]) -> list[str]:
    """Return the arguments that give Polygraphy's command line these profiles, in their order."""
    words = []
    for profile in profiles:
        for kind in _KINDS:
            words.append(f"--trt-{kind}-shapes")
            words += [
                f"{name}:[{','.join(map(str, _shape(value, kind)))}]" for name, value in _entries(profile)
            ]
    return words


def from_polygraphy(
    arguments: str | Sequence[str], *, value_inputs: Collection[str] = ()
) -> tuple[OptimizationProfile, ...]:
    """Read the profiles that Polygraphy's command line would take; other options are passed over.

    Parameters
    ----------
    arguments : the words, or one text as typed in a shell.
    value_inputs : inputs whose entries are values that decide shapes; the notation tells no difference.

    Raises
    ------
    ProfileError : an entry is no ``NAME:[1,2,3]``, or minimum, optimum and maximum do not belong together.
    """
    groups: dict[str, list[dict[str, Shape]]] = {kind: [] for kind in _KINDS}
    kind = None
    for word in _words(arguments):
        option, equals, rest = word.partition("=")
        if word.startswith("-"):
            kind = _POLYGRAPHY.get(option)
            if kind is not None:
                groups[kind].append({})
            word = rest if equals else ""
        if kind is None or not word:
            continue
        entry = _POLYGRAPHY_ENTRY.fullmatch(word)
        if entry is None:
            raise ProfileError(f"{word!r} is no shape as Polygraphy writes it, such as mel:[1,80,64]")
        sizes = [size.strip() for size in entry["shape"].split(",")] if entry["shape"].strip() else []
        _add(groups[kind][-1], entry["name"], sizes, word)
    return _profiles(groups, value_inputs)


def to_trtexec(profiles: Sequence[OptimizationProfile]) -> list[str]:
    """Return the arguments that give trtexec these profiles, in their order.

    Raises
    ------
    ProfileError : an input's name holds a quote, which trtexec cannot take.
    """
    words = []
    for index, profile in enumerate(profiles):
        if len(profiles) > 1:
            words.append(f"--profile={index}")
        for kind in _KINDS:
            entries = (
                f"{_quoted(name)}:{'x'.join(map(str, _shape(value, kind))) or 'scalar'}"
                for name, value in _entries(profile)
            )
            words.append(f"--{kind}Shapes={','.join(entries)}")
    return words


def from_trtexec(
    arguments: str | Sequence[str], *, value_inputs: Collection[str] = ()
) -> tuple[OptimizationProfile, ...]:
    """Read the profiles that trtexec would take; other options are passed over.

    Parameters
    ----------
    arguments : the words, or one text as typed in a shell.
    value_inputs : inputs whose entries are values that decide shapes; the notation tells no difference.

    Raises
    ------
    ProfileError : an entry is no ``NAME:1x2x3``, or minimum, optimum and maximum do not belong together.
    """
    groups: dict[str, list[dict[str, Shape]]] = {kind: [] for kind in _KINDS}
    for word in _words(arguments):
        option, _, text = word.partition("=")
        if option not in _TRTEXEC:
            continue
        shapes: dict[str, Shape] = {}
        at = 0
        while at < len(text) or not text:
            entry = _TRTEXEC_ENTRY.match(text, at)
            if entry is None:
                raise ProfileError(f"{text[at:]!r} is no shape as trtexec writes it, such as mel:1x80x64")
            sizes = [] if entry["shape"] == "scalar" else entry["shape"].split("x")
            _add(shapes, entry["name"].strip("'"), sizes, word)
            at = entry.end()
        groups[_TRTEXEC[option]].append(shapes)
    return _profiles(groups, value_inputs)


def _words(arguments: str | Sequence[str]) -> list[str]:
    if not isinstance(arguments, str):
        return list(arguments)
    try:
        return shlex.split(arguments)
    except ValueError as error:
        raise ProfileError(f"{arguments!r} is no command line: {error}") from None


def _entries(profile: OptimizationProfile) -> Iterator[tuple[str, ShapeRange]]:
    """Yield shapes and values alike.

    Raises
    ------
    ProfileError : a value is negative, which neither command line can be told.
    """
    for name, value in profile.values.items():
        if min(value.min, default=0) < 0:
            raise ProfileError(f"profile {name!r}: a command line cannot be told the negative values {value}")
    yield from (*profile.shapes.items(), *profile.values.items())


def _shape(value: ShapeRange, kind: str) -> Shape:
    return {"min": value.min, "opt": value.opt, "max": value.max}[kind]


def _quoted(name: str) -> str:
    if "'" in name:
        raise ProfileError(f"trtexec cannot be told of an input whose name holds a quote: {name!r}")
    return f"'{name}'" if re.search(r"[:,]", name) else name


def _add(shapes: dict[str, Shape], name: str, sizes: Sequence[str], word: str) -> None:
    if name in shapes:
        raise ProfileError(f"input {name!r} is given twice in {word!r}")
    if not all(size.isascii() and size.isdigit() for size in sizes):
        raise ProfileError(f"{word!r}: sizes must be whole numbers")
    shapes[name] = tuple(map(int, sizes))


def _profiles(
    groups: Mapping[str, Sequence[Mapping[str, Shape]]], value_inputs: Collection[str]
) -> tuple[OptimizationProfile, ...]:
    found = {kind: len(group) for kind, group in groups.items()}
    if len(set(found.values())) > 1:
        raise ProfileError(f"each profile needs its min, opt and max shapes, got {found} of them")
    profiles = []
    for low, opt, high in zip(*(groups[kind] for kind in _KINDS), strict=True):
        if not low.keys() == opt.keys() == high.keys():
            raise ProfileError(
                f"min, opt and max name different inputs: {sorted(low)}, {sorted(opt)}, {sorted(high)}"
            )
        shapes: dict[str, ShapeRange] = {}
        values: dict[str, ShapeRange] = {}
        for name in low:
            kept = values if name in value_inputs else shapes
            kept[name] = ShapeRange(low[name], opt[name], high[name])
        profiles.append(OptimizationProfile(shapes, values))
    return tuple(profiles)
