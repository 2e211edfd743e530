"""How each sentence feels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from examples.podcast.records import Mood

_NEUTRAL = 0.05


class Sentiment(Protocol):
    """What judges sentences.

    Attributes
    ----------
    digest : of all that its answers depend on.
    """

    digest: str

    def judge(self, texts: Sequence[str]) -> list[Mood]:
        """Return one mood for each text."""
        ...


class Lexicon:
    """VADER's word list and rules, which need no network; for English.

    References
    ----------
    C. Hutto, E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
    Text", ICWSM 2014; a compound score beyond 0.05 either way is not neutral.
    """

    digest = "vader-3.3"

    def judge(self, texts: Sequence[str]) -> list[Mood]:
        """Return one mood for each text."""
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        analyzer = SentimentIntensityAnalyzer()
        return [_mood(analyzer.polarity_scores(text)["compound"]) for text in texts]


def _mood(score: float) -> Mood:
    label = "positive" if score >= _NEUTRAL else "negative" if score <= -_NEUTRAL else "neutral"
    return Mood(label, round(score, 4))
