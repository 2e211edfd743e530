import re
import string
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtforge.calibration.cache import (
    MAX_CACHE_BYTES,
    CalibrationCache,
    cache_header,
    read_calibration_cache,
    write_calibration_cache,
)
from trtforge.errors import CalibrationCacheError, ConfigError

HEADER = "TRT-8600-EntropyCalibration2"
RESHAPED = "(Unnamed Layer* 5) [Shuffle]_output"
TEXT = f"{HEADER}\nmel: 3c010a14\n{RESHAPED}: 3c010a14\ninput_1:0: 3d0b7086\nsilent: 0\n"
scales = st.floats(min_value=2.0**-149, max_value=2.0**120, width=32)
names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)


def test_a_cache_of_tensorrt_is_read_and_written_back_byte_for_byte(tmp_path):
    cache = read_calibration_cache(TEXT.encode())
    assert list(cache.scales) == ["mel", RESHAPED, "input_1:0", "silent"]
    assert (
        cache.scales["mel"]
        == struct.unpack(">f", bytes.fromhex("3c010a14"))[0]
        == pytest.approx(2048.5 / 2048 / 127)
    )
    assert cache.scales["silent"] == 0
    assert (cache.algorithm, cache.library_version, len(cache)) == ("entropy", "8.6.0", 4)
    write_calibration_cache(cache, tmp_path / "cache")
    assert (tmp_path / "cache").read_bytes() == TEXT.encode()
    assert read_calibration_cache(tmp_path / "cache") == cache
    assert repr(cache) == "CalibrationCache('TRT-8600-EntropyCalibration2', 4 tensors)"


@pytest.mark.parametrize(
    ("version", "algorithm", "header", "short"),
    [
        ("8.6.0", "entropy", "TRT-8600-EntropyCalibration2", "8.6.0"),
        ("8.6.1.6", "minmax", "TRT-8601-MinMaxCalibration", "8.6.1"),
        ("10.3.0", "entropy", "TRT-100300-EntropyCalibration2", "10.3.0"),
        ("10.16.1.11", "minmax", "TRT-101601-MinMaxCalibration", "10.16.1"),
    ],
)
def test_the_header_has_the_version_as_tensorrt_writes_it(version, algorithm, header, short):
    assert cache_header(version, algorithm) == header
    cache = CalibrationCache(header, {"x": 1.0})
    assert (cache.algorithm, cache.library_version) == (algorithm, short)


