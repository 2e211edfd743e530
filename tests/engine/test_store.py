import dataclasses
import os
import signal
import sys
import threading
import time
import warnings

import pytest

from tests.engine.networks import PROFILE, conv_net
from tests.engine.processes import python
from tests.engine.test_artifact import ENGINE, MANIFEST, PLAN
from trtforge._files import sha256
from trtforge.engine import BuildConfig, Engine, EngineStore, build
from trtforge.engine import store as store_module
from trtforge.errors import BuildError, ConfigError, EngineSignatureError, MissingExtraError

KEY, OTHER = "a" * 64, "b" * 64


def engine_of(size, fill=1):
    plan = bytes([fill]) * size
    return Engine(plan, dataclasses.replace(MANIFEST, plan_sha256=sha256(plan), plan_bytes=size))


def never(*_):
    raise AssertionError("nothing was to be built")


@pytest.fixture
def store(tmp_path):
    return EngineStore(tmp_path / "engines")


def files_in(store):
    return sorted(path.name for path in store.folder.iterdir() if path.is_file())


def test_an_engine_is_built_once(store):
    built = store.get_or_build(KEY, lambda: ENGINE)
    assert built.plan == PLAN
    assert built.manifest == dataclasses.replace(MANIFEST, build_key=KEY)
    again = EngineStore(store.folder)
    assert again.get_or_build(KEY, never) == built == again.get(KEY)
    assert (store.hits, store.builds) == (0, 1)
    assert (again.hits, again.builds) == (2, 0)
    assert store.get(OTHER) is None
    assert files_in(store) == [f"{KEY}.engine", f"{KEY}.engine.json"]


def test_a_failed_build_leaves_nothing_and_frees_the_key(store):
    def fail():
        raise BuildError("no implementation")

    with pytest.raises(BuildError, match="no implementation"):
        store.get_or_build(KEY, fail)
    assert files_in(store) == []
    assert store.get_or_build(KEY, lambda: ENGINE).plan == PLAN


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda plan: plan.write_bytes(PLAN[:100]), "is cut short: 100 bytes of 200"),
        (lambda plan: plan.write_bytes(PLAN[:-1] + b"\0"), "the plan was altered"),
        (lambda plan: plan.unlink(), "no engine at"),
        (lambda plan: plan.with_name(f"{plan.name}.json").unlink(), "there is no manifest"),
        (lambda plan: plan.with_name(f"{plan.name}.json").write_text("{}"), "is not an engine manifest"),
        (lambda plan: ENGINE.save(plan), "was built from something else: its manifest says None"),
    ],
)
def test_a_damaged_entry_is_dropped_and_built_again(store, damage, message):
    store.get_or_build(KEY, lambda: ENGINE)
    damage(store.path(KEY))
    (reason,) = store.verify().values()
    assert message in reason
    newer = engine_of(300)
    with pytest.warns(RuntimeWarning, match=f"a stored engine is refused and is built again: .*{message}"):
        assert store.get_or_build(KEY, lambda: newer).plan == newer.plan
    assert store.get_or_build(KEY, never).plan == newer.plan
    assert store.verify() == {}


def test_an_entry_under_another_key_is_not_taken(store):
    store.get_or_build(KEY, lambda: ENGINE)
    for name in files_in(store):
        (store.folder / name).rename(store.folder / name.replace(KEY, OTHER))
    assert store.get(OTHER) is None
    assert list(store.verify()) == [OTHER]


def test_the_longest_unused_are_removed_first(tmp_path):
    store = EngineStore(tmp_path, max_bytes=45_000)
    keys = [digit * 64 for digit in "0123"]
    for age, key in enumerate(keys[:3]):
        store.get_or_build(key, lambda: engine_of(10_000))
        os.utime(store.path(key), (age, age))
        os.utime(f"{store.path(key)}.json", (age, age))
    assert store.get(keys[0]) is not None  # makes it the last used
    store.get_or_build(keys[3], lambda: engine_of(20_000))
    assert {entry.key for entry in store.entries()} == {keys[0], keys[2], keys[3]}
    assert [entry.key for entry in store.entries()][-1] == keys[2]
    assert sum(entry.num_bytes for entry in store.entries()) <= 45_000
    with pytest.warns(RuntimeWarning, match="50000 bytes is not stored: the store holds 45000 bytes at most"):
        assert len(store.get_or_build("4" * 64, lambda: engine_of(50_000)).plan) == 50_000


