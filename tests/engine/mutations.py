"""Random damage to the bytes of a file, as disks, networks and people do it."""

from __future__ import annotations

import random


def mutate(content: bytes, chance: random.Random) -> bytes:
    """Return ``content`` damaged in one of eight ways; never the same bytes."""
    while True:
        damaged = _DAMAGES[chance.randrange(len(_DAMAGES))](content, chance)
        if damaged != content:
            return damaged


def _span(content: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(content))
    return start, min(len(content), start + 1 + chance.randrange(64))


def _flip_a_bit(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def _set_a_byte(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + chance.randbytes(1) + content[at + 1 :]


def _cut_short(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def _append(content: bytes, chance: random.Random) -> bytes:
    return content + chance.randbytes(1 + chance.randrange(64))


def _cut_out(content: bytes, chance: random.Random) -> bytes:
    start, end = _span(content, chance)
    return content[:start] + content[end:]


def _repeat(content: bytes, chance: random.Random) -> bytes:
    start, end = _span(content, chance)
    return content[:end] + content[start:]


def _zero(content: bytes, chance: random.Random) -> bytes:
    start, end = _span(content, chance)
    return content[:start] + bytes(end - start) + content[end:]


def _shuffle(content: bytes, chance: random.Random) -> bytes:
    start, end = _span(content, chance)
    return content[:start] + bytes(chance.sample(content[start:end], end - start)) + content[end:]


_DAMAGES = (_flip_a_bit, _set_a_byte, _cut_short, _append, _cut_out, _repeat, _zero, _shuffle)
