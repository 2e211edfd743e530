import re
from pathlib import Path

import pytest

from trtforge import units
from trtforge.units import format_bytes, format_duration, num_samples


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


def test_every_unit_is_used_somewhere():
    types = {name for name, value in vars(units).items() if hasattr(value, "__supertype__")}
    sources = [path for path in Path(units.__file__).parent.rglob("*.py") if path.name != "units.py"]
    imports = "".join(re.findall(r"from trtforge\.units import .*", "\n".join(map(Path.read_text, sources))))
    assert {name for name in types if name not in imports} == set()
