"""Measure the bundled English-Spanish model and fill the tables of its card.

    python -m benchmarks.bench_en_es

It translates in ONNX Runtime on the CPU: sentences held out from training, the same as a recogniser would
write them, and the script of the demo episode. Then terms that it has never seen are put into sentences, and
counted in the translations: greedy alone, by constrained search, and with its placeholders.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import describe_run
from benchmarks.pages import fill_between, table, to_text
from examples.models.en_es.corpus import Pair, as_spoken, make_corpus
from examples.models.en_es.grammar import FOLDER
from trtforge._files import write_text
from trtforge._progress import Stages
from trtforge.speech.translation import Glossary, Term, Translation, Translator, preservation_rate
from trtforge.speech.translation.terms import check_terms

ROOT = Path(__file__).parents[1]
CARD = FOLDER / "README.md"
RESULT = ROOT / "benchmarks/results/en_es.json"
FORMAT = "trtforge.benchmark.en_es/1"
SEED = 1
UNSEEN = ("Zephyr", "QuillNet", "Marrow 7", "attention head", "Oakline", "beam width", "Vexa", "HushPod")
KNOWN = ("TensorRT", "PyTorch", "Whisper", "CUDA", "Python", " engine ", " network ", " kernel ", " model ")
NUM_WITH_UNSEEN = 200
_PACKAGES = ("torch", "transformers", "sentencepiece", "sacrebleu", "onnxruntime", "numpy")


def measure() -> dict[str, Any]:
    """Translate and count."""
    from rich.console import Console

    stages = Stages(Console())
    translator = Translator.load(FOLDER / "checkpoint")
    corpus = make_corpus(0, SEED)
    rng = np.random.default_rng(SEED)
    spoken = [(as_spoken(english, rng), spanish) for english, spanish in corpus.held_out]
    sets: dict[str, Sequence[Pair]] = {
        "held out": corpus.held_out,
        "held out, as a recogniser writes": spoken,
        "script of the demo episode, in the training text": corpus.script,
        "the script, as a recogniser writes": [
            (as_spoken(english, rng), spanish) for english, spanish in corpus.script
        ],
    }
    parts = []
    for name, pairs in sets.items():
        with stages.stage(name) as stage:
            parts.append(_scores(translator, name, pairs, stage))
    with stages.stage("glossary") as stage:
        glossary = Glossary.load(FOLDER / "glossary.txt")
        glossaries = {
            name: _counts(
                translator.translate([pair[0] for pair in sets[name]], glossary=glossary, on_progress=stage)
            )
            for name in list(sets)[2:]
        }
    with stages.stage("unseen terms"):
        unseen = _unseen(translator, corpus.held_out)
    return {
        "format": FORMAT,
        "parts": parts,
        "glossary": [{"part": name, **counts} for name, counts in glossaries.items()],
        "unseen": unseen,
        "run": describe_run("benchmarks.bench_en_es", [], packages=_PACKAGES),
    }


def _scores(translator: Translator, name: str, pairs: Sequence[Pair], on_progress: Any) -> dict[str, Any]:
    import sacrebleu

    texts = [one.text for one in translator.translate([pair[0] for pair in pairs], on_progress=on_progress)]
    references = [pair[1] for pair in pairs]
    return {
        "part": name,
        "num_sentences": len(pairs),
        "chrf": round(sacrebleu.corpus_chrf(texts, [references]).score, 2),
        "bleu": round(sacrebleu.corpus_bleu(texts, [references]).score, 2),
        "num_exact": sum(text == wanted for text, wanted in zip(texts, references, strict=True)),
    }


def _unseen(translator: Translator, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Put unseen terms in the place of names and nouns, and count what each way keeps."""
    glossary = Glossary(tuple(Term(term) for term in UNSEEN))
    sentences: list[str] = []
    for english, _ in pairs:
        place = next((word for word in KNOWN if word in english), None)
        if place is not None:
            term = UNSEEN[len(sentences) % len(UNSEEN)]
            sentences.append(english.replace(place, place.replace(place.strip(), term), 1))
    sentences = sentences[:NUM_WITH_UNSEEN]
    greedy = [_counted(one, glossary) for one in translator.translate(sentences)]
    without = Translator(replace(translator.text, placeholders=()), translator.sequences)
    ways = {
        "greedy alone": greedy,
        "constrained search": without.translate(sentences, glossary=glossary),
        "placeholders, then constrained search": translator.translate(sentences, glossary=glossary),
    }
    return [{"way": way, **_counts(results)} for way, results in ways.items()]


def _counted(translation: Translation, glossary: Glossary) -> Translation:
    """Look for terms in a translation that was made without the glossary."""
    check = check_terms(
        translation.text, [match.term.rendering for match in glossary.find(translation.source)]
    )
    return replace(translation, terms_kept=check.kept, terms_lost=check.lost)


def _counts(translations: Sequence[Translation]) -> dict[str, Any]:
    methods = ("greedy", "placeholders", "constrained")
    return {
        "num_sentences": len(translations),
        "num_kept": sum(len(one.terms_kept) for one in translations),
        "num_lost": sum(len(one.terms_lost) for one in translations),
        "preservation_rate": round(preservation_rate(translations), 4),
        "methods": {method: sum(one.method == method for one in translations) for method in methods},
    }


def page(result: Mapping[str, Any]) -> str:
    """Write the result as the card's tables."""
    scores = table(
        ("sentences", "number", "chrF", "BLEU", "exact"),
        [
            (
                part["part"], part["num_sentences"], f"{part['chrf']:.1f}", f"{part['bleu']:.1f}",
                f"{100 * part['num_exact'] / part['num_sentences']:.1f} %",
            )
            for part in result["parts"]
        ],
        right=4,
    )  # fmt: skip
    terms = table(
        ("unseen terms", "kept", "lost", "share kept"),
        [
            (row["way"], row["num_kept"], row["num_lost"], f"{100 * row['preservation_rate']:.1f} %")
            for row in result["unseen"]
        ],
        right=3,
    )
    script = table(
        ("with `glossary.txt`", "terms kept", "terms lost", "greedy alone sufficed for"),
        [
            (row["part"], row["num_kept"], row["num_lost"], f"{row['methods']['greedy']} sentences")
            for row in result["glossary"]
        ],
        right=3,
    )
    run = result["run"]
    return "\n\n".join(
        [
            scores,
            script,
            terms,
            f"Measured by `{run['command']}` on {run['machine']['processor']}, "
            f"{run['machine']['num_cpus']} cores, {run['date']}; `benchmarks/results/en_es.json` has the "
            "counts and versions.",
        ]
    )


def main() -> None:
    """Measure, write the JSON and the card."""
    write_text(RESULT, to_text(measure()))
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    write_text(CARD, fill_between(CARD.read_text(encoding="utf-8"), page(result)))
    print(page(result))


if __name__ == "__main__":
    main()
