"""The sentences that say most, and what search engines are told."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np

from examples.podcast.chapters import word_vectors
from examples.podcast.known_words import is_known
from examples.podcast.records import Keyword, Segment, Summary

MAX_DESCRIPTION_CHARS = 155
_MIN_WORDS = 6
_TOO_ALIKE = 0.6
_FAINT = 0.1
_MARKS = ".,?!…;:\"'()"


class Summariser(Protocol):
    """What writes a summary.

    Attributes
    ----------
    digest : of all that its answers depend on.
    """

    digest: str

    def sentences(self, segments: Sequence[Segment], limit: int) -> list[str]:
        """Return at most so many sentences about an episode; none where it has nothing to say."""
        ...


def summarise(
    segments: Sequence[Segment],
    keywords: Sequence[Keyword],
    *,
    title: str,
    num_sentences: int,
    language: str,
    terms: Collection[str] = (),
    summariser: Summariser | None = None,
) -> Summary:
    """Choose the most central sentences, or have them written; make title, slug, description and tags.

    Parameters
    ----------
    segments, keywords : of the episode.
    title : of the episode; made of the first keywords where empty.
    num_sentences : how many sentences; none is much like another.
    language : BCP 47 tag; statements in words that it knows, or that are ``terms``, are preferred.
    terms : as for `find_keywords`.
    summariser : writes the sentences; where it is None or writes none, they are chosen.
    """
    written = summariser.sentences(segments, num_sentences) if summariser else []
    sentences = written or key_sentences(segments, num_sentences, language=language, terms=terms)
    title = title.strip() or _title(keywords)
    return Summary(
        title=title,
        slug=slug(title),
        description=_cut(" ".join(sentences) or title, MAX_DESCRIPTION_CHARS),
        sentences=tuple(sentences),
        tags=tuple(keyword.text for keyword in keywords),
    )


def key_sentences(
    segments: Sequence[Segment], limit: int, *, language: str, terms: Collection[str] = ()
) -> list[str]:
    """Return the most central statements in known words; of all sentences where those are too few.

    Parameters
    ----------
    segments : of the episode.
    limit : most sentences.
    language, terms : as for `summarise`.
    """
    named = {word for term in terms for word in term.lower().split()}

    def is_readable(segment: Segment) -> bool:
        if segment.text.endswith("?"):
            return False
        words = [word.strip(_MARKS).lower() for word in segment.text.split()]
        return all(word in named or is_known(word, language) for word in words)

    readable = [segment.text for segment in segments if is_readable(segment)]
    texts = readable if len(readable) >= limit else [segment.text for segment in segments]
    return central_sentences(texts, limit)


def central_sentences(texts: Sequence[str], limit: int) -> list[str]:
    """Return the most central texts in their order.

    References
    ----------
    G. Erkan, D. Radev, "LexRank: Graph-based Lexical Centrality as Salience in Text Summarization", JAIR 22,
    2004: PageRank over cosine similarities of 0.1 and more.
    """
    import networkx

    rows = [index for index, text in enumerate(texts) if len(text.split()) >= _MIN_WORDS]
    if not rows:
        return list(texts[:limit])
    vectors = word_vectors(texts)[rows]
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms > 0, norms, 1.0)
    alike = unit @ unit.T
    np.fill_diagonal(alike, 0.0)
    alike[alike < _FAINT] = 0.0
    ranks = networkx.pagerank(networkx.from_numpy_array(alike), weight="weight")
    chosen: list[int] = []
    for row in sorted(ranks, key=lambda row: (-ranks[row], row)):
        if all(alike[row, other] < _TOO_ALIKE for other in chosen):
            chosen.append(row)
        if len(chosen) == limit:
            break
    return [texts[rows[row]] for row in sorted(chosen)]


def slug(text: str) -> str:
    """Write a text for addresses: a to z, digits, hyphens; at most 60 characters.

    A text without any Latin letter or digit is told from others by its digest.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].rstrip("-") or f"episode-{_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _title(keywords: Sequence[Keyword]) -> str:
    words = [keyword.text for keyword in keywords[:3]]
    if not words:
        return "Untitled episode"
    text = " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
    return text[:1].upper() + text[1:]


def _cut(text: str, limit: int) -> str:
    """Cut after a sentence in the later half; else at a word, with an ellipsis."""
    if len(text) <= limit:
        return text
    ends = [hit.end() for hit in re.finditer(r"[.!?](?= )", text[: limit + 1])]
    if ends and 2 * ends[-1] >= limit:
        return text[: ends[-1]]
    return text[: limit - 1].rpartition(" ")[0].rstrip(".,;:") + "…"
