"""VoxPopuli, accented English: members of the European Parliament from sixteen countries."""

from typing import Any

from calibration_sets.corpora import Corpus, Row, main

# The hub's own Parquet copy of the data set; it needs no code from the repository.
FILES = "hf://datasets/facebook/voxpopuli@refs%2Fconvert%2Fparquet/en_accented/{split}/*.parquet"


def load(split: str) -> Any:
    """Stream a split."""
    from datasets import load_dataset

    return load_dataset("parquet", data_files=FILES.format(split=split), split="train", streaming=True)


def accent(row: Row) -> str | None:
    """Return the speaker's language: ``nl`` of ``en_nl``."""
    value = row["accent"]
    return None if value in (None, "", "None") else str(value).removeprefix("en_")


CORPUS = Corpus(
    name="voxpopuli_accented",
    license="CC0-1.0",
    homepage="https://github.com/facebookresearch/voxpopuli",
    load=lambda split, _: load(split),
    split="test",
    text=lambda row: row["normalized_text"] or row["raw_text"],
    id="audio_id",
    strata={"accent": accent, "gender": "gender", "speaker": "speaker_id"},
    balance=("accent",),
)

if __name__ == "__main__":
    raise SystemExit(main(CORPUS))
