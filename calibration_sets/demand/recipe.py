"""DEMAND: kitchens, offices, streets and cars, five minutes each."""

from pathlib import Path, PurePosixPath
from typing import Any

from calibration_sets.corpora import Corpus, main, stream_files

PLACES = {
    "D": "domestic",
    "N": "nature",
    "O": "office",
    "P": "public",
    "S": "street",
    "T": "transportation",
}


def describe(path: str) -> dict[str, str] | None:
    """Return environment, place and channel of ``DKITCHEN/ch01.wav``."""
    parts = PurePosixPath(path).parts
    environment = parts[-2].upper() if len(parts) > 1 else ""
    if path and environment[:1] not in PLACES:
        return None
    return {
        "environment": environment.lower(),
        "place": PLACES.get(environment[:1], ""),
        "channel": PurePosixPath(path).stem,
    }


def load(split: str, source: Path | None) -> Any:
    """Stream one channel of the sixteen; they differ by centimetres."""
    return stream_files(source, _of(split))


def _of(channel: str) -> Any:
    def described(path: str) -> dict[str, str] | None:
        row = describe(path)
        return row if row is None or not path or row["channel"] == channel else None

    return described


CORPUS = Corpus(
    name="demand",
    license="CC-BY-SA-3.0",
    homepage="https://zenodo.org/records/1227121",
    load=load,
    split="ch01",
    text=None,
    id=lambda row: f"{row['environment']}-{row['channel']}",
    strata={"environment": "environment", "place": "place"},
    balance=("environment",),
    max_duration=600.0,
    source="folder with the zip archives of the environments, such as DKITCHEN_16k.zip, unpacked or not",
)

if __name__ == "__main__":
    raise SystemExit(main(CORPUS))
