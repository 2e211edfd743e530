import io
import json
import zipfile

import numpy as np
import pytest

from trtforge.calibration import Histogram, Observations, Observer
from trtforge.errors import CalibrationError


def observations(seed=0, model="a" * 64, names=("conv", "relu"), feeds="1" * 64):
    rng = np.random.default_rng(seed)
    histograms = {}
    for name in names:
        observer = Observer()
        observer.observe(np.append(rng.standard_normal(100), [0.0, np.nan]))
        histograms[name] = observer.histogram()
    return Observations(histograms, model, feeds, num_clips=4, rejected={f"clip-{seed}": "no audio"})


class TestMerge:
    def test_adds_counts_clips_and_rejections(self):
        merged = observations(0).merge(observations(1, feeds="2" * 64))
        assert merged.tensors["conv"].num_values == 202
        assert merged.tensors["conv"].num_nonfinite == 2
        assert merged.num_clips == 8
        assert merged.feeds_sha256 == "3" * 64
        assert merged.rejected == {"clip-0": "no audio", "clip-1": "no audio"}

    def test_order_and_grouping_do_not_matter(self):
        a, b, c = (observations(seed, feeds=digit * 64) for seed, digit in enumerate("9ef"))
        assert a.merge(b).merge(c) == c.merge(b.merge(a)) == a.merge(c).merge(b)

    def test_other_network(self):
        with pytest.raises(
            CalibrationError, match="network aaaaaaaaaaaa cannot be merged with those of network bbbb"
        ):
            observations().merge(observations(model="b" * 64))

    def test_other_tensors(self):
        with pytest.raises(CalibrationError, match="1 tensors, among them 'relu', were observed in one part"):
            observations().merge(observations(names=("conv",)))

    def test_digest_that_is_none(self):
        with pytest.raises(CalibrationError, match="must be hexadecimal, got 'nothing'"):
            observations(feeds="nothing").merge(observations())


class TestFiles:
    def test_round_trip(self, tmp_path):
        saved = observations(names=("conv/1", "größe", "a b"))
        saved.save(tmp_path / "parts" / "observations.npz")
        assert Observations.load(tmp_path / "parts" / "observations.npz") == saved

    def test_a_failed_write_leaves_the_old_file(self, tmp_path, monkeypatch):
        path = tmp_path / "observations.npz"
        observations(0).save(path)

        def full(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            observations(1).save(path)
        assert Observations.load(path) == observations(0)
        assert [entry.name for entry in tmp_path.iterdir()] == ["observations.npz"]

    def test_missing(self, tmp_path):
        with pytest.raises(CalibrationError, match="no observations file at"):
            Observations.load(tmp_path / "none.npz")

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nonsense", b"{}"])
    def test_not_such_a_file(self, tmp_path, content):
        path = tmp_path / "observations.npz"
        path.write_bytes(content)
        with pytest.raises(CalibrationError, match="is not an observations file"):
            Observations.load(path)

    def test_every_truncation_is_noticed(self, tmp_path):
        path = tmp_path / "observations.npz"
        observations().save(path)
        content = path.read_bytes()
        for length in range(0, len(content), 97):
            path.write_bytes(content[:length])
            with pytest.raises(CalibrationError, match="observations file"):
                Observations.load(path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"extra": np.zeros(1)}, "it must hold exactly counts, exponents"),
            ({"counts": np.zeros((2, 4096), np.float64)}, "counts must be int64, got float64"),
            ({"counts": np.zeros((1, 4096), np.int64)}, r"counts has shape \[1, 4096\] for 2 tensors"),
            ({"num_zeros": np.array([0, -1])}, "no negative counts"),
            ({"exponents": np.array([0, 0])}, "belongs on the range"),
            ({"header": np.frombuffer(b'{"format": "other"}', np.uint8)}, "its header lacks"),
            (
                {"header": np.array([{}], object)},
                "Object arrays cannot be loaded|is not an observations file",
            ),
        ],
    )
    def test_altered(self, tmp_path, change, message):
        path = tmp_path / "observations.npz"
        observations().save(path)
        with np.load(path) as archive:
            columns = dict(archive) | change
        np.savez(path, **columns)
        with pytest.raises(CalibrationError, match=message):
            Observations.load(path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"tensors": ["conv", "conv"]}, "a tensor is named twice"),
            ({"tensors": "ab"}, "'tensors' in its header must be list, got 'ab'"),
            ({"num_clips": -5}, "it counts -5 clips"),
            ({"num_clips": 1.5}, "'num_clips' in its header must be int, got 1.5"),
            ({"num_clips": True}, "'num_clips' in its header must be int, got True"),
            ({"model_sha256": None}, "'model_sha256' in its header must be str, got None"),
            ({"rejected": ["a"]}, "'rejected' in its header must be dict, got"),
        ],
    )
    def test_altered_header(self, tmp_path, change, message):
        path = tmp_path / "observations.npz"
        observations().save(path)
        with np.load(path) as archive:
            columns = dict(archive)
        header = json.loads(columns["header"].tobytes()) | change
        np.savez(path, **columns | {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)})
        with pytest.raises(CalibrationError, match=f"a damaged observations file: {message}"):
            Observations.load(path)

    def test_bomb(self, tmp_path):
        path = tmp_path / "observations.npz"
        observations().save(path)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head, {"descr": "<i8", "fortran_order": False, "shape": (40_000, 4096)}
        )
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, data in members.items():
                with archive.open(name, "w", force_zip64=True) as member:
                    member.write(head.getvalue() if name == "counts.npy" else data)
                    for _ in range(1100 if name == "counts.npy" else 0):
                        member.write(bytes(1 << 20))
        with pytest.raises(CalibrationError, match=r"it unpacks to 11.* bytes, more than 1073741824"):
            Observations.load(path)
        assert path.stat().st_size < 8 << 20


def test_repr():
    assert repr(observations()) == (
        "Observations(2 tensors, num_clips=4, rejected=1, model=aaaaaaaaaaaa, feeds=111111111111)"
    )


def test_what_was_observed_can_be_narrowed_to_some_tensors():
    histogram = Histogram()
    whole = Observations(
        {"a": histogram, "b": histogram}, "0" * 64, "1" * 64, num_clips=3, rejected={"c": "short"}
    )
    narrowed = whole.only(["b"])
    assert set(narrowed.tensors) == {"b"}
    assert (narrowed.num_clips, narrowed.rejected, narrowed.feeds_sha256) == (3, {"c": "short"}, "1" * 64)
    with pytest.raises(CalibrationError, match="tensor 'd' is not among the 2 observed"):
        whole.only(["a", "d"])
