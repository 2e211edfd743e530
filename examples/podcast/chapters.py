"""Where the talk turns to something else."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.podcast.keywords import find_keywords, stop_words
from examples.podcast.records import Chapter, Segment

MAX_TITLE_CHARS = 39
# An ID3 table of contents counts its chapters in a byte.
MAX_CHAPTERS = 255
_BLOCK = 6
_WORD = r"(?u)\b[^\W\d_]\w\w+\b"
_MANY = 200
_PAUSE_WEIGHT = 0.15


def find_chapters(
    segments: Sequence[Segment],
    *,
    duration: float,
    language: str,
    min_seconds: float,
    terms: Collection[str] = (),
) -> tuple[Chapter, ...]:
    """Part an episode where the words before and after a gap differ most, and name the parts.

    The first chapter begins at 0 and the last ends with the episode. Gaps with a long pause are preferred.
    There are at most 255. A chapter's title is made of the keywords that it has and the others have less.

    Parameters
    ----------
    segments : the episode; at least one.
    duration : of the episode, in seconds.
    language : BCP 47 tag.
    min_seconds : shortest chapter.
    terms : as for `find_keywords`.

    References
    ----------
    M. Hearst, "TextTiling: Segmenting Text into Multi-paragraph Subtopic Passages", Computational
    Linguistics 23(1), 1997: depth scores of block similarity; a boundary is a depth above the mean less half
    a standard deviation.
    """
    depths = _depths(segments)
    chosen: list[int] = []
    if depths.size:
        threshold = depths.mean() + depths.std() / 2
        for gap in np.argsort(-depths, kind="stable").tolist():
            edges = sorted([0.0, *(segments[other + 1].start for other in chosen), duration])
            start = segments[gap + 1].start
            if depths[gap] > threshold and min(abs(start - edge) for edge in edges) >= min_seconds:
                chosen.append(gap)
            if len(chosen) == MAX_CHAPTERS - 1:
                break
    bounds = [0, *(gap + 1 for gap in sorted(chosen)), len(segments)]
    starts = [0.0, *(round(segments[first].start, 3) for first in bounds[1:-1]), duration]
    titles = _titles([segments[a:b] for a, b in itertools.pairwise(bounds)], language, terms)
    return tuple(
        Chapter(start, end, title) for start, end, title in zip(starts, starts[1:], titles, strict=False)
    )


def _depths(segments: Sequence[Segment]) -> NDArray[np.float64]:
    """Return how deep the similarity dips at the gap after each segment but the last, float64 [gaps]."""
    if len(segments) < 3:
        return np.zeros(0)
    vectors = word_vectors([segment.text for segment in segments])
    gaps = len(segments) - 1
    similarity = np.array(
        [
            _cosine(vectors[max(0, gap + 1 - _BLOCK) : gap + 1], vectors[gap + 1 : gap + 1 + _BLOCK])
            for gap in range(gaps)
        ]
    )
    left = np.array([_peak(similarity[: gap + 1][::-1]) for gap in range(gaps)])
    right = np.array([_peak(similarity[gap:]) for gap in range(gaps)])
    pauses = np.array([after.start - before.end for before, after in itertools.pairwise(segments)])
    spread = pauses.std()
    unusual = np.clip((pauses - pauses.mean()) / spread, -1, 3) if spread > 0 else np.zeros(gaps)
    depths: NDArray[np.float64] = left + right - 2 * similarity + _PAUSE_WEIGHT * unusual
    return depths


def word_vectors(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return TF-IDF of each text's words but stop words, float64 [texts, words]."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(stop_words=sorted(stop_words()), sublinear_tf=True, token_pattern=_WORD)
    try:
        return np.asarray(vectorizer.fit_transform(texts).toarray(), np.float64)
    except ValueError:  # nothing but stop words
        return np.zeros((len(texts), 1))


def _cosine(before: NDArray[Any], after: NDArray[Any]) -> float:
    a, b = before.sum(axis=0), after.sum(axis=0)
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else 0.0


def _peak(values: NDArray[np.float64]) -> float:
    """Climb from the first value as long as it rises."""
    best = float(values[0])
    for value in values[1:].tolist():
        if value < best:
            break
        best = value
    return best


def _titles(parts: Sequence[Sequence[Segment]], language: str, terms: Collection[str]) -> list[str]:
    """Name each part by up to two keywords, none used twice."""
    used: set[str] = set()
    titles = []
    everything = [segment for part in parts for segment in part]
    keywords = find_keywords(everything, language=language, limit=_MANY, terms=terms)
    whole = {word.text.lower(): word for word in keywords}
    for number, part in enumerate(parts, 1):
        found = find_keywords(part, language=language, limit=_MANY, terms=terms)
        share = {
            word.text: word.score * word.count / max(word.count, whole[word.text.lower()].count)
            for word in found
            if word.text.lower() in whole
        }
        ranked = sorted((text for text in share if text.lower() not in used), key=lambda text: -share[text])
        title = _joined(ranked)
        used.update(text.lower() for text in ranked if text.lower() in title.lower())
        titles.append(title or ("Introduction" if number == 1 else f"Part {number}"))
    return titles


def _joined(words: Sequence[str]) -> str:
    title = ""
    for word in words[:2]:
        longer = f"{title} and {word}" if title else word
        if len(longer) <= MAX_TITLE_CHARS:
            title = longer
    return title[:1].upper() + title[1:]
