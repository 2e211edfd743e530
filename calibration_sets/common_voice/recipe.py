"""Common Voice: read sentences, recorded by volunteers on their own devices."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from calibration_sets.corpora import Corpus, Row, main
from trtforge.errors import ClipSetError

COLUMNS = ("client_id", "path", "sentence", "accents", "variant", "gender", "age")


def load(split: str, source: Path | None) -> Any:
    """Stream a split of the folder that holds ``test.tsv`` and ``clips``."""
    from datasets import Features, IterableDataset, Value

    if source is None or not (source / f"{split}.tsv").is_file():
        raise ClipSetError(f"there is no {split}.tsv in {source}", hint="name the release with --source")
    features = Features({"audio": Value("string"), **{column: Value("string") for column in COLUMNS}})
    return IterableDataset.from_generator(
        _rows, features=features, gen_kwargs={"source": source, "split": split}
    )


def _rows(source: Path, split: str) -> Iterator[dict[str, Any]]:
    with (source / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        # Sentences hold quotation marks that quote nothing.
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            # Older releases call the column "accent".
            row.setdefault("accents", row.get("accent", ""))
            cells = {column: row.get(column) for column in COLUMNS}
            yield {"audio": str(source / "clips" / row["path"]), **cells}


def accent(row: Row) -> str | None:
    """Return the first accent that the speaker named, in lower case."""
    first = (row["accents"] or "").split(",")[0].split("|")[0].strip().lower()
    return first or None


CORPUS = Corpus(
    name="common_voice",
    license="CC0-1.0",
    homepage="https://commonvoice.mozilla.org",
    load=load,
    split="dev",
    text="sentence",
    id=lambda row: Path(row["path"]).stem,
    strata={"accent": accent, "gender": "gender", "age": "age"},
    balance=("accent", "gender"),
    source="unpacked release of one language: the folder with test.tsv and clips/",
)

if __name__ == "__main__":
    raise SystemExit(main(CORPUS))
