import re
from pathlib import Path

import pytest

from trtforge import units
from trtforge.errors import ConfigError
from trtforge.units import format_bytes, format_duration, num_samples, parse_bytes, parse_duration


def test_halves_of_samples_are_rounded_up():
    assert [num_samples(samples / 8000, 8000) for samples in (1.4, 1.5, 2.5)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (format_bytes(1023), "1023 B"),
        (format_bytes(11_744_051), "11.2 MiB"),
        (format_duration(0.83), "0.83 s"),
        (format_duration(245), "4 min 05 s"),
        (format_duration(7380), "2 h 03 min"),
    ],
)
def test_quantities_are_written_with_their_unit(written, meant):
    assert written == meant


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("65536", 65_536),
        ("1B", 1),
        ("400MB", 400_000_000),
        ("400 mb", 400_000_000),
        ("1.5GiB", 3 << 29),
        (" 2kB ", 2000),
        ("2KiB", 2048),
        ("0.1TB", 10**11),
        ("1.0015kB", 1001),
    ],
)
def test_sizes_are_read_as_people_write_them(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "MB", "400 MBit", "1e6", "-1MB", "1,5GB", "400  MB", "\u0664MB", "nan"])
def test_what_is_no_size_says_how_one_is_written(text):
    with pytest.raises(ConfigError, match=r"is no size; write a number and a unit, such as 400MB, 1\.5GiB"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["0", "0.0MB", "0.4B"])
def test_a_size_is_at_least_a_byte(text):
    with pytest.raises(ConfigError, match=f"at least one byte, got '{text}'"):
        parse_bytes(text)


def test_every_unit_is_used_somewhere():
    types = {name for name, value in vars(units).items() if hasattr(value, "__supertype__")}
    sources = [path for path in Path(units.__file__).parent.rglob("*.py") if path.name != "units.py"]
    imports = "".join(re.findall(r"from trtforge\.units import .*", "\n".join(map(Path.read_text, sources))))
    assert {name for name in types if name not in imports} == set()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("90min", 5400), ("1.5 h", 5400), ("30d", 2_592_000), ("2W", 1_209_600)],
)
def test_durations_are_read_as_people_write_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1 month", "1e3s"])
def test_what_is_no_duration_says_how_one_is_written(text):
    with pytest.raises(
        ConfigError, match="is no duration; write a number and a unit, such as 30d, 12h or 90min"
    ):
        parse_duration(text)
