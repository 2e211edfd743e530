from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trtforge.audio import ClipSet, LogMel
from trtforge.errors import ClipSetError, ConfigError

datasets = pytest.importorskip("datasets")

PODCAST = Path(__file__).parents[2] / "calibration_sets" / "podcast_en"
MakeSet = Callable[..., Path]


@pytest.fixture(scope="module")
def clips() -> ClipSet:
    return ClipSet.load(PODCAST).sample(24, seed=1)


def rows(clips: ClipSet, *, paths: bool = False) -> list[dict[str, Any]]:
    return [
        {
            "audio": {"bytes": None, "path": str(PODCAST / clip.path)}
            if paths
            else {"bytes": (PODCAST / clip.path).read_bytes(), "path": clip.path},
            "text": clip.text,
            "accent": clip.strata["accent"],
            "noise": ["none", "babble", "hum", "music", "street"].index(clip.strata["noise"]),
            "key": clip.id,
        }
        for clip in clips
    ]


def as_dataset(table: list[dict[str, Any]]) -> Any:
    """Make a data set with an audio feature; only a cast makes one without torchcodec."""
    text = datasets.Value("string")
    names = ["none", "babble", "hum", "music", "street"]
    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": text},
            "text": text,
            "accent": text,
            "noise": datasets.ClassLabel(names=names),
            "key": text,
        }
    )
    columns = {key: [row[key] for row in table] for key in table[0]}
    whole = datasets.Dataset.from_dict(columns, features=features)
    return whole.cast_column("audio", datasets.Audio())