@pytest.mark.parametrize(
    ("version", "algorithm", "message"),
    [
        ("8.6.0", "entropi", "algorithm must be 'entropy' or 'minmax', got 'entropi'"),
        ("11.0.0", "entropy", "TensorRT 11.0.0 takes no calibration cache; TensorRT 8, 9 and 10 do"),
        ("eight", "entropy", "library_version must be a TensorRT version such as '8.6.0', got 'eight'"),
        (8.6, "entropy", "such as '8.6.0', got 8.6"),
        ("8.6.100", "entropy", "such as '8.6.0', got '8.6.100'"),
        ("٨.6.0", "entropy", "such as '8.6.0', got '٨.6.0'"),
    ],
)
def test_there_is_no_header_for_libraries_without_calibrators(version, algorithm, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        cache_header(version, algorithm)


def test_a_path_in_the_place_of_the_cache_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cache must be a CalibrationCache, got str") as caught:
        write_calibration_cache("c.cache", CalibrationCache(HEADER, {"x": 1.0}))
    assert caught.value.hint == "the cache comes first, the path second"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: cut short, for it does not end in a line break"),
        (b"\n", "line 1: wanted a first line such as 'TRT-8600-EntropyCalibration2'"),
        (b"TRT-8600-Nonsense\nx: 3c010a14\n", "line 1: wanted a first line .* got 'TRT-8600-Nonsense'"),
        (b"TRT-86-EntropyCalibration2\n", "line 1: wanted a first line"),
        ("TRT-٨٦٠٠-EntropyCalibration2\n".encode(), "line 1: wanted a first line"),
        (TEXT.encode()[:-1], "line 5: cut short"),
        (TEXT.encode()[:60], "line 3: cut short"),
        (TEXT.replace("\n", "\r\n").encode(), "line 1: wanted a first line"),
        (f"{HEADER}\nx 3c010a14\n".encode(), "line 2: wanted 'tensor name: scale in hexadecimal', got 'x 3c"),
        (f"{HEADER}\nx: 3c010a14 \n".encode(), "line 2: wanted 'tensor name"),
        (f"{HEADER}\nx: 3C010A14\n".encode(), "line 2: wanted 'tensor name"),
        (f"{HEADER}\nx: 0x3c01\n".encode(), "line 2: wanted 'tensor name"),
        (f"{HEADER}\nx: 3c010a140\n".encode(), "line 2: wanted 'tensor name"),
        (f"{HEADER}\nx: 00000000\n".encode(), "line 2: wanted 'tensor name"),
        (f"{HEADER}\n\n".encode(), "line 2: wanted 'tensor name"),
        (f"{HEADER}\n: 3c010a14\n".encode(), "line 2: '' cannot be a tensor's name"),
        (f"{HEADER}\na\tb: 3c010a14\n".encode(), r"line 2: 'a\\tb' cannot be a tensor's name"),
        (f"{HEADER}\nx: 3c010a14\nx: 3c010a14\n".encode(), "line 3: tensor 'x' has an entry already"),
        (f"{HEADER}\nx: 7f800000\n".encode(), "line 2: the scale of 'x' must be finite and positive, got"),
        (f"{HEADER}\nx: 7fc00000\n".encode(), "must be finite and positive"),
        (f"{HEADER}\nx: bc010a14\n".encode(), "must be finite and positive"),
        (f"{HEADER}\nx: 7f010a14\n".encode(), "line 2: the scale of 'x' must be at most 2.68e[+]36"),
        (f"{HEADER}\nx: 3c010a14\n\xff: 3c\n".encode("latin-1"), "line 3: not UTF-8 text"),
        (b"x" * (MAX_CACHE_BYTES + 1), "exceeds 10000000 bytes"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_its_line(content, message):
    with pytest.raises(CalibrationCacheError, match=message):
        read_calibration_cache(content)


def test_files_are_named_in_errors_and_never_read_beyond_the_limit(tmp_path):
    with pytest.raises(CalibrationCacheError, match=rf"no calibration cache can be read at {tmp_path}/none"):
        read_calibration_cache(tmp_path / "none")
    with pytest.raises(CalibrationCacheError, match="no calibration cache can be read"):
        read_calibration_cache(tmp_path)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CalibrationCacheError, match=rf"{tmp_path}/large exceeds 10000000 bytes"):
        read_calibration_cache(tmp_path / "large")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"x": float("nan")}, "the scale of 'x' must be finite and positive, got nan"),
        ({"x": float("inf")}, "finite and positive, got inf"),
        ({"x": -1.0}, "finite and positive, got -1.0"),
        ({"x": 1e39}, "must fit into float32, got 1e\\+39"),
        ({"x": 1e-50}, "must fit into float32, got 1e-50"),
        ({"x\n": 1.0}, "cannot be a tensor's name"),
        ({"": 1.0}, "cannot be a tensor's name"),
    ],
)
def test_a_cache_that_could_not_be_read_back_cannot_be_made(values, message):
    with pytest.raises(CalibrationCacheError, match=message):
        CalibrationCache(HEADER, values)


def test_unknown_names_are_dropped_with_one_warning():
    cache = read_calibration_cache(TEXT.encode())
    with pytest.warns(RuntimeWarning, match="2 of 4 tensors .* dropped: 'input_1:0', 'silent'$") as caught:
        kept = cache.matched(["mel", "other", RESHAPED])
    assert len(caught) == 1
    assert list(kept.scales) == ["mel", RESHAPED]
    with pytest.raises(CalibrationCacheError, match=r"none of the 4 tensors .*; the first is 'mel'"):
        cache.matched(["other"])


@given(st.dictionaries(names, scales, max_size=8), st.sampled_from([HEADER, "TRT-100300-MinMaxCalibration"]))
def test_every_cache_comes_back_as_it_was_written(values, header):
    cache = CalibrationCache(header, values)
    assert read_calibration_cache(cache.dumps()) == cache
    assert dict(cache.scales) == values


@given(st.binary(max_size=200))
def test_noise_is_refused_or_round_trips(content):
    _read_or_refuse(content)
    _read_or_refuse(f"{HEADER}\n".encode() + content)


@given(st.data())
def test_a_damaged_cache_is_refused_or_round_trips(data):
    content = bytearray(TEXT.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["change", "cut", "insert"]))
        byte = data.draw(st.sampled_from(string.printable.encode() + b"\x00\xff"))
        if kind == "cut":
            del content[at:]
        elif kind == "insert":
            content.insert(at, byte)
        else:
            content[at] = byte
        if not content:
            break
    _read_or_refuse(bytes(content))


def _read_or_refuse(content):
    refusal = None
    try:
        cache = read_calibration_cache(content)
    except CalibrationCacheError as error:
        refusal = error.message
    if refusal is None:
        assert cache.dumps() == content
        assert all(0 <= scale < float("inf") for scale in cache.scales.values())
    else:
        assert re.match(r"the calibration cache, line \d+: ", refusal)
