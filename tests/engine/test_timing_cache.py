import json
import multiprocessing

import pytest

from tests.engine import fake_builder
from tests.engine.networks import PROFILE, conv_net
from trtforge._files import locked, sha256
from trtforge.engine import BuildConfig, build, single_build
from trtforge.engine import timing_cache as module
from trtforge.engine.durations import BuildDurations
from trtforge.engine.timing_cache import TimingCache, timing_cache_for
from trtforge.nvidia.building import build_plan
from trtforge.nvidia.devices import Gpu
from trtforge.nvidia.selection import flavor_for

V8 = flavor_for("tensorrt", "8.6.0")
H200 = Gpu(0, "NVIDIA H200", "9.0", 150 << 30, "580.95.05", "13.0")


@pytest.fixture
def library(monkeypatch):
    return fake_builder.install(monkeypatch)[0]


def built(path, **settings):
    config = BuildConfig(timing_cache=path, **settings)
    return build(conv_net(), profiles=[PROFILE], flavor=V8, config=config).manifest


def test_timings_are_kept_between_builds(library, tmp_path):
    path = tmp_path / "folder" / "timing.cache"
    first, second = built(path), built(path, optimization_level=1)
    assert library.timings == [[], ["level 3"]]
    assert path.read_bytes() == b"level 1,level 3"
    assert first.options == {"timing_cache": True, "convolutions": "2-D"}
    assert (first.timing_cache_sha256, second.timing_cache_sha256) == (None, sha256(b"level 3"))


def test_how_long_a_build_took_is_what_the_next_expects(library, tmp_path, monkeypatch):
    asked = []

    def spy(flavor, request):
        asked.append(request.expected_seconds)
        return build_plan(flavor, request)

    monkeypatch.setattr(single_build, "build_plan", spy)
    path = tmp_path / "timing.cache"
    seconds = [built(path).build_seconds for _ in range(2)]
    built(path, optimization_level=1)
    assert asked == [None, seconds[0], None]
    durations = BuildDurations(tmp_path / "timing.cache.seconds.json")
    for index in range(300):
        durations.note(f"build {index}", 1.0)
    assert len(json.loads(durations.path.read_text())) == 200
    assert durations.expected_seconds("build 100") == 1.0
    durations.path.write_text('{"a": "b"}')
    assert durations.expected_seconds("a") is None
    durations.path.write_text("no JSON")
    assert durations.expected_seconds("a") is None


def test_what_others_wrote_meanwhile_is_kept(library, tmp_path):
    path = tmp_path / "timing.cache"
    build_network = library.build_serialized_network

    def slowly(network, config):
        path.write_bytes(b"another's")
        return build_network(network, config)

    library.build_serialized_network = slowly
    built(path)
    assert path.read_bytes() == b"another's,level 3"


@pytest.mark.parametrize("content", [b"elsewhere", b"garbage, which the library drops without a word"])
def test_a_cache_that_the_library_does_not_take_is_replaced_with_a_warning(library, tmp_path, content):
    path = tmp_path / "timing.cache"
    path.write_bytes(content)
    assert built(path).warnings == ("the timing cache was made elsewhere, and a new one was begun",)
    assert path.read_bytes() == b"level 3"


def test_a_cache_that_cannot_be_used_only_warns(library, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    with pytest.warns(RuntimeWarning, match="the timing cache was not written"):
        built(tmp_path / "file" / "timing.cache")
    folder = tmp_path / "folder.cache"
    folder.mkdir()
    with pytest.warns(RuntimeWarning, match="the timing cache was not read"):
        assert TimingCache(folder).read() == b""
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.0)
    with (
        locked(tmp_path / "held.lock"),
        pytest.warns(RuntimeWarning, match="held.lock is held by another"),
    ):
        TimingCache(tmp_path / "held").keep(b"timings", lambda other: None)


def test_the_users_own_has_a_file_for_each_gpu_and_version(monkeypatch, tmp_path):
    monkeypatch.setenv("TRTFORGE_CACHE", str(tmp_path))
    mine = timing_cache_for(BuildConfig(timing_cache=True), V8, H200)
    assert mine.path == tmp_path / "timing" / "tensorrt-8.6.0-nvidia-h200-9.0.cache"
    other = timing_cache_for(BuildConfig(timing_cache=True), flavor_for("tensorrt", "11.4.0"), H200)
    assert other.path.name == "tensorrt-11.4.0-nvidia-h200-9.0.cache"
    assert timing_cache_for(BuildConfig(), V8, H200) is None


def add(path, word):
    cache = TimingCache(path)
    begun = {*cache.read().split(b","), word} - {b""}
    cache.keep(b",".join(begun), lambda there: b",".join({*there.split(b","), *begun}))


def test_many_processes_lose_nothing(tmp_path):
    path = tmp_path / "timing.cache"
    words = [f"builder {index:02}".encode() for index in range(12)]
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=add, args=(path, word)) for word in words]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert set(path.read_bytes().split(b",")) == set(words)
