"""EdAcc: conversations in the Englishes of the world."""

from calibration_sets.corpora import Corpus, Row, main, stream_hub


def is_scored(row: Row) -> bool:
    """Leave out what the corpus's own scoring leaves out."""
    return "IGNORE_TIME_SEGMENT_IN_SCORING" not in (row["text"] or "").upper()


CORPUS = Corpus(
    name="edacc",
    license="CC-BY-SA-4.0",
    homepage="https://groups.inf.ed.ac.uk/edacc/",
    load=lambda split, _: stream_hub("edinburghcstr/edacc", None, split),
    split="validation",
    strata={"accent": "accent", "first_language": "l1", "gender": "gender", "speaker": "speaker"},
    balance=("accent",),
    keep=is_scored,
)

if __name__ == "__main__":
    raise SystemExit(main(CORPUS))
