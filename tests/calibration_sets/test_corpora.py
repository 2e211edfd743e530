"""The recipes, on small data sets with the columns of the corpora."""

from __future__ import annotations

import importlib
import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from calibration_sets.ami import recipe as ami
from calibration_sets.common_voice import recipe as common_voice
from calibration_sets.corpora import Corpus, gather, main
from calibration_sets.demand import recipe as demand
from calibration_sets.edacc import recipe as edacc
from calibration_sets.musan import recipe as musan
from calibration_sets.voxpopuli_accented import recipe as voxpopuli
from trtforge.audio import ClipSet

datasets = pytest.importorskip("datasets")

NAMES = ["ami", "common_voice", "demand", "edacc", "musan", "voxpopuli_accented"]
ROOT = Path(__file__).parents[2] / "calibration_sets"


def wav(index: int, seconds: float = 1.5) -> bytes:
    out = io.BytesIO()
    audio = 0.3 * np.sin(np.arange(round(16_000 * seconds)) * (0.05 + 0.001 * index))
    soundfile.write(out, audio, 16_000, format="WAV", subtype="PCM_16")
    return out.getvalue()


def stream(rows: list[dict[str, Any]]) -> Any:
    """Stream rows with an audio feature, as the hub's Parquet files come."""
    table = [{"audio": {"bytes": wav(i), "path": f"{i}.wav"}, **row} for i, row in enumerate(rows)]
    dataset = datasets.Dataset.from_list(table).cast_column("audio", datasets.Audio())
    return dataset.to_iterable_dataset()


def test_edacc() -> None:
    accents = ["Scottish English"] * 12 + ["Jamaican English"] * 3 + ["Nigerian English"] * 5
    rows = [
        {
            "speaker": f"EDACC-C{i:02d}-A",
            "text": "IGNORE_TIME_SEGMENT_IN_SCORING" if i in (0, 13) else f"well number {i}",
            "accent": accent,
            "raw_accent": accent,
            "gender": ("Male", "Female")[i % 2],
            "l1": "English",
        }
        for i, accent in enumerate(accents)
    ]
    clips = gather(edacc.CORPUS, stream(rows), max_clips=6, seed=1)
    assert Counter(clip.strata["accent"] for clip in clips) == {
        "Scottish English": 2,
        "Jamaican English": 2,
        "Nigerian English": 2,
    }
    assert not {"edacc-000000", "edacc-000013"} & set(clips.ids)
    assert clips[0].license == "CC-BY-SA-4.0"
    assert set(clips[0].strata) == {"accent", "first_language", "gender", "speaker"}
    assert (clips[0].text or "").startswith("well number")


def test_voxpopuli_accented() -> None:
    rows = [
        {
            "audio_id": f"2009-{i}",
            "language": 15,
            "raw_text": f"Madam President {i}",
            "normalized_text": "" if i == 3 else f"madam president {i}",
            "gender": "female",
            "speaker_id": str(i),
            "is_gold_transcript": True,
            "accent": ("en_nl", "en_de", "None")[i % 3],
        }
        for i in range(9)
    ]
    clips = gather(voxpopuli.CORPUS, stream(rows), max_clips=9)
    assert clips.ids[:2] == ("2009-0", "2009-1")
    assert clips["2009-3"].text == "Madam President 3"
    assert clips["2009-4"].text == "madam president 4"
    assert Counter(clip.strata.get("accent") for clip in clips) == {"nl": 3, "de": 3, None: 3}


def test_ami() -> None:
    rows = [
        {
            "meeting_id": ("ES2011a", "IS1008a", "TS3004a")[i % 3],
            "audio_id": f"AMI_{i // 2}",
            "text": "OKAY SO",
            "begin_time": 0.0,
            "end_time": 1.5,
            "microphone_id": ("H00", "SDM")[i % 2],
            "speaker_id": ("FEE041", "MIO098")[i % 2],
        }
        for i in range(12)
    ]
    clips = gather(ami.CORPUS, stream(rows), max_clips=6)
    assert len({(c.strata["microphone"], c.strata["site"]) for c in clips}) == 6
    assert clips["AMI_0-headset"].text == "okay so"
    found = clips["AMI_0-headset"].strata
    assert found == {"microphone": "headset", "site": "edinburgh", "gender": "female"}


