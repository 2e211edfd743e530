"""AMI: meetings, close to the mouth and from the middle of the table."""

from typing import Any

from calibration_sets.corpora import Corpus, Row, main, stream_hub

SITES = {"ES": "edinburgh", "EN": "edinburgh", "IS": "idiap", "IB": "idiap", "IN": "idiap", "TS": "tno"}


def load(split: str) -> Any:
    """Stream a split, headsets and the distant microphone by turns."""
    from datasets import interleave_datasets

    return interleave_datasets(
        [stream_hub("edinburghcstr/ami", config, split) for config in ("ihm", "sdm")],
        stopping_strategy="all_exhausted_without_replacement",
    )


def microphone(row: Row) -> str:
    """Return ``headset`` or ``distant``."""
    return "headset" if row["microphone_id"].upper().startswith("H") else "distant"


def site(row: Row) -> str | None:
    """Return where the meeting took place; the first two letters of its name say it."""
    return SITES.get(row["meeting_id"][:2].upper())


def gender(row: Row) -> str | None:
    """Return the speaker's gender; the first letter of the speaker's name says it."""
    return {"F": "female", "M": "male"}.get(row["speaker_id"][:1].upper())


CORPUS = Corpus(
    name="ami",
    license="CC-BY-4.0",
    homepage="https://groups.inf.ed.ac.uk/ami/corpus/",
    load=lambda split, _: load(split),
    split="validation",
    text=lambda row: row["text"].lower(),
    # The two microphones' recordings of one utterance may share a name.
    id=lambda row: f"{row['audio_id']}-{microphone(row)}",
    strata={"microphone": microphone, "site": site, "gender": gender},
    balance=("microphone", "site"),
)

if __name__ == "__main__":
    raise SystemExit(main(CORPUS))
