import json

import soundfile

from benchmarks import bench_long_audio

SHORT = ["--window-seconds", "3", "--max-batch", "2"]


def test_a_short_recording_is_measured_and_compared(tmp_path, capsys):
    path = tmp_path / "short.wav"
    bench_long_audio.write_recording(path, 7.3)
    info = soundfile.info(path)
    assert (info.frames, info.samplerate, info.subtype) == (116_800, 16_000, "PCM_16")

    assert bench_long_audio.main([*SHORT, "--one", str(path)]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["audio_seconds"] == 7.3
    assert row["num_words"] > 3
    assert 0 < row["resident_before_bytes"] <= row["resident_peak_bytes"]

    assert bench_long_audio.main([*SHORT, "--one", str(path), "--uncut"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["num_outputs"] == 366
    assert row["num_windows"] > 5
    assert row["largest_difference"] < 1e-4
    assert row["other_best_symbols"] == 0


def test_the_page_says_what_the_results_say():
    page = bench_long_audio.PAGE.read_text(encoding="utf-8")
    results = bench_long_audio.load()
    assert [result["runner"] for result in results][:1] == ["onnx"]
    assert bench_long_audio.fill(page, results) == page


def test_memory_does_not_grow_with_the_recording():
    for result in bench_long_audio.load():
        shortest, *_, longest = result["lengths"]
        assert longest["audio_seconds"] == 18 * shortest["audio_seconds"]
        assert longest["resident_peak_bytes"] < 1.1 * shortest["resident_peak_bytes"]
        assert result["uncut"]["other_best_symbols"] == 0