def test_ami_takes_both_microphones_by_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def open_stream(repository: str, config: str, split: str) -> Any:
        asked.append((repository, config, split))
        microphone = {"ihm": "H00", "sdm": "SDM"}[config]
        rows = [
            {"meeting_id": "IS1008a", "audio_id": f"AMI_{i}", "text": "YES", "microphone_id": microphone}
            | {"speaker_id": "FIE081"}
            for i in range({"ihm": 3, "sdm": 5}[config])
        ]
        table = [{"audio": {"bytes": wav(i), "path": None}, **row} for i, row in enumerate(rows)]
        dataset = datasets.Dataset.from_list(table).cast_column("audio", datasets.Audio())
        dataset.to_parquet(tmp_path / f"{config}.parquet")
        files = str(tmp_path / f"{config}.parquet")
        return datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)

    monkeypatch.setattr(ami, "stream_hub", open_stream)
    clips = gather(ami.CORPUS, ami.CORPUS.load("validation", None), max_clips=20)
    assert asked == [("edinburghcstr/ami", config, "validation") for config in ("ihm", "sdm")]
    assert clips.ids[:4] == ("AMI_0-headset", "AMI_0-distant", "AMI_1-headset", "AMI_1-distant")
    assert Counter(clip.strata["microphone"] for clip in clips) == {"headset": 3, "distant": 5}
    assert clips.rejected == {}


def test_common_voice_from_a_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = tmp_path / "cv" / "en"
    (release / "clips").mkdir(parents=True)
    header = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tvariant\tlocale\tsegment"
    lines = [header]
    for i in range(12):
        audio, rate = soundfile.read(io.BytesIO(wav(i)))
        soundfile.write(release / "clips" / f"common_voice_en_{i}.mp3", audio, rate)
        spoken = ("Scottish English,Other", "", "India and South Asia")[i % 3]
        lines.append(
            f'x{i}\tcommon_voice_en_{i}.mp3\tHe said "no {i}\t2\t0\ttwenties\tmale\t{spoken}\t\ten\t'
        )
    (release / "dev.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    output = tmp_path / "out"
    arguments = ["-o", str(output), "--clips", "6", "--seed", "3", "--source", str(release)]
    assert main(common_voice.CORPUS, arguments) == 0
    assert "ClipSet('out', 6 clips" in capsys.readouterr().out
    clips = ClipSet.load(output)
    accents = Counter(clip.strata.get("accent") for clip in clips)
    assert accents == {"scottish english": 2, None: 2, "india and south asia": 2}
    assert (clips[0].text or "").startswith('He said "no ')
    assert clips[0].id.startswith("common_voice_en_")
    assert main(common_voice.CORPUS, arguments) == 1
    assert "it is there and not empty" in capsys.readouterr().err


def members() -> Iterator[tuple[str, bytes]]:
    for i, folder in enumerate(["noise/free-sound", "noise/sound-bible", "music/fma", "speech/librivox"] * 2):
        kind, source = folder.split("/")
        yield f"musan/{folder}/{kind}-{source}-{i:04d}.wav", wav(i, 2)
    yield "musan/noise/free-sound/ANNOTATIONS", b"text"
    yield "musan/README", b"text"


@pytest.mark.parametrize("packed", [True, False])
def test_musan(tmp_path: Path, packed: bool) -> None:
    source = tmp_path / ("musan.tar.gz" if packed else "there")
    if packed:
        with tarfile.open(source, "w:gz") as archive:
            for name, content in members():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        for name, content in members():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
    noise = gather(musan.CORPUS, musan.load("noise", source), max_clips=10)
    assert Counter(clip.strata["source"] for clip in noise) == {"free-sound": 2, "sound-bible": 2}
    assert set(noise.ids) == {
        "noise-free-sound-0000", "noise-sound-bible-0001", "noise-free-sound-0004", "noise-sound-bible-0005",
    }  # fmt: skip
    assert noise.texts() == {}
    everything = gather(musan.CORPUS, musan.load("all", source), max_clips=4)
    assert Counter(clip.strata["kind"] for clip in everything) == {"noise": 2, "music": 1, "speech": 1}


def test_demand_reads_one_channel_of_each_archive(tmp_path: Path) -> None:
    for i, environment in enumerate(["DKITCHEN", "STRAFFIC", "TCAR"]):
        with zipfile.ZipFile(tmp_path / f"{environment}_16k.zip", "w") as archive:
            for channel in ("ch01", "ch02"):
                archive.writestr(f"{environment}/{channel}.wav", wav(i, 2))
    clips = gather(demand.CORPUS, demand.load("ch01", tmp_path), max_clips=18)
    assert clips.ids == ("dkitchen-ch01", "straffic-ch01", "tcar-ch01")
    assert [clip.strata["place"] for clip in clips] == ["domestic", "street", "transportation"]


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_states_its_licence_and_that_it_was_not_run(name: str) -> None:
    corpus: Corpus = importlib.import_module(f"calibration_sets.{name}.recipe").CORPUS
    readme = (ROOT / name / "README.md").read_text()
    assert corpus.name == name
    assert corpus.license in readme.replace(" ", "-") or corpus.license in readme
    assert corpus.homepage in readme
    assert f"python -m calibration_sets.{name}.recipe -o" in readme
    assert "has not been run against" in " ".join(readme.split())
    for axis in corpus.strata:
        assert f"| {axis} |" in readme


def test_recipes_ask_for_what_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(musan.CORPUS, ["-o", "x"])
    assert "the following arguments are required: --source" in capsys.readouterr().err
