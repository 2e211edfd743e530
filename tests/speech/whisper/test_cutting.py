import itertools
import tracemalloc

import numpy as np
import pytest

from trtforge.errors import ConfigError
from trtforge.speech.whisper import CutSettings, cut
from trtforge.speech.whisper.cutting import levels_db

RATE = 16_000


def noise(seconds, level=0.1):
    return (level * np.random.default_rng(0).standard_normal(int(seconds * RATE))).astype(np.float32)


def silence(seconds):
    return np.zeros(int(seconds * RATE), np.float32)


def spans(*parts, settings=None, block=7_000):
    audio = np.concatenate(parts)
    blocks = (audio[begin : begin + block] for begin in range(0, len(audio), block))
    windows = list(cut(blocks, settings or CutSettings()))
    for window in windows:
        np.testing.assert_array_equal(window.audio, audio[window.begin : window.begin + len(window.audio)])
    return [(round(window.start, 2), round(window.end, 2)) for window in windows]


def test_silence_gives_no_window():
    assert spans(silence(100)) == []
    assert spans(noise(100, level=1e-4)) == []  # -80 dB
    assert list(cut([], CutSettings())) == []


def test_pauses_divide_and_padding_stays():
    assert spans(silence(5), noise(2), silence(4), noise(3), silence(50)) == [(4.8, 7.2), (10.8, 14.2)]
    assert spans(noise(2), silence(2.5), noise(1)) == [(0.0, 5.5)]


def test_long_sound_is_cut_at_its_quietest_place():
    found = spans(noise(24), noise(0.4, level=0.002), noise(20))
    assert found[0][0] == 0.0
    assert 24.1 <= found[0][1] <= 24.3
    assert found[1] == (found[0][1], 44.4)


def test_windows_are_never_longer_than_asked_and_lose_nothing():
    settings = CutSettings(window_seconds=5, search_seconds=2)
    found = spans(noise(63.21), settings=settings)
    assert max(end - start for start, end in found) <= 5.0
    assert found[0][0] == 0.0
    assert found[-1][1] == 63.21
    assert all(one[1] == other[0] for one, other in itertools.pairwise(found))


def test_blocks_do_not_matter():
    parts = (noise(40), silence(6), noise(33))
    assert spans(*parts, block=1_000) == spans(*parts, block=900_000)


@pytest.mark.parametrize("block", [777, 20_011, 300_007])
def test_blocks_that_end_within_a_step_do_not_matter_in_silence(block):
    audio = np.concatenate([silence(50.01), noise(45.3), silence(9.99), noise(2)])
    blocks = (audio[begin : begin + block] for begin in range(0, len(audio), block))
    found = [(window.begin, len(window.audio)) for window in cut(blocks, CutSettings())]
    assert found == [(window.begin, len(window.audio)) for window in cut([audio], CutSettings())]


def test_memory_does_not_grow_with_the_recording():
    piece = noise(10)

    def peak(num_pieces):
        tracemalloc.start()
        for _ in cut((piece for _ in range(num_pieces)), CutSettings()):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(60) < 1.1 * peak(10)


def test_levels_are_decibels_of_full_scale():
    audio = np.concatenate([np.full(320, 0.1, np.float32), np.ones(100, np.float32)])
    np.testing.assert_allclose(levels_db(audio), [-20, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"search_seconds": 40}, "search_seconds must lie in 0.1 to window_seconds, got 40 of 30.0"),
        ({"silence_db": 3}, "silence_db must be below 0, got 3"),
        ({"pause_seconds": float("inf")}, "pause_seconds must be finite, got inf"),
        ({"padding_seconds": 2}, "padding_seconds must lie in 0 to half of pause_seconds, got 2 of 3.0"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        CutSettings(**settings)
