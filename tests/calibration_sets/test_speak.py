import shutil
import subprocess

import numpy as np
import pytest

from calibration_sets.synthesis.accents import _BY_LANGUAGE, _GENERAL, accented
from calibration_sets.synthesis.speak import PEAK, SpeechError, phoneme_input, program_version, speak
from calibration_sets.synthesis.voices import OTHER_ACCENTS, voices

TEXT = "The quick brown fox jumps over the lazy dog."

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


def voice(name):
    return next(v for split in ("training", "calibration", "test") for v in voices(split) if v.name == name)


def fundamental(x):
    """Median over 40 ms frames of the strongest autocorrelation's inverse lag, 60 to 400 Hz."""
    found = []
    for start in range(0, len(x) - 640, 320):
        frame = x[start : start + 640] * np.hanning(640)
        similar = np.fft.irfft(np.square(np.abs(np.fft.rfft(frame, 2560))))[:640]
        if similar[0] > 1.0:
            similar /= similar[0] * (1 - np.arange(640) / 640)
            found.append(16_000 / (40 + int(np.argmax(similar[40:267]))))
    return float(np.median(found))


def test_an_accent_replaces_phonemes():
    # "the road" in American English: a German voice has no dh, and a long o for the diphthong.
    assert accented("D@2 r'oUd", "de") == [["z", "@"], ["r", "'", "o:", "d"]]
    assert accented("D@2 r'oUd", "es") == [["D", "a"], ["*", "'", "o", "w", "d"]]
    assert accented("_: tS'3:tS", "it") == [["tS", "'", "E", "*", "tS"]]


def test_an_unknown_phoneme_is_refused():
    with pytest.raises(ValueError, match=r"unknown phoneme at '\\$x' in 'a\$x'".replace("\\\\", "\\")):
        accented("a$x", "de")
    with pytest.raises(ValueError, match="no phoneme table for 'xx'; there is one for de, fr"):
        accented("a", "xx")


def test_every_accent_has_a_table():
    assert set(_BY_LANGUAGE) == set(OTHER_ACCENTS)
    assert all(set(table) <= set(_GENERAL) for table in _BY_LANGUAGE.values())


@needs_espeak
@pytest.mark.parametrize("language", OTHER_ACCENTS)
def test_no_phoneme_is_dropped(language):
    # espeak-ng ends a word at a mnemonic that the language lacks: a final m would not be heard.
    words = ["".join(accented(phoneme, language)[0]) + "am" for phoneme in _GENERAL]
    text = "\n\n".join(f"[[{word}]]." for word in words)
    done = subprocess.run(
        ["espeak-ng", "-q", "-x", "-v", language, "--stdin"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    heard = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    assert len(heard) == len(words)
    assert [word for word, said in zip(words, heard, strict=True) if not said.endswith("m")] == []


@needs_espeak
def test_phoneme_input_holds_every_word():
    assert phoneme_input("hello there, my friend", "sv").count("[[") == 4
    assert ", " in phoneme_input("hello there, my friend", "sv")


@needs_espeak
@pytest.mark.parametrize("name", ["en-gb+m3", "de+f5", "en-us"])
def test_speech_is_repeatable_with_margins_and_peak(name):
    x = speak(TEXT, voice(name), margin_s=0.25)
    np.testing.assert_array_equal(x, speak(TEXT, voice(name), margin_s=0.25))
    assert x.dtype == np.float32
    assert np.abs(x).max() == pytest.approx(PEAK)
    loud = np.flatnonzero(np.abs(x) > 0.02)
    assert 0.15 < loud[0] / 16_000 < 0.3
    assert 0.15 < (len(x) - loud[-1]) / 16_000 < 0.4
    assert 2.0 < len(x) / 16_000 < 4.0


@needs_espeak
def test_pace_and_pitch():
    slow, fast = (speak(TEXT, voice("en-us+m7"), words_per_minute=pace) for pace in (110, 220))
    assert (len(slow) - 6400) / (len(fast) - 6400) == pytest.approx(2.0, rel=0.2)
    low, high = (fundamental(speak(TEXT, voice("en-us+m7"), pitch=pitch)) for pitch in (30, 80))
    assert high / low > 1.4


@needs_espeak
def test_variants_sound_different_in_every_accent():
    # espeak-ng takes no variant after "en-gb", which is an alias.
    for accent in ("en-gb", "en-us", "fr"):
        low, high = (fundamental(speak(TEXT, voice(f"{accent}+{variant}"))) for variant in ("m1", "f1"))
        assert low < 115
        assert high > 150


@needs_flite
@pytest.mark.parametrize(("name", "low", "high"), [("flite-rms", 95, 112), ("flite-slt", 155, 190)])
def test_flite_speaks_at_its_own_pitch(name, low, high):
    assert low < fundamental(speak(TEXT, voice(name))) < high


@needs_flite
@pytest.mark.parametrize("name", ["flite-rms", "flite-slt", "flite-kal", "flite-awb"])
def test_flite_pitch_moves_and_pace_does_not(name):
    plain, raised = speak(TEXT, voice(name)), speak(TEXT, voice(name), pitch=65)
    assert fundamental(raised) / fundamental(plain) == pytest.approx(2 ** (15 / 60), rel=0.06)
    assert len(raised) == pytest.approx(len(plain), rel=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": " "}, "no text to speak"),
        ({"words_per_minute": 20}, "words_per_minute must lie in 80 to 300, not 20"),
        ({"pitch": 100}, "pitch must lie in 0 to 99, not 100"),
    ],
)
def test_arguments_are_checked(change, message):
    arguments = {"text": TEXT, "voice": voice("en-us")} | change
    with pytest.raises(ValueError, match=message):
        speak(**arguments)


def test_a_missing_program_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpeechError, match="espeak-ng is not installed; on Debian or Ubuntu: apt-get install"):
        speak(TEXT, voice("en-us"))
    program_version.cache_clear()
    with pytest.raises(SpeechError, match="flite is not installed"):
        program_version("flite")


def test_a_failing_program_is_reported(monkeypatch, tmp_path):
    program = tmp_path / "espeak-ng"
    program.write_text("#!/bin/sh\necho 'no such voice' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(SpeechError, match="espeak-ng failed with status 3: no such voice"):
        speak(TEXT, voice("en-us"))
