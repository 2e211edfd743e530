"""MUSAN: music, speech and noise to put behind other speech."""

from pathlib import Path, PurePosixPath
from typing import Any

from calibration_sets.corpora import Corpus, main, stream_files

KINDS = ("noise", "music", "speech")


def describe(path: str) -> dict[str, str] | None:
    """Return the kind, the source and the name of ``musan/noise/free-sound/noise-free-sound-0000.wav``."""
    parts = PurePosixPath(path).parts
    if path and (len(parts) < 3 or parts[-3] not in KINDS):
        return None
    kind, source = parts[-3:-1] if path else ("", "")
    return {"kind": kind, "source": source, "name": PurePosixPath(path).stem}


def load(split: str, source: Path | None) -> Any:
    """Stream ``noise``, ``music`` or ``speech``, or all of them."""
    return stream_files(source, _of(split))


def _of(split: str) -> Any:
    def described(path: str) -> dict[str, str] | None:
        row = describe(path)
        return row if row is None or not path or split in ("all", row["kind"]) else None

    return described


CORPUS = Corpus(
    name="musan",
    license="CC-BY-4.0",
    homepage="https://www.openslr.org/17/",
    load=load,
    split="noise",
    text=None,
    id="name",
    strata={"kind": "kind", "source": "source"},
    balance=("kind", "source"),
    min_duration=1.0,
    max_duration=1800.0,
    source="musan.tar.gz, or the folder that it unpacks to",
)

if __name__ == "__main__":
    raise SystemExit(main(CORPUS))
