import json
from dataclasses import replace

import pytest

import trtforge
from tests.bundled import MODEL, TEST_SET
from trtforge.audio import decode_audio
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


def test_the_width_of_the_beam_is_that_of_the_decoder(capsys, tmp_path):
    argv = ["transcribe", str(MODEL), str(CLIP), "-o", str(tmp_path), "--beam-width"]
    assert main([*argv, "8"]) == 0
    told = json.loads((tmp_path / f"{CLIP.stem}.json").read_text())
    features = trtforge.LogMel.for_model(MODEL)
    decoder = replace(trtforge.CtcDecoder.for_model(MODEL), beam_width=8)
    mel = features(decode_audio(CLIP, sampling_rate=features.sampling_rate))[None]
    with trtforge.OnnxRunner(MODEL) as runner:
        assert decoder.decode(runner({features.input_name: mel})) == [told["text"]]
    assert main([*argv, "0"]) == 2
    assert "beam_width must be 1 or more, got 0" in " ".join(capsys.readouterr().err.split())


def test_options_for_the_other_kind_of_network_are_refused(capsys, tmp_path):
    assert main(["transcribe", str(MODEL), str(CLIP), "--language", "en", "--no-words"]) == 2
    assert "does not take --language, --no-words" in " ".join(capsys.readouterr().err.split())
    assert main(["transcribe", str(tmp_path), str(CLIP), "--beam-width", "4"]) == 2
    assert "does not take --beam-width" in " ".join(capsys.readouterr().err.split())


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
    argv = ["transcribe", str(tmp_path / "model"), *audio, "-o", str(tmp_path), "--language", "es"]
    assert main(argv) == 0
    told = json.loads((tmp_path / "b.json").read_text())
    assert told["language"] == "es"
    assert len(told["segments"]) == 2
    assert told["words"][0]["start"] == 0
    assert main([*argv, "--language", "xx"]) == 2
    err = capsys.readouterr().err
    assert "has no language 'xx'; it has en, es, zh" in " ".join(err.split())
    assert "--language" in err


def test_what_is_no_checkpoint_is_said(capsys, tmp_path):
    pytest.importorskip("transformers")
    assert main(["transcribe", str(tmp_path), str(CLIP)]) == 2
    assert "cannot be read as a speech checkpoint" in " ".join(capsys.readouterr().err.split())