def test_what_is_locked_is_not_evicted(tmp_path):
    store = EngineStore(tmp_path, max_bytes=4000)
    store.get_or_build(KEY, lambda: engine_of(1000))
    started, end = threading.Event(), threading.Event()

    def hold():
        with store._files.locked(KEY):
            started.set()
            end.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert started.wait(30)
    try:
        store.get_or_build(OTHER, lambda: engine_of(3000))
        assert store.path(KEY).exists()
        assert store.clear() != []
        assert [entry.key for entry in store.entries()] == [KEY]
    finally:
        end.set()
        holder.join()
    assert [entry.key for entry in store.clear()] == [KEY]


def test_clear_knows_ages(store):
    store.get_or_build(KEY, lambda: ENGINE)
    store.get_or_build(OTHER, lambda: ENGINE)
    day = 86400
    for path in (store.path(KEY), store.folder / f"{KEY}.engine.json"):
        os.utime(path, (time.time() - 3 * day,) * 2)
    assert store.clear(older_than_s=4 * day) == []
    assert [entry.key for entry in store.clear(older_than_s=2 * day)] == [KEY]
    assert [entry.key for entry in store.entries()] == [OTHER]


def test_a_full_disk_costs_a_warning(store, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trtforge._files.os.fsync", full)
    with pytest.warns(RuntimeWarning, match="was built and is not stored: .*No space left on device"):
        assert store.get_or_build(KEY, lambda: ENGINE).plan == PLAN
    assert files_in(store) == []


def test_a_limit_on_file_size_costs_a_warning(tmp_path):
    done = python(
        """
import resource
sys.dont_write_bytecode = True  # of a .pyc Python would keep what fits into the limit, and imports fail on it
store = EngineStore(sys.argv[1])
store.get_or_build("d" * 64, lambda: engine(b"small"))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
big = engine(bytes(50_000))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    found = store.get_or_build(KEY, lambda: big)
assert found.plan == big.plan
print(*(str(warning.message) for warning in caught))
old = engine(b"old")
old.save(Path(sys.argv[1], "asr.engine"))
try:
    big.save(Path(sys.argv[1], "asr.engine"))
except OSError as error:
    print(error.errno)
assert Engine.load(Path(sys.argv[1], "asr.engine"), check_machine=False) == old
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "the engine was built and is not stored: [Errno 27] File too large" in done.stdout
    assert done.stdout.endswith("27\n")
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    small = "d" * 64
    assert names == ["asr.engine", "asr.engine.json", f"{small}.engine", f"{small}.engine.json"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path):
    tmp_path.chmod(0o500)
    store = EngineStore(tmp_path / "engines")
    with pytest.warns(RuntimeWarning, match="cannot be used: .*Permission denied"):
        assert store.get_or_build(KEY, lambda: ENGINE).plan == PLAN


def test_a_store_where_a_file_is_costs_a_warning(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    store = EngineStore(tmp_path / "file")
    with pytest.warns(RuntimeWarning, match="the store at .* cannot be used"):
        assert store.get_or_build(KEY, lambda: ENGINE).plan == PLAN
    assert store.entries() == []
    assert store.get(KEY) is None


@pytest.mark.parametrize("moment", ["building", "writing"])
def test_a_killed_builder_frees_the_key_and_its_leftovers_are_swept(tmp_path, moment):
    store = EngineStore(tmp_path)
    store.get_or_build("e" * 64, lambda: ENGINE)
    done = python(
        """
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "writing":
    Path.replace = die
EngineStore(sys.argv[1]).get_or_build(KEY, lambda: die() if sys.argv[2] == "building" else engine(b"plan"))
""",
        tmp_path,
        moment,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    leftovers = [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")]
    assert len(leftovers) == (2 if moment == "writing" else 0)
    assert store.get("c" * 64) is None
    assert store.get_or_build("c" * 64, lambda: ENGINE).plan == PLAN
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]
    assert len(store.entries()) == 2


def test_clear_sweeps_leftovers_of_keys_that_nobody_asks_for(store):
    store.get_or_build(KEY, lambda: ENGINE)
    leftover = store.folder / f".{OTHER}.engine.json.x1y2.tmp"
    leftover.write_bytes(b"part")
    assert store.clear(older_than_s=1e9) == []
    assert not leftover.exists()


def test_of_32_processes_that_ask_for_one_key_one_builds(tmp_path):
    done = python(
        """
folder, log = Path(sys.argv[1], "engines"), Path(sys.argv[1], "builds")

def build():
    with log.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(1)
    return engine(b"the plan" * 1000)

def ask():
    time.sleep(max(0, begin - time.time()))
    store = EngineStore(folder)
    found = store.get_or_build(KEY, build)
    assert found.plan == b"the plan" * 1000
    assert store.hits + store.builds == 1

begin, children = time.time() + 1, []
for _ in range(32):
    child = os.fork()
    if child == 0:
        try:
            ask()
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children].count(0))
""",
        tmp_path,
    )
    assert done.stdout == "32\n", done.stdout + done.stderr
    assert len((tmp_path / "builds").read_text().split()) == 1


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("TRTFORGE_CACHE", raising=False)
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert EngineStore(tmp_path).entries() == []
    with pytest.raises(
        MissingExtraError, match=r"platformdirs is needed to keep engines in a store.*\n.*\[store\]"
    ):
        EngineStore()


def test_the_default_folder_can_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TRTFORGE_CACHE", str(tmp_path))
    assert EngineStore().folder == tmp_path / "engines"
    assert store_module.open_store(True).folder == tmp_path / "engines"
    assert store_module.open_store(tmp_path).folder == tmp_path


def test_wrong_arguments_are_refused(store):
    with pytest.raises(ConfigError, match="max_bytes must be positive or None, got 0"):
        EngineStore(store.folder, max_bytes=0)
    for key in ("../" + "a" * 61, "A" * 64, "a" * 63):
        with pytest.raises(ConfigError, match="a key is a SHA-256"):
            store.get_or_build(key, never)


def test_a_store_takes_only_what_is_signed_where_that_is_required(tmp_path):
    pytest.importorskip("cryptography")
    from tests.engine.test_signature import make_keys

    private, public = make_keys(tmp_path, "mine")
    signing = EngineStore(tmp_path / "engines", signing_key=private, trusted_keys=[public])
    signing.get_or_build(KEY, lambda: ENGINE)
    assert EngineStore(tmp_path / "engines", trusted_keys=[public]).get_or_build(KEY, never).plan == PLAN
    EngineStore(tmp_path / "engines").get_or_build(OTHER, lambda: ENGINE)
    assert "is not signed, and a signature is required" in signing.verify()[OTHER]
    with pytest.warns(RuntimeWarning, match="refused and is built again: .*is not signed"):
        signing.get_or_build(OTHER, lambda: ENGINE)
    assert signing.verify() == {}
    with pytest.raises(EngineSignatureError):
        Engine.load(signing.path(KEY), check_machine=False, trusted_keys=[make_keys(tmp_path, "other")[1]])


def test_build_asks_the_store_first(tmp_path, monkeypatch):
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setenv("TRTFORGE_CACHE", str(tmp_path))
    given = {"profiles": [PROFILE], "flavor": "tensorrt_rtx", "store": True}
    first = build(conv_net(), **given)
    assert first.manifest.name == "conv_net"
    monkeypatch.setattr("trtforge.engine.single_build.build_plan", never)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert build(conv_net(), **given) == first
    assert EngineStore().get(first.manifest.build_key) == first
    with pytest.raises(AssertionError, match="nothing was to be built"):
        build(conv_net(), config=BuildConfig(optimization_level=1), **given)
    with pytest.raises(ConfigError, match="on_calibration_cache cannot be given along with store"):
        build(conv_net(), on_calibration_cache=print, **given)


def test_keys_that_cannot_be_read_are_found_before_a_build(tmp_path):
    pytest.importorskip("cryptography")
    for keys in ({"signing_key": tmp_path / "no.pem"}, {"trusted_keys": [tmp_path / "no.pem"]}):
        with pytest.raises(ConfigError, match=r"no\.pem"):
            EngineStore(tmp_path / "store", **keys)


def test_requests_and_builds_are_told(store):
    def fail():
        raise BuildError("no implementation")

    asked, built = [], []
    store.on_request, store.on_build = asked.append, lambda seconds, succeeded: built.append(succeeded)
    with pytest.raises(BuildError):
        store.get_or_build(KEY, fail)
    store.get_or_build(KEY, lambda: ENGINE)
    store.get_or_build(KEY, never)
    store.path(KEY).write_bytes(b"damaged")
    with pytest.warns(RuntimeWarning, match="is built again"):
        store.get_or_build(KEY, lambda: ENGINE)
    assert asked == ["miss", "miss", "hit", "corrupt"]
    assert built == [False, True, True]
