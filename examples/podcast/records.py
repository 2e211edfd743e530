"""What the stages hand on: immutable values that are written as JSON and read back."""

from __future__ import annotations

from dataclasses import dataclass

from examples.podcast.columns import columns


@dataclass(frozen=True)
class Source:
    """The recording, as it was decoded.

    Parameters
    ----------
    sha256 : digest of the file.
    duration : in seconds.
    sampling_rate, num_channels : of the file.
    peak : largest absolute sample of the mono mix, full scale being 1.
    clipped_share : share of samples at full scale, 0 to 1.
    """

    sha256: str
    duration: float
    sampling_rate: int
    num_channels: int
    peak: float
    clipped_share: float


@dataclass(frozen=True)
class Region:
    """A stretch of speech, in seconds."""

    start: float
    end: float


@dataclass(frozen=True)
class Word:
    """A word and when it was said, in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Passage:
    """What was recognised in one region."""

    start: float
    end: float
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Transcript:
    """What was recognised in all regions.

    Parameters
    ----------
    language : BCP 47 tag.
    recognizer : what recognised it.
    punctuated : whether the recogniser writes capitals and punctuation.
    known_share : share of the letters that stand in words of the language; 1 where it was not measured.
    passages : in order.
    """

    language: str
    recognizer: str
    punctuated: bool
    known_share: float
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Segment:
    """About a sentence.

    Parameters
    ----------
    start, end : in seconds.
    text : as it is shown to readers.
    words : with times; terms of several words are one.
    """

    start: float
    end: float
    text: str
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Mood:
    """Sentiment of one segment: its label, and -1 (bad) to 1 (good)."""

    label: str
    score: float


@dataclass(frozen=True)
class Keyword:
    """A word or phrase that tells this episode from other texts.

    Parameters
    ----------
    text : as it is written in the transcript.
    count : how often it was said.
    score : the larger, the more telling.
    """

    text: str
    count: int
    score: float


@dataclass(frozen=True)
class Chapter:
    """A part of the episode, in seconds."""

    start: float
    end: float
    title: str


@dataclass(frozen=True)
class Summary:
    """What search engines and readers see first.

    Parameters
    ----------
    title : of the episode.
    slug : for addresses: a to z, digits, hyphens.
    description : for search results, at most 155 characters.
    sentences : the most central sentences, in the order of the episode.
    tags : search tags.
    """

    title: str
    slug: str
    description: str
    sentences: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Translation:
    """The segments in another language.

    Parameters
    ----------
    language : BCP 47 tag.
    texts : one for each segment.
    terms : glossary terms that stood in the source.
    terms_kept : how many of them stand in the translation.
    """

    language: str
    texts: tuple[str, ...]
    terms: int
    terms_kept: int


@dataclass(frozen=True)
class Cue:
    """One subtitle: seconds, and its lines."""

    start: float
    end: float
    lines: tuple[str, ...]

    @property
    def characters_per_second(self) -> float:
        """How fast it must be read; the break of a line counts as a space, a wide letter as two."""
        return columns(" ".join(self.lines)) / max(self.end - self.start, 1e-6)


@dataclass(frozen=True)
class Subtitles:
    """The cues of one language.

    Parameters
    ----------
    language : BCP 47 tag.
    cues : for VTT, in order, none overlapping.
    narrow_cues : the same with shorter lines, for SRT.
    too_fast : cues of ``cues`` that must be read faster than the limit, because they were spoken so.
    """

    language: str
    cues: tuple[Cue, ...]
    narrow_cues: tuple[Cue, ...]
    too_fast: int
