"""Read what an audio file's header promises and hold it against the bytes that are there.

Decoders mend such promises in silence, or allocate by them; these checks run before any decoder does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Literal

from trtforge.audio._mpeg import PrefixedFile, with_length

MAX_CHANNELS = 8
MIN_SAMPLING_RATE = 8_000
MAX_SAMPLING_RATE = 192_000

_MAX_CHUNKS = 4096
_MAX_OGG_PAGE = 65_307
# What a WAV on a pipe gives for lengths not known yet: ffmpeg and others, then SoX and espeak-ng.
_UNKNOWN = 0xFFFFFFFF
_UNKNOWN_TO_SOX = 0x7FFFF000
_UNCOMPRESSED_AIFC = (b"NONE", b"sowt", b"twos", b"in24", b"in32", b"fl32", b"FL32", b"fl64", b"FL64")


class HeaderError(Exception):
    """A header that must not reach a decoder; the message ends the sentence "clip 'x': ..."."""


class MendedFile:
    """A binary file in which the bytes at ``position`` read as ``field``."""

    def __init__(self, file: BinaryIO, position: int, field: bytes) -> None:
        self._file, self._position, self._field = file, position, field
        self.seek, self.tell = file.seek, file.tell

    def read(self, num_bytes: int) -> bytes:
        """Read on from where the file stands."""
        start = self.tell()
        data = bytearray(self._file.read(num_bytes))
        for index, byte in enumerate(self._field, start=self._position - start):
            if 0 <= index < len(data):
                data[index] = byte
        return bytes(data)


def check_header(file: BinaryIO, num_bytes: int) -> BinaryIO | MendedFile | PrefixedFile:
    """Refuse files of unknown kind and headers that promise more than the file holds.

    A WAV that was written to a pipe says so by its lengths, and has all the samples that follow its header.
    An MP3 file that does not tell its length has as many frames as it holds.

    Parameters
    ----------
    file : seekable binary file; its position is not kept.
    num_bytes : size of the file.

    Returns
    -------
    What to decode: the file, or one that differs in giving the length that the file leaves open.

    Raises
    ------
    HeaderError : the file is empty, not WAV, FLAC, Ogg, MP3 or AIFF, truncated, or lies about its content.

    References
    ----------
    Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0", 1991 (RIFF).
    EBU Tech 3306, "RF64: An extended file format for audio data", 2018.
    Apple, "Audio Interchange File Format AIFF-C", 1991. RFC 3533, "The Ogg Encapsulation Format", 2003.
    """
    if num_bytes == 0:
        raise HeaderError("the file is empty (0 bytes)")
    file.seek(0)
    head = file.read(12)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:] == b"WAVE":
        return _check_wav(file, num_bytes, head)
    if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        _check_aiff(file, num_bytes, head)
    elif head[:4] == b"OggS":
        _check_ogg(file, num_bytes)
    elif head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        try:
            return with_length(file, num_bytes)
        except EOFError as error:
            raise HeaderError(f"the file is truncated: {error}") from None
    elif head[:4] != b"fLaC":
        raise HeaderError(f"not WAV, FLAC, Ogg, MP3 or AIFF: the file begins with {head[:4]!r}")
    return file


def check_format(num_channels: int, sampling_rate: int) -> None:
    """Refuse channel counts and sampling rates that no recording of speech has."""
    if not 1 <= num_channels <= MAX_CHANNELS:
        raise HeaderError(f"the header says {num_channels} channels, 1 to {MAX_CHANNELS} are read")
    if not MIN_SAMPLING_RATE <= sampling_rate <= MAX_SAMPLING_RATE:
        raise HeaderError(
            f"the header says {sampling_rate} Hz, {MIN_SAMPLING_RATE} to {MAX_SAMPLING_RATE} Hz are read"
        )


def _check_wav(file: BinaryIO, num_bytes: int, head: bytes) -> BinaryIO | MendedFile:
    order: Literal["big", "little"] = "big" if head[:4] == b"RIFX" else "little"
    frame_bytes, wide_length = 0, None
    for name, length, start in _chunks(file, num_bytes, order):
        if name == b"ds64":
            wide_length = int.from_bytes(_body(file, name, length, 16)[8:], order)
        elif name == b"fmt ":
            body = _body(file, name, length, 16)
            check_format(int.from_bytes(body[2:4], order), int.from_bytes(body[4:8], order))
            frame_bytes = int.from_bytes(body[12:14], order)
        elif name == b"data":
            if head[:4] == b"RF64" and length == _UNKNOWN and wide_length is not None:
                length = wide_length
            if not frame_bytes:
                raise HeaderError("the header does not say how its samples are stored")
            available = num_bytes - start
            if head[:4] != b"RF64" and _is_unknown(length, start, int.from_bytes(head[4:8], order)):
                if available > _UNKNOWN:
                    raise HeaderError(f"the header gives no length, and {available} bytes are beyond WAV")
                return MendedFile(file, start - 4, available.to_bytes(4, order))
            _check_length(length, available, length // frame_bytes)
            return file
    raise HeaderError("the file ends before its samples: it is truncated")


def _is_unknown(length: int, start: int, riff_length: int) -> bool:
    # Zero samples may be meant, where the RIFF length counts chunks behind them.
    ends_with_samples = riff_length == _UNKNOWN or riff_length + 8 <= start + length
    return length == _UNKNOWN or (length in (0, _UNKNOWN_TO_SOX) and ends_with_samples)


def _check_aiff(file: BinaryIO, num_bytes: int, head: bytes) -> None:
    needed, num_frames = 0, 0
    for name, length, start in _chunks(file, num_bytes, "big"):
        if name == b"COMM":
            body = _body(file, name, length, 22 if head[8:] == b"AIFC" else 18)
            num_channels, num_frames = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:6], "big")
            check_format(num_channels, MIN_SAMPLING_RATE)
            if head[8:] == b"AIFF" or body[18:22] in _UNCOMPRESSED_AIFC:
                needed = num_frames * num_channels * ((int.from_bytes(body[6:8], "big") + 7) // 8)
        elif name == b"SSND":
            _check_length(max(length, needed + 8), num_bytes - start, num_frames)
            return
    raise HeaderError("the file ends before its samples: it is truncated")


def _check_ogg(file: BinaryIO, num_bytes: int) -> None:
    # The last page of a whole stream is complete and carries the end-of-stream flag.
    file.seek(max(0, num_bytes - _MAX_OGG_PAGE))
    tail = file.read(_MAX_OGG_PAGE)
    page = tail[tail.rfind(b"OggS\x00") :]
    num_segments = page[26] if len(page) > 26 else 0
    page_bytes = 27 + num_segments + sum(page[27 : 27 + num_segments])
    if len(page) < page_bytes or not page[5] & 0x04:
        raise HeaderError("the Ogg stream ends before its last page: it is truncated")


def _check_length(num_bytes: int, available: int, num_frames: int) -> None:
    if num_bytes > available:
        raise HeaderError(
            f"the header promises {num_frames} frames in {num_bytes} bytes, the file holds "
            f"{max(0, available)} bytes of samples: it is truncated, or its header lies"
        )


def _chunks(
    file: BinaryIO, num_bytes: int, order: Literal["big", "little"]
) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, length in bytes and start of each chunk, the file standing at its start."""
    position = 12
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], order)
        yield head[:4], length, position + 8
        position += 8 + length + length % 2
        if position > num_bytes:
            return
    raise HeaderError(f"the header has more than {_MAX_CHUNKS} chunks")


def _body(file: BinaryIO, name: bytes, length: int, wanted: int) -> bytes:
    body = file.read(min(length, wanted))
    if len(body) < wanted:
        raise HeaderError(f"chunk {name.decode('ascii')!r} of the header is truncated")
    return body
