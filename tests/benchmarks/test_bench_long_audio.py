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
