import json

import pytest

from tests.bundled import MODEL, TEST_SET
from trtforge.cli import main

pytest.importorskip("onnxruntime")
CLIP = sorted(TEST_SET.glob("audio/*"))[0]


def test_a_ctc_network_writes_words_with_times(capsys, tmp_path):
    status = main(["transcribe", str(MODEL), str(CLIP), str(tmp_path / "none.wav"), "-o", str(tmp_path)])
    out = capsys.readouterr().out
    assert status == 2
    assert "cannot read the file" in out
    told = json.loads((tmp_path / f"{CLIP.stem}.json").read_text())
    assert told["text"] in out.replace("\n", " ")
    assert told["text"].split() == [word["text"] for word in told["words"]]
    assert all(0 <= word["start"] < word["end"] <= told["duration"] for word in told["words"])


def test_whisper_is_taken_by_its_folder(capsys, tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    import soundfile

    from tests.speech.whisper import small
    from trtforge.speech.whisper import export_whisper

    export_whisper((small.model(), small.tokenizer()), tmp_path / "model")
    for name, seconds in (("a", 0.5), ("b", 1.5)):
        soundfile.write(tmp_path / f"{name}.wav", small.noise(seconds), small.SECOND)
    audio = [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    argv = ["transcribe", str(tmp_path / "model"), *audio, "-o", str(tmp_path), "--language", "en"]
    assert main(argv) == 0
    told = json.loads((tmp_path / "b.json").read_text())
    assert told["language"] == "en"
    assert len(told["segments"]) == 2
    assert told["words"][0]["start"] == 0
    assert main([*argv, "--language", "xx"]) == 2
    err = capsys.readouterr().err
    assert "has no language 'xx'; it has en, es, zh" in " ".join(err.split())
    assert "--language" in err


def test_what_is_no_checkpoint_is_said(capsys, tmp_path):
    pytest.importorskip("transformers")
    assert main(["transcribe", str(tmp_path), str(CLIP)]) == 2
    assert "is no speech checkpoint" in " ".join(capsys.readouterr().err.split())
