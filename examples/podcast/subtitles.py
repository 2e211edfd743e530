"""Segments into cues that can be read in time, and cues into SRT and VTT."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from datetime import timedelta

from examples.podcast.columns import break_up, columns
from examples.podcast.records import Cue, Segment, Subtitles
from examples.podcast.settings import Limits

_STRETCH_SECONDS = 1.5


def make_subtitles(segments: Sequence[Segment], limits: Limits, *, language: str) -> Subtitles:
    """Make the cues of the spoken language, timed by words.

    Parameters
    ----------
    segments : the episode.
    limits : what cues keep; where speech is faster than the reading speed and no pause follows, the cue
        stands as long as it can and is counted in ``too_fast``.
    language : BCP 47 tag.
    """
    timed = [_word_times(segment) for segment in segments]
    return _subtitles(timed, limits, language)


def translated_subtitles(
    segments: Sequence[Segment], texts: Sequence[str], limits: Limits, *, language: str
) -> Subtitles:
    """Make the cues of a translation: each segment's time is shared out by characters.

    Parameters
    ----------
    segments : the episode.
    texts : one translation for each segment.
    limits, language : as for `make_subtitles`.
    """
    timed = [_spread(text, segment.start, segment.end) for segment, text in zip(segments, texts, strict=True)]
    return _subtitles([words for words in timed if words], limits, language)


TimedWords = Sequence["tuple[str, float, float]"]


def _word_times(segment: Segment) -> TimedWords:
    """Take the words of the text as it is shown, with the times of the words as spoken."""
    shown = segment.text.split(" ")
    if sum(len(word.text.split(" ")) for word in segment.words) != len(shown):
        return _spread(segment.text, segment.start, segment.end)
    found: list[tuple[str, float, float]] = []
    for word in segment.words:
        size = len(word.text.split(" "))
        text = " ".join(shown[:size])
        shown = shown[size:]
        found.append((text, word.start, word.end))
    first, last = found[0], found[-1]
    found[0] = (first[0], min(first[1], segment.start), first[2])
    found[-1] = (last[0], found[-1][1], max(last[2], segment.end))
    return found


def _spread(text: str, start: float, end: float) -> TimedWords:
    words = text.split()
    total = sum(len(word) + 1 for word in words)
    found, done = [], 0
    for word in words:
        begin = start + (end - start) * done / total
        done += len(word) + 1
        found.append((word, begin, start + (end - start) * done / total))
    return found


def _subtitles(timed: Sequence[TimedWords], limits: Limits, language: str) -> Subtitles:
    cues = _cues(timed, limits, limits.line_chars)
    narrow = _cues(timed, limits, limits.narrow_line_chars)
    fast = sum(cue.characters_per_second > limits.characters_per_second + 0.01 for cue in cues)
    return Subtitles(language, cues, narrow, fast)


def _cues(timed: Sequence[TimedWords], limits: Limits, line_chars: int) -> tuple[Cue, ...]:
    raw = [cue for words in timed for cue in _split(words, limits, line_chars)]
    found: list[Cue] = []
    for index, (start, end, lines) in enumerate(raw):
        if found:
            start = max(start, found[-1].end + limits.gap_seconds)
        room = raw[index + 1][0] - limits.gap_seconds if index + 1 < len(raw) else float("inf")
        length = columns(" ".join(lines))
        wanted = max(end, start + limits.min_seconds, start + length / limits.characters_per_second)
        # Reading time may be borrowed from the pause that follows, not without end.
        end = min(wanted, max(room, start + 0.2), end + _STRETCH_SECONDS, start + limits.max_seconds)
        found.append(Cue(round(start, 3), round(max(end, start + 0.2), 3), lines))
    return tuple(found)


def _split(whole: TimedWords, limits: Limits, line_chars: int) -> list[tuple[float, float, tuple[str, ...]]]:
    """Part words into the fewest cues that fit, and of those ways into the most even one."""
    words = [part for word in whole for part in _broken(word, line_chars)]
    best: list[tuple[int, float, int]] = [(0, 0.0, 0)]
    target = line_chars * limits.max_lines
    for stop in range(1, len(words) + 1):
        options = []
        for start in range(stop - 1, -1, -1):
            lines = wrap([word[0] for word in words[start:stop]], line_chars)
            seconds = words[stop - 1][2] - words[start][1]
            if start < stop - 1 and (len(lines) > limits.max_lines or seconds > limits.max_seconds):
                break
            count, cost, _ = best[start]
            spare = target - sum(map(columns, lines))
            options.append((count + 1, cost + spare * spare, start))
        best.append(min(options))
    found = []
    stop = len(words)
    while stop:
        start = best[stop][2]
        lines = wrap([word[0] for word in words[start:stop]], line_chars)
        found.append((words[start][1], words[stop - 1][2], tuple(lines)))
        stop = start
    return found[::-1]


def _broken(word: tuple[str, float, float], line_chars: int) -> TimedWords:
    """Break what no line holds, an address or a text without spaces, and share its time out."""
    text, start, end = word
    found, done = [], 0
    for piece in break_up(text, line_chars):
        begin = start + (end - start) * done / len(text)
        done += len(piece)
        found.append((piece, begin, start + (end - start) * done / len(text)))
    return found


def wrap(words: Sequence[str], line_chars: int) -> list[str]:
    """Break words into the fewest lines, the longest of which is as short as can be."""
    lines = _filled(words, line_chars)
    for width in range(max(map(columns, words), default=1), line_chars):
        narrower = _filled(words, width)
        if len(narrower) == len(lines):
            return narrower
    return lines


def _filled(words: Sequence[str], width: int) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and columns(lines[-1]) + 1 + columns(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def to_srt(cues: Sequence[Cue]) -> str:
    """Write cues as SubRip."""
    import srt

    return str(
        srt.compose(
            [
                srt.Subtitle(
                    number, timedelta(seconds=cue.start), timedelta(seconds=cue.end), "\n".join(cue.lines)
                )
                for number, cue in enumerate(cues, 1)
            ]
        )
    )


def to_vtt(cues: Sequence[Cue]) -> str:
    """Write cues as WebVTT."""
    import webvtt

    document = webvtt.WebVTT(header_comments=[])
    for cue in cues:
        text = [html.escape(line, quote=False) for line in cue.lines]
        document.captions.append(webvtt.Caption(_stamp(cue.start), _stamp(cue.end), text))
    buffer = io.StringIO()
    document.write(buffer)
    return buffer.getvalue().rstrip("\n") + "\n"


def _stamp(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
