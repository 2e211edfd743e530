"""Passages of words into sentences that people read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from itertools import chain, pairwise

from examples.podcast.records import Passage, Segment, Transcript, Word
from trtforge.speech.transcript import UNSPACED

_AUXILIARY = "is|are|was|were|do|does|did|can|could|will|would|should|has|have|had|am"
_SUBJECT = "i|you|he|she|it|we|they|there|this|that|the|a|an|your|our|my"
_QUESTION = re.compile(
    rf"(?:(?:and|but|so|or|well) )?"
    rf"(?:(?:what|why|who|whom|where|when|which|how)(?: (?:many|much))?(?: \w+)? (?:{_AUXILIARY})\b"
    rf"|(?:{_AUXILIARY}) (?:{_SUBJECT})\b)",
    re.IGNORECASE,
)
# What may stand around a word; the dot of ".NET" is part of it.
_MARKS = re.compile(
    r"""(?P<before>["'“\u2018«„([{¿¡]*)(?P<word>.*?)(?P<after>[.,;:?!…"'”\u2019»“)\]}]*)""", re.DOTALL
)
_SENTENCE_ENDS = (".", "?", "!", "…")


def segment(
    transcript: Transcript, *, terms: Mapping[str, Sequence[str]], max_seconds: float
) -> tuple[Segment, ...]:
    """Part a transcript into sentences and write terms as they are written.

    Speech is parted at pauses already. Where the recogniser punctuates, a sentence also ends at ``.``, ``?``
    or ``!``. Where it does not, each gets a capital letter and a full stop, or a question mark where it
    begins as an English question does, and ``i`` becomes ``I``. A sentence that lasts too long is parted at
    its longest pause.

    Parameters
    ----------
    transcript : what was recognised.
    terms : how a term is written, with the ways it may be recognised, in lower case.
    max_seconds : longest sentence.
    """
    spoken = _spoken_forms(terms)
    found = []
    for passage in transcript.passages:
        sentences = _sentences(passage) if transcript.punctuated else [passage.words]
        shown = partial(
            _shown, punctuated=transcript.punctuated, language=transcript.language, terms=frozenset(terms)
        )
        parts = list(chain.from_iterable(_parted(sentence, max_seconds) for sentence in sentences))
        for number, words in enumerate(parts):
            start = passage.start if number == 0 else words[0].start
            end = passage.end if number == len(parts) - 1 else words[-1].end
            written = tuple(_with_terms(words, spoken))
            found.append(Segment(start, end, shown(written), written))
    return tuple(found)


def _spoken_forms(terms: Mapping[str, Sequence[str]]) -> dict[tuple[str, ...], str]:
    forms = {tuple(form.lower().split()): term for term, ways in terms.items() for form in (term, *ways)}
    return dict(sorted(forms.items(), key=lambda item: -len(item[0])))


def _with_terms(words: Sequence[Word], spoken: Mapping[tuple[str, ...], str]) -> Iterator[Word]:
    """Put each term for the longest of its forms that stands here; its time is that of all its words."""
    parts = [_MARKS.fullmatch(word.text) for word in words]
    plain = [part["word"].lower() if part else "" for part in parts]
    index = 0
    while index < len(words):
        for form, term in spoken.items():
            stop = index + len(form)
            first, last = parts[index], parts[stop - 1] if stop <= len(parts) else None
            if first and last and tuple(plain[index:stop]) == form:
                begins = index == 0 and term.islower() and first["word"][:1].isupper()
                text = term[:1].upper() + term[1:] if begins else term
                yield Word(first["before"] + text + last["after"], words[index].start, words[stop - 1].end)
                index = stop
                break
        else:
            yield words[index]
            index += 1


def _sentences(passage: Passage) -> Iterator[tuple[Word, ...]]:
    begin = 0
    for index, word in enumerate(passage.words):
        if word.text.endswith(_SENTENCE_ENDS):
            yield passage.words[begin : index + 1]
            begin = index + 1
    if begin < len(passage.words):
        yield passage.words[begin:]


def _parted(words: tuple[Word, ...], max_seconds: float) -> Iterator[tuple[Word, ...]]:
    if len(words) < 2 or words[-1].end - words[0].start <= max_seconds:
        yield words
        return
    pauses = [after.start - before.end for before, after in pairwise(words)]
    # The longest pause; of equal ones, that nearest the middle.
    cut = 1 + max(range(len(pauses)), key=lambda at: (pauses[at], -abs(at + 1 - len(words) / 2)))
    yield from _parted(words[:cut], max_seconds)
    yield from _parted(words[cut:], max_seconds)


def _shown(words: Sequence[Word], *, punctuated: bool, language: str, terms: Set[str]) -> str:
    text = ("" if language in UNSPACED else " ").join(word.text for word in words)
    if punctuated:
        return text
    text = " ".join(
        "I" + word[1:] if word == "i" or word.startswith("i'") else word for word in text.split(" ")
    )
    mark = "?" if language.startswith("en") and _QUESTION.match(text) else "."
    # A term with capitals of its own, such as iOS, begins a sentence as it is written.
    is_written = words[0].text in terms and not words[0].text.islower()
    return (text if is_written else text[:1].upper() + text[1:]) + mark
