"""What Whisper's symbols mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trtforge.errors import ConfigError, ModelError
from trtforge.speech.transcript import UNSPACED

TASKS = ("transcribe", "translate")
_NEEDED = ("endoftext", "startoftranscript", "notimestamps")


@dataclass(frozen=True)
class WhisperVocabulary:
    """The symbols of a Whisper checkpoint.

    Parameters
    ----------
    pieces : text of each symbol below ``stop``, as bytes.
    start, stop : what the decoder begins with, and what ends a text.
    no_speech, no_timestamps : symbols; the times of a window follow ``no_timestamps``, 20 ms apart.
    languages : code to symbol; empty where the checkpoint knows English alone.
    tasks : ``transcribe`` and ``translate`` to symbols; empty where it knows English alone.
    suppressed, suppressed_first : never to be said, and not as the first.
    max_initial_time : latest time of the first symbol, in steps of 20 ms, or None.
    """

    pieces: tuple[bytes, ...]
    start: int
    stop: int
    no_speech: int
    no_timestamps: int
    languages: Mapping[str, int]
    tasks: Mapping[str, int]
    suppressed: tuple[int, ...]
    suppressed_first: tuple[int, ...]
    max_initial_time: int | None = None

    @property
    def first_time(self) -> int:
        """The symbol of the time 0."""
        return self.no_timestamps + 1

    @property
    def is_multilingual(self) -> bool:
        """Whether languages and tasks can be chosen."""
        return bool(self.languages)

    def check(self, num_symbols: int) -> None:
        """Raise `ModelError` unless every symbol is one of a network's ``num_symbols``."""
        symbols = {name: getattr(self, name) for name in ("start", "stop", "no_speech", "no_timestamps")}
        for name, symbol in (symbols | dict(self.languages) | dict(self.tasks)).items():
            if type(symbol) is not int or not 0 <= symbol < num_symbols:
                raise ModelError(
                    f"the checkpoint's symbol of {name!r} must lie in 0 to {num_symbols - 1}, got {symbol!r}",
                    hint="are tokenizer, generation_config.json and weights those of the same checkpoint?",
                )

    def prompt(self, language: str | None, task: str, *, timestamps: bool) -> tuple[int, ...]:
        """Return what the decoder begins with.

        Raises
        ------
        ConfigError : the checkpoint has no such language or task.
        """
        if task not in TASKS:
            raise ConfigError(f"task must be one of {TASKS}, got {task!r}", settings=("task",))
        middle: tuple[int, ...] = ()
        if self.is_multilingual:
            if language is None or language not in self.languages:
                known = ", ".join(sorted(self.languages))
                raise ConfigError(
                    f"the checkpoint has no language {language!r}; it has {known}",
                    settings=("language",),
                )
            if task not in self.tasks:
                raise ConfigError(
                    f"the checkpoint has no task {task!r}; it has {', '.join(self.tasks)}", settings=("task",)
                )
            middle = self.languages[language], self.tasks[task]
        elif language not in (None, "en") or task != "transcribe":
            raise ConfigError(
                f"the checkpoint knows English alone and transcribes, got {language!r} and {task!r}",
                settings=("language", "task"),
            )
        return (self.start, *middle, *(() if timestamps else (self.no_timestamps,)))

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of symbols; those that have none are left out, incomplete letters become ``�``."""
        return b"".join(self.pieces[token] for token in tokens if token < len(self.pieces)).decode(
            errors="replace"
        )

    def words(self, tokens: Sequence[int], language: str | None) -> list[tuple[str, int, int]]:
        """Divide symbols into words.

        A word begins at a space; in languages without spaces, at each symbol that completes a letter.
        Punctuation without a space before it belongs to the word before.

        Parameters
        ----------
        tokens : symbols of text alone.
        language : its code.

        Returns
        -------
        Text, first symbol and end of each word.
        """
        words: list[tuple[str, int, int]] = []
        begin = 0
        for end in range(1, len(tokens) + 1):
            text = self.text(tokens[begin:end])
            if (
                text.endswith("�")
                and end < len(tokens)
                and b"\xef\xbf\xbd" not in self._bytes(tokens[begin:end])
            ):
                continue  # more bytes of the letter follow
            is_mark = bool(text.strip()) and not any(letter.isalnum() for letter in text)
            joins = bool(words) and not text.startswith(" ") and (language not in UNSPACED or is_mark)
            if joins:
                before, first, _ = words[-1]
                words[-1] = before + text, first, end
            else:
                words.append((text, begin, end))
            begin = end
        return [(text.strip(), first, end) for text, first, end in words if text.strip()]

    def _bytes(self, tokens: Sequence[int]) -> bytes:
        return b"".join(self.pieces[token] for token in tokens)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            **asdict(self),
            "languages": dict(self.languages),
            "tasks": dict(self.tasks),
            "pieces": [piece.hex() for piece in self.pieces],
        }

    @classmethod
    def from_json(cls, value: Any) -> WhisperVocabulary:
        """Read what `to_json` gave.

        Raises
        ------
        ModelError : it is something else.
        """
        try:
            return cls(
                **{
                    **value,
                    "pieces": tuple(bytes.fromhex(piece) for piece in value["pieces"]),
                    "suppressed": tuple(value["suppressed"]),
                    "suppressed_first": tuple(value["suppressed_first"]),
                }
            )
        except (TypeError, KeyError, ValueError) as error:
            raise ModelError(f"this is no Whisper vocabulary: {error}") from error

    @classmethod
    def of_checkpoint(cls, tokenizer: Any, settings: Any, num_symbols: int) -> WhisperVocabulary:
        """Read a checkpoint's tokenizer and generation settings.

        Parameters
        ----------
        tokenizer : a ``transformers`` Whisper tokenizer.
        settings : the checkpoint's ``generation_config``.
        num_symbols : size of the network's vocabulary.

        Raises
        ------
        ModelError : the tokenizer is not Whisper's, or the settings do not say the languages, or are not
            written as Whisper's are.
        """
        symbols = tokenizer.get_vocab()
        stop, start, no_timestamps = (_symbol(symbols, name) for name in _NEEDED)
        byte_of = {letter: byte for byte, letter in _letters_of_bytes().items()}
        names = tokenizer.convert_ids_to_tokens(list(range(stop)))
        try:
            pieces = tuple(bytes(byte_of[letter] for letter in name) for name in names)
        except (KeyError, TypeError):
            raise _foreign("symbols that are no bytes") from None
        if no_timestamps >= num_symbols:
            raise _foreign(f"more symbols than the network, which has {num_symbols}")
        languages, tasks = (_mapping(settings, name) for name in ("lang_to_id", "task_to_id"))
        latest = getattr(settings, "max_initial_timestamp_index", None)
        if latest is not None and (type(latest) is not int or latest < 0):
            raise _malformed("max_initial_timestamp_index", latest)
        if bool(languages) != bool(tasks) or (
            not languages and getattr(settings, "is_multilingual", None) is not False
        ):
            raise ModelError(
                "the checkpoint does not say its languages: its generation_config.json lacks lang_to_id and "
                "task_to_id, or is_multilingual where it knows English alone",
                hint="take generation_config.json from the checkpoint that this one was made of",
            )
        found = cls(
            pieces=pieces,
            start=start,
            stop=stop,
            no_speech=_symbol(symbols, "nospeech", "nocaptions"),
            no_timestamps=no_timestamps,
            languages={name.strip("<|>"): token for name, token in languages.items()},
            tasks=tasks,
            suppressed=_inside(settings, "suppress_tokens", num_symbols),
            suppressed_first=_inside(settings, "begin_suppress_tokens", num_symbols),
            max_initial_time=latest,
        )
        found.check(num_symbols)
        return found


def _symbol(symbols: Mapping[str, int], *names: str) -> int:
    """Return the symbol of the first name that there is."""
    for name in names:
        if f"<|{name}|>" in symbols:
            return int(symbols[f"<|{name}|>"])
    raise _foreign(f"no <|{names[0]}|>")


def _foreign(what: str) -> ModelError:
    return ModelError(
        f"the checkpoint's tokenizer is not Whisper's: it has {what}",
        hint="are tokenizer.json and tokenizer_config.json, or vocab.json and merges.txt, those of the "
        "checkpoint?",
    )


def _malformed(name: str, value: Any) -> ModelError:
    return ModelError(
        f"the checkpoint's generation_config.json has {name}: {str(value)[:80]!r}, which is not how "
        "Whisper's are written",
        hint="take generation_config.json from the checkpoint that this one was made of",
    )


def _mapping(settings: Any, name: str) -> dict[str, Any]:
    value = getattr(settings, name, None) or {}
    if not isinstance(value, dict):
        raise _malformed(name, value)
    return dict(value)


def _inside(settings: Any, name: str, num_symbols: int) -> tuple[int, ...]:
    value = getattr(settings, name, None) or ()
    if not isinstance(value, list | tuple) or any(type(token) is not int for token in value):
        raise _malformed(name, value)
    return tuple(token for token in value if 0 <= token < num_symbols)


def _letters_of_bytes() -> dict[int, str]:
    """Return how byte-level vocabularies write each byte: itself where it prints, else from U+0100 on."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {byte: chr(byte) for byte in printing}
    others = (byte for byte in range(0x100) if byte not in letters)
    return letters | {byte: chr(0x100 + index) for index, byte in enumerate(others)}