@pytest.fixture(scope="module")
def stored(clips: ClipSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same clips as every kind of data set that lies on disk or streams from it."""
    folder = tmp_path_factory.mktemp("corpus")
    whole = as_dataset(rows(clips))
    whole.to_parquet(folder / "clips.parquet")
    whole.save_to_disk(folder / "arrow")
    with (folder / "clips.jsonl").open("w") as lines:
        for row in rows(clips, paths=True):
            path = Path(row["audio"]["path"]).relative_to(PODCAST).as_posix()
            lines.write(json.dumps({**row, "audio": path, "noise": clips[row["key"]].strata["noise"]}) + "\n")
    parquet = {"path": "parquet", "data_files": str(folder / "clips.parquet"), "split": "train"}
    lines = {"path": "json", "data_files": str(folder / "clips.jsonl"), "split": "train"}
    cache = str(folder / "cache")
    return {
        "arrow": datasets.load_from_disk(folder / "arrow"),
        "parquet": datasets.load_dataset(**parquet, cache_dir=cache),
        "parquet streamed": datasets.load_dataset(**parquet, streaming=True),
        "json": datasets.load_dataset(**lines, cache_dir=cache),
        "json streamed": datasets.load_dataset(**lines, streaming=True),
        "torch format": datasets.load_from_disk(folder / "arrow").with_format("numpy"),
    }


KINDS = ["arrow", "parquet", "parquet streamed", "json", "json streamed", "torch format"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_data_set_gives_the_clips_it_was_made_of(
    clips: ClipSet, stored: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    found = ClipSet.from_datasets(
        stored[kind], strata=("accent", "noise"), id="key", license="Apache-2.0", root=PODCAST, name="corpus"
    )
    assert found.ids == clips.ids
    assert found.digest == clips.digest
    assert found.texts() == clips.texts()
    assert found.where(noise="hum").ids == clips.where(noise="hum").ids
    assert found[3].recipe == {"dataset": "corpus", "row": 3}
    assert found[3].license == "Apache-2.0"
    assert found.unverified == set(clips.ids)
    np.testing.assert_array_equal(found.audio(found[5]), clips.audio(clips[5]))
    saved = found.subset(found.ids[:4]).save(tmp_path / "local")
    assert saved.digest == clips.subset(clips.ids[:4]).digest
    assert len(list(saved.feeds(LogMel(), batch_size=4))) == 1


def test_functions_of_the_row_stand_for_columns(stored: dict[str, Any]) -> None:
    def voice(row: Any) -> str | None:
        assert "audio" not in row
        return "british" if row["accent"].startswith("en-gb") else None

    found = ClipSet.from_datasets(
        stored["parquet streamed"],
        text=lambda row: row["text"].upper(),
        strata={"voice": voice},
        id=lambda row: f"x{row['key']}",
    )
    assert found[0].id.startswith("xpodcast_en-")
    assert found[0].text is not None
    assert found[0].text.isupper()
    british = [clip for clip in found if clip.strata]
    assert 0 < len(british) < len(found)
    assert british[0].strata == {"voice": "british"}


def test_rows_are_named_by_number_and_limited(stored: dict[str, Any]) -> None:
    streamed = stored["parquet streamed"]
    found = ClipSet.from_datasets(streamed, text=None, max_clips=3, name="x")
    assert found.ids == ("x-000000", "x-000001", "x-000002")
    assert found.texts() == {}
    assert len(ClipSet.from_datasets(streamed, max_rows=5)) == 5
    long = ClipSet.from_datasets(streamed, min_duration=4.0, max_duration=5.0)
    assert all(4 <= seconds <= 5 for seconds in long.durations())
    assert 0 < len(long) < 24


@pytest.mark.parametrize("kind", ["arrow", "parquet streamed"])
def test_balance_keeps_the_rare(clips: ClipSet, stored: dict[str, Any], kind: str) -> None:
    def keep(seed: int) -> ClipSet:
        return ClipSet.from_datasets(
            stored[kind], strata=("noise",), id="key", max_clips=10, balance=("noise",), seed=seed
        )

    found = keep(3)
    sizes = [len([c for c in found if c.strata["noise"] == n]) for n in {c.strata["noise"] for c in found}]
    assert sorted(sizes) == [2, 2, 2, 2, 2]
    assert [clips.ids.index(i) for i in found.ids] == sorted(clips.ids.index(i) for i in found.ids)
    assert keep(3).ids == found.ids
    assert keep(4).ids != found.ids
    for clip in found:
        np.testing.assert_array_equal(found.audio(clip), clips.audio(clip.id))


def test_bad_rows_are_rejected_one_by_one(clips: ClipSet) -> None:
    table = rows(clips)
    table[2]["audio"] = {"bytes": b"no audio", "path": None}
    table[5]["audio"] = {"bytes": None, "path": None}
    table[7]["audio"] = {"bytes": None, "path": "/nowhere/gone.wav"}
    table[9]["key"] = table[8]["key"]
    table[11]["key"] = None
    table[13]["audio"]["bytes"] = table[13]["audio"]["bytes"][:-900]
    dataset = as_dataset(table)
    for kind in (dataset, dataset.to_iterable_dataset()):
        found = ClipSet.from_datasets(kind, id="key", name="c", max_bad_share=0.3)
        assert len(found) == 18
        ids = [row["key"] for row in table]
        assert set(found.rejected) == {ids[2], ids[5], ids[7], f"{ids[8]} (row 9)", "c-000011", ids[13]}
        assert "not WAV, FLAC, Ogg, MP3 or AIFF" in found.rejected[ids[2]]
        assert "'dict with bytes, path', not a file's bytes or path" in found.rejected[ids[5]]
        assert "No such file" in found.rejected[ids[7]]
        assert "was used before, by row 8" in found.rejected[f"{ids[8]} (row 9)"]
        assert "its id is missing" in found.rejected["c-000011"]
        assert "truncated" in found.rejected[ids[13]]
        with pytest.raises(ClipSetError, match="6 of 24 clips of 'c' are unusable, at most 10% may be"):
            ClipSet.from_datasets(kind, id="key", name="c")


def test_a_stream_of_nothing_but_bad_rows_ends() -> None:
    def endless() -> Any:
        while True:
            yield {"audio": {"bytes": b"x", "path": None}, "text": ""}

    stream = datasets.IterableDataset.from_generator(endless)
    with pytest.raises(ClipSetError, match="2 of 2 clips of 'generator' are unusable"):
        ClipSet.from_datasets(stream, max_clips=10)


def test_a_stream_is_kept_on_disk_and_not_in_memory() -> None:
    pcm = np.random.default_rng(0).integers(-9000, 9000, 480_000).astype("<i2").tobytes()
    header = b"RIFF" + (36 + len(pcm)).to_bytes(4, "little") + b"WAVEfmt " + bytes([16, 0, 0, 0, 1, 0, 1, 0])
    header += (16_000).to_bytes(4, "little") + (32_000).to_bytes(4, "little") + bytes([2, 0, 16, 0])
    wav = header + b"data" + len(pcm).to_bytes(4, "little") + pcm

    def stream() -> Any:
        for index in range(40):
            yield {"audio": {"bytes": wav[:-2] + index.to_bytes(2, "little"), "path": None}, "text": ""}

    source = datasets.IterableDataset.from_generator(stream)
    pool = pytest.importorskip("pyarrow").default_memory_pool()
    before = pool.max_memory()
    tracemalloc.start()
    found = ClipSet.from_datasets(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len({clip.sha256 for clip in found}) == 40
    assert 40 * len(wav) > 38e6
    assert peak < 12e6
    assert pool.max_memory() - before < 12e6
    assert found.audio(found[39]).shape == (480_000,)
    folder = found._locate.otherwise.folder  # type: ignore[attr-defined]
    assert len(list(folder.iterdir())) == 40
    del found
    gc.collect()
    assert not folder.exists()


def test_remote_paths_are_read_through_fsspec(clips: ClipSet) -> None:
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://clips/a.ogg", "wb") as file:
        file.write((PODCAST / clips[0].path).read_bytes())
    dataset = datasets.Dataset.from_dict({"audio": ["memory://clips/a.ogg"] * 9 + ["memory://clips/b.ogg"]})
    found = ClipSet.from_datasets(dataset, text=None, name="far")
    assert found[0].sha256 == clips[0].sha256
    assert found.rejected["far-000009"].startswith("clip 'far-000009': cannot read memory://clips/b.ogg")


def test_a_store_that_no_package_reaches_rejects_its_rows(clips: ClipSet) -> None:
    fsspec = pytest.importorskip("fsspec")

    class Unreachable(fsspec.AbstractFileSystem):  # type: ignore[misc]
        def _open(self, path: str, *args: Any, **named: Any) -> Any:
            raise ImportError("Install farfs to access far files")

    fsspec.register_implementation("far", Unreachable, clobber=True)
    stored = datasets.Dataset.from_dict({"audio": ["far://clips/a.ogg"]})
    with pytest.raises(
        ClipSetError, match=r"cannot read far://clips/a.ogg: Install farfs to access far files"
    ):
        ClipSet.from_datasets(stored, text=None)


def test_wrong_settings_say_what_there_is(stored: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="no column 'sound'; its columns are audio, text, acc"):
        ClipSet.from_datasets(stored["arrow"], audio="sound")
    with pytest.raises(ConfigError, match="several splits was given: test\nhint: pass one"):
        ClipSet.from_datasets(datasets.DatasetDict({"test": stored["arrow"]}))
    with pytest.raises(ConfigError, match="name max_clips too"):
        ClipSet.from_datasets(stored["arrow"], balance=("noise",))
    with pytest.raises(ConfigError, match="max_clips must be at least 1, got 0"):
        ClipSet.from_datasets(stored["arrow"], max_clips=0)
    with pytest.raises(ConfigError, match="max_rows must be at least 1, got -1"):
        ClipSet.from_datasets(stored["arrow"], max_rows=-1)
    with pytest.raises(ConfigError, match="balance names 'noize', which strata does not; it names 'noise'"):
        ClipSet.from_datasets(stored["arrow"], strata=["noise"], balance=["noize"], max_clips=3)
    with pytest.raises(ConfigError, match="a data set was wanted, got str"):
        ClipSet.from_datasets("edinburghcstr/edacc")


def test_nothing_left_says_why(stored: dict[str, Any]) -> None:
    with pytest.raises(
        ClipSetError, match=r"no clip is left .* of 24 rows, all were .* less than 90 s or more"
    ):
        ClipSet.from_datasets(stored["arrow"], min_duration=90)
    with pytest.raises(ClipSetError, match=r"of 24 rows, all were passed over by keep"):
        ClipSet.from_datasets(stored["arrow"], keep=lambda row: False)
    with pytest.raises(ClipSetError, match="has no rows"):
        ClipSet.from_datasets(stored["arrow"].select([]))


def test_files_as_plain_bytes(clips: ClipSet) -> None:
    files = [(PODCAST / clip.path).read_bytes() for clip in clips[:3]]
    dataset = datasets.Dataset.from_dict({"audio": files})
    for kind in (dataset, dataset.to_iterable_dataset()):
        found = ClipSet.from_datasets(kind, text=None)
        assert [clip.sha256 for clip in found] == [clip.sha256 for clip in clips[:3]]


def test_what_no_manifest_can_hold_is_rejected(clips: ClipSet) -> None:
    table = as_dataset(rows(clips)[:3])
    texts, ids = iter(["fine", "\ud800", "fine"]), iter(["one", "two", "a\0b"])
    found = ClipSet.from_datasets(
        table, text=lambda row: next(texts), id=lambda row: next(ids), name="c", max_bad_share=0.9
    )
    assert found.ids == ("one",)
    assert found.rejected["two"] == "the row's text is no text: '\\ud800'"
    assert "its id is missing, empty or no text: 'a\\x00b'" in found.rejected["c-000002"]
