"""The rows of a GPU, driven with host memory for device memory and the kernel compiled for the host."""

import ctypes
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest

from tests.runtime.fake_gpu import FakeCuda
from trtforge.nvidia import cuda, rows
from trtforge.runtime import DeviceArray, Session
from trtforge.runtime.device_array import DeviceMemory
from trtforge.speech.generation import DecoderSignature
from trtforge.speech.generation.device_cache import DeviceCache
from trtforge.speech.generation.host_cache import HostCache

COMPILER = shutil.which("c++")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")

# What CUDA C++ has and C++ has not, and a loop over the grid.
PRELUDE = """
struct Index { unsigned x; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
static Index blockIdx, blockDim, threadIdx;
#define __global__
#define __device__
"""
LOOP = """
#define ON_HOST(KERNEL) \\
    template <class... T> static void KERNEL##_grid(unsigned blocks, unsigned size, T... values) { \\
        blockDim.x = size; \\
        for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) \\
            for (threadIdx.x = 0; threadIdx.x < size; threadIdx.x++) KERNEL(values...); \\
    }
ON_HOST(write_rows)
ON_HOST(copy_rows_by_4)
ON_HOST(copy_rows_by_16)
extern "C" void write_rows_on_host(unsigned blocks, unsigned size, const u64* caches, const u32* fresh,
    const int* positions, u32 batch, u32 layers, u32 heads, u32 added, u32 places, u32 width) {
    write_rows_grid(blocks, size, caches, fresh, positions, batch, layers, heads, added, places, width);
}
#define COPY_ON_HOST(KERNEL) \\
    extern "C" void KERNEL##_on_host(unsigned blocks, unsigned size, const u64* pairs, \\
        u32 target_pitch, u32 source_pitch, u32 width, u32 height, u32 num_blocks) { \\
        KERNEL##_grid(blocks, size, pairs, target_pitch, source_pitch, width, height, num_blocks); \\
    }
COPY_ON_HOST(copy_rows_by_4)
COPY_ON_HOST(copy_rows_by_16)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernel")
    source = files("trtforge.nvidia").joinpath("rows.cu").read_text()
    (folder / "rows.cpp").write_text(PRELUDE + source + LOOP)
    command = [COMPILER, "-shared", "-fPIC", "-o", str(folder / "rows.so"), str(folder / "rows.cpp")]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(folder / "rows.so"))


@pytest.fixture
def gpu(monkeypatch, library):
    fake, launched = FakeCuda(), []
    monkeypatch.setattr(cuda, "runtime_api", lambda: fake)

    class HostKernels:
        def __init__(self, source, defines, *, device):
            assert (source, device) == ("rows.cu", 0)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def launch(self, name, arguments, stream, *, num_blocks, block_size):
            launched.append(name)
            values = [kind(value) for value, kind in arguments]
            run = getattr(library, f"{name}_on_host")
            run(ctypes.c_uint32(num_blocks), ctypes.c_uint32(block_size), *values)

    monkeypatch.setattr(rows, "Kernels", HostKernels)
    return launched


class OnnxSession(Session):
    """A session whose engine is ONNX Runtime."""

    def __init__(self, run, inputs=()):
        self.device, self._run, self._inputs = 0, run, inputs
        self._made = DeviceMemory(0)

    @property
    def inputs(self):
        return self._inputs

    def run(self, arrays, *, outputs="numpy", graph=True):
        given = {
            name: value.numpy() if isinstance(value, DeviceArray) else value for name, value in arrays.items()
        }
        found = self._run(given)
        return {name: self._made.send(np.ascontiguousarray(value)) for name, value in found.items()}


# A width of 8 numbers in FP16 is copied 16 bytes at a time, one of 2 is not.
@pytest.mark.parametrize(("dtype", "width"), [("float32", 4), ("float16", 4), ("float16", 8), ("float16", 2)])
def test_rows_hold_what_those_of_the_host_hold(gpu, dtype, width):
    signature = DecoderSignature(3, 2, width, 10, 1, None, np.dtype(dtype), False)
    random = np.random.default_rng(0)
    seen = []

    def look(arrays):
        seen.append({name: value.copy() for name, value in arrays.items()})
        return {}

    sizes = {"num_rows": 5, "places": 6, "memory_length": 7}
    session = OnnxSession(look)
    caches = [HostCache(look, signature, **sizes), DeviceCache(session, signature, **sizes)]
    send = (lambda value: value), session._made.send
    feeds = {"masks": np.zeros((1, 10), np.float32), "tokens": np.zeros((5, 1), np.int32)}

    def run_all():
        seen.clear()
        for cache in caches:
            cache.run(feeds)
        ours, wanted = seen[1], seen[0]
        assert ours.keys() == wanted.keys()
        for name in wanted:
            np.testing.assert_array_equal(ours[name], wanted[name], err_msg=name)

    run_all()
    memory = {
        name: random.standard_normal((2, 2, 5, width)).astype(dtype) for name in signature.names("cross")
    }
    for cache, sent in zip(caches, send, strict=True):
        lying = {name: sent(value) for name, value in memory.items()}
        cache.seat(3, lying, 1)
        cache.seat(0, lying, 0)
    run_all()
    for added, positions in ((2, [0, -1, 3, 4, 0]), (1, [5, 0, -1, 2, 5])):
        shape = (5, 3, 2, added, width)
        outputs = {name: random.standard_normal(shape).astype(dtype) for name in ("new_keys", "new_values")}
        for cache, sent in zip(caches, send, strict=True):
            lying = {name: sent(value) for name, value in outputs.items()}
            cache.write(lying, np.array(positions, np.int32))
        run_all()
    assert np.count_nonzero(seen[0]["self_key_2"]) == (4 * 2 + 4) * 2 * width
    for cache in caches:
        cache.grow(11)
    run_all()
    assert seen[1]["self_value_1"].shape == (5, 2, 11, width)
    assert ("copy_rows_by_16" in gpu) == (width * np.dtype(dtype).itemsize % 16 == 0)
    for cache in caches:
        cache.close()


@pytest.mark.usefixtures("gpu")
def test_text_is_that_of_the_host():
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("onnxruntime")
    from tests.speech.generation import test_greedy
    from trtforge.speech.generation import Request, RowDecoder, Seat, generate

    feeds, _, lengths = test_greedy.inputs_of("marian", 0, 5)
    prompts = [[109], [109, 20], [109, 21, 22], [109], [109, 30]]
    wanted = test_greedy.ours("marian", 0, feeds, lengths, prompts, num_rows=2)
    encoder, decoder, num_positions = test_greedy.networks("marian", 0)
    session = OnnxSession(decoder.run, decoder.inputs)
    memory = {name: session._made.send(value) for name, value in encoder.run(feeds).items()}
    found = RowDecoder(
        session, num_rows=2, num_positions=num_positions, rules=test_greedy.RULES, memory_length=12, bucket=8
    )
    seats = (
        Seat(
            Request(tuple(prompt), 16, frozenset({0}), test_greedy.RULES, key=row), memory, row, lengths[row]
        )
        for row, prompt in enumerate(prompts)
    )
    tokens = {one.request.key: one.tokens for one in generate(found, seats)}
    assert [tokens[row] for row in range(5)] == [one.tokens for one in wanted]
    looked = found.look(memory, np.full((5, 1), 109, np.int32), lengths=lengths)
    assert looked.scores.shape == (5, 110)
    found.close()
