"""Count the frames of an MP3 file that does not say how many it has.

Decoders estimate its length by the bit rate of the first frame, and end too early or too late.
"""

from __future__ import annotations

import io
from typing import BinaryIO

_KBITS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)
_HALVINGS = {3: 0, 2: 1, 0: 2}  # MPEG 1, 2 and 2.5
_LAYER_3 = 1
_MAX_REST = 1 << 20
_NO_CRC, _BIT_RATE, _MIDDLE_BIT_RATE, _PADDING = 1 << 16, 0xF << 12, 9 << 12, 1 << 9


class PrefixedFile:
    """A binary file that begins with ``prefix`` in place of its first ``start`` bytes."""

    def __init__(self, file: BinaryIO, start: int, prefix: bytes) -> None:
        self._file, self._start, self._prefix, self._at = file, start, prefix, 0

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position."""
        if whence == io.SEEK_END:
            offset += self._file.seek(0, io.SEEK_END) - self._start + len(self._prefix)
        self._at = offset + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def read(self, num_bytes: int = -1) -> bytes:
        """Read on from the position, to the end where ``num_bytes`` is negative."""
        data = self._prefix[self._at : None if num_bytes < 0 else self._at + num_bytes]
        self._file.seek(self._start + max(0, self._at + len(data) - len(self._prefix)))
        data += self._file.read(num_bytes if num_bytes < 0 else num_bytes - len(data))
        self._at += len(data)
        return data


def with_length(file: BinaryIO, num_bytes: int) -> BinaryIO | PrefixedFile:
    """Return an MP3 file, with a header that tells its length where it has none.

    A file in which something else than frames stands between frames is returned as it is.

    Parameters
    ----------
    file : seekable binary file that begins with an ID3 tag or a frame; its position is not kept.
    num_bytes : size of the file.

    Raises
    ------
    EOFError : the file has no such header, and its last frame is cut off.

    References
    ----------
    ISO/IEC 11172-3, 2.4.1.3; ISO/IEC 13818-3 for lower rates. ID3v2.3.0, 3.1. Xing, "VBR header", 1998.
    """
    start = _after_tag(file)
    first = _header(file, start)
    size = _frame_bytes(first)
    if not size:
        return file
    is_mpeg1, is_mono = first >> 19 & 3 == 3, first >> 6 & 3 == 3
    side = (17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17)
    file.seek(start)
    begin = file.read(64)
    if any(mark in begin for mark in (b"Xing", b"Info", b"VBRI")):
        return file
    num_frames, at = 0, start
    while at < num_bytes and (size := _frame_bytes(_header(file, at))):
        num_frames, at = num_frames + 1, at + size
    if at > num_bytes:
        raise EOFError("its last frame is cut off")
    file.seek(at)
    rest = file.read(_MAX_REST)
    if rest.strip(b"\0") and not rest.startswith((b"TAG", b"APETAGEX")):
        return file
    header = first & ~_BIT_RATE & ~_PADDING | _MIDDLE_BIT_RATE | _NO_CRC
    told = b"Xing" + (1).to_bytes(4, "big") + num_frames.to_bytes(4, "big")
    frame = header.to_bytes(4, "big") + bytes(side) + told
    file.seek(0)
    return PrefixedFile(file, start, file.read(start) + frame.ljust(_frame_bytes(header), b"\0"))


def _after_tag(file: BinaryIO) -> int:
    file.seek(0)
    head = file.read(10)
    if len(head) < 10 or not head.startswith(b"ID3"):
        return 0
    size = 0
    for byte in head[6:]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _header(file: BinaryIO, at: int) -> int:
    file.seek(at)
    return int.from_bytes(file.read(4), "big")


def _frame_bytes(header: int) -> int:
    """Return the length of the frame that a header begins; 0 where it is none of layer III."""
    version, rate, kbits = header >> 19 & 3, header >> 10 & 3, header >> 12 & 15
    if header >> 21 != 0x7FF or version == 1 or header >> 17 & 3 != _LAYER_3 or rate == 3:
        return 0
    if not 0 < kbits < 15:
        return 0
    is_mpeg1 = version == 3
    hertz = _RATES[rate] >> _HALVINGS[version]
    return (144 if is_mpeg1 else 72) * 1000 * _KBITS[is_mpeg1][kbits - 1] // hertz + (header >> 9 & 1)
