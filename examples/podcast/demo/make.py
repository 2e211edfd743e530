"""Make the demo episode: two synthetic voices, a jingle and a quiet room.

    python -m examples.podcast.demo.make OUTPUT

Writes ``episode.mp3``, ``reference.json`` (each sentence as it was written and as it was spoken, with its
speaker and its times) and ``cover.png``. The same versions of espeak-ng and libsndfile give the same bytes.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from calibration_sets.synthesis.distort import mix, noise
from calibration_sets.synthesis.speak import SAMPLING_RATE, speak
from calibration_sets.synthesis.texts import normalise
from calibration_sets.synthesis.voices import Voice, voices
from examples.podcast.demo.cover import draw_cover
from examples.podcast.demo.jingle import jingle
from trtforge._files import write_json

SCRIPT = Path(__file__).with_name("script.txt")
VOICES = {"HOST": ("en-us+f2", 135.0), "GUEST": ("en-us+m7", 140.0)}
SPOKEN = {"TensorRT": "tensor R T", "INT8": "int eight"}
SEED = 20
NOISE_SNR_DB = 35.0

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Line:
    """One sentence of the script.

    Parameters
    ----------
    chapter : title of the part that it stands in.
    speaker : ``HOST`` or ``GUEST``.
    text : as written.
    """

    chapter: str
    speaker: str
    text: str

    @property
    def spoken(self) -> str:
        """What the synthesiser is given."""
        text = self.text
        for written, spoken in SPOKEN.items():
            text = text.replace(written, spoken)
        return text


def read_script(path: Path = SCRIPT) -> tuple[Line, ...]:
    """Read the script: ``# title`` begins a chapter, ``SPEAKER: sentence`` is one sentence."""
    lines, chapter = [], ""
    for text in path.read_text(encoding="ascii").splitlines():
        if text.startswith("# "):
            chapter = text[2:]
        elif text:
            speaker, _, sentence = text.partition(": ")
            lines.append(Line(chapter, speaker, sentence))
    return tuple(lines)


def render(lines: tuple[Line, ...]) -> tuple[Samples, list[dict[str, object]]]:
    """Speak the lines between two jingles, in a room.

    Returns
    -------
    float32 [num_samples] at 16 kHz, and the reference: each line with its spoken words and its times.
    """
    rng = np.random.default_rng(SEED)
    known = {voice.name: voice for voice in voices("training")}
    music = jingle()
    pieces, reference, now = [music], [], len(music)
    for number, line in enumerate(lines):
        new_chapter = number > 0 and line.chapter != lines[number - 1].chapter
        pause = rng.uniform(1.3, 1.7) if new_chapter or not number else rng.uniform(0.45, 0.7)
        audio = _say(line, known)
        pieces += [np.zeros(round(pause * SAMPLING_RATE), np.float32), audio]
        start = now + len(pieces[-2])
        now = start + len(audio)
        times = {"start": round(start / SAMPLING_RATE, 3), "end": round(now / SAMPLING_RATE, 3)}
        reference.append(asdict(line) | {"words": normalise(line.spoken)} | times)
    speech = np.concatenate([*pieces, np.zeros(SAMPLING_RATE, np.float32), music])
    return mix(speech, noise("hum", len(speech), rng), NOISE_SNR_DB), reference


def _say(line: Line, known: dict[str, Voice]) -> Samples:
    name, pace = VOICES[line.speaker]
    # Their peaks lie well above the jingle and far below full scale.
    audio = speak(line.spoken, known[name], words_per_minute=pace, margin_s=0.05)
    return np.asarray(0.6 * audio, dtype=np.float32)


def main() -> None:
    """Write the episode, its reference and its cover."""
    parser = argparse.ArgumentParser(description="Make the demo episode.")
    parser.add_argument("output", type=Path, nargs="?", default=Path(__file__).parent)
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    audio, reference = render(read_script())
    soundfile.write(
        folder / "episode.mp3",
        audio,
        SAMPLING_RATE,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=0.7,
        bitrate_mode="VARIABLE",
    )
    write_json(folder / "reference.json", {"voices": VOICES, "sentences": reference})
    draw_cover(folder / "cover.png")


if __name__ == "__main__":
    main()
