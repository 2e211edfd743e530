"""Run the counting kernels on the CPU: compiled as C++, one thread a block, in host memory."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

from trtforge.nvidia import magnitudes
from trtforge.nvidia.kernels import pointer

SOURCE = Path(magnitudes.__file__).with_name("magnitudes.cu")
COMPILER = shutil.which("g++")

_PREFIX = """
#include <cstdint>
#include <cstring>
#define __device__
#define __global__
#define __shared__
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct Index { unsigned x; };
static Index threadIdx = {0}, blockIdx = {0}, blockDim = {1};
static float __uint_as_float(unsigned bits) { float value; memcpy(&value, &bits, 4); return value; }
static unsigned __float_as_uint(float value) { unsigned bits; memcpy(&bits, &value, 4); return bits; }
static int __clz(unsigned bits) { return bits ? __builtin_clz(bits) : 32; }
static void __syncthreads() {}
// What the other lanes of the only thread's warp hold: nothing.
static unsigned __shfl_down_sync(unsigned, unsigned, int) { return 0; }
template <class A, class B> static A atomicAdd(A* at, B value) { A old = *at; *at += value; return old; }
template <class A, class B> static A atomicMax(A* at, B value) {
    A old = *at;
    *at = old > value ? old : value;
    return old;
}
unsigned tables[NUM_BINS * COPIES];
"""
_SUFFIX = """
extern "C" void set_block(unsigned block) { blockIdx.x = block; }
"""


class HostKernels:
    """Plays `trtforge.nvidia.kernels.Kernels`."""

    libraries: dict = {}  # noqa: RUF012

    def __init__(self, source, defines, *, device):
        assert source == SOURCE.name
        self.library = self.libraries[tuple(defines.items())]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def launch(self, name, arguments, stream, *, num_blocks, block_size, shared_bytes=0):
        values = [kind(value) for value, kind in arguments]
        for block in range(num_blocks):
            self.library.set_block(block)
            getattr(self.library, name)(*values)


def install(monkeypatch, folder):
    """Compile the kernels and put them in place of those of a GPU."""
    defines = {
        "NUM_BINS": magnitudes.NUM_BINS,
        "BIN_BITS": magnitudes.BIN_BITS,
        "COPIES": magnitudes._COPIES,
        "MAX_CUTS": magnitudes.MAX_CUTS,
    }
    key = tuple(defines.items())
    if key not in HostKernels.libraries:
        source, library = folder / "kernels.cpp", folder / "kernels.so"
        source.write_text(_PREFIX + SOURCE.read_text() + _SUFFIX)
        macros = [f"-D{name}={value}" for name, value in defines.items()]
        command = [
            COMPILER,
            "-O2",
            "-std=c++17",
            "-shared",
            "-fPIC",
            *macros,
            str(source),
            "-o",
            str(library),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        HostKernels.libraries[key] = ctypes.CDLL(str(library))
    monkeypatch.setattr(magnitudes, "Kernels", HostKernels)
    monkeypatch.setattr(magnitudes, "num_multiprocessors", lambda device: 1)
    assert pointer(1)[1] is ctypes.c_void_p
