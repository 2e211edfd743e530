"""Compile kernels of our own with NVRTC, load them and launch them, with every call checked."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from trtforge._closing import Closing
from trtforge._optional import require
from trtforge.errors import ExecutionError, MissingExtraError
from trtforge.nvidia.cuda import Stream, raise_cuda_error, runtime_api

# A value and its C type, in the order of the kernel's parameters.
Argument: TypeAlias = "tuple[int, Any]"

_PURPOSE = "run kernels of trtforge's own on a GPU"
# What the driver calls errors that the runtime has a name of its own for.
_RUNTIME_NAMES = {
    "CUDA_ERROR_ILLEGAL_ADDRESS": "cudaErrorIllegalAddress",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION": "cudaErrorIllegalInstruction",
    "CUDA_ERROR_LAUNCH_FAILED": "cudaErrorLaunchFailure",
    "CUDA_ERROR_MISALIGNED_ADDRESS": "cudaErrorMisalignedAddress",
    "CUDA_ERROR_NO_DEVICE": "cudaErrorNoDevice",
    "CUDA_ERROR_OUT_OF_MEMORY": "cudaErrorMemoryAllocation",
}


def pointer(address: int) -> Argument:
    """Return a GPU address as a kernel's argument."""
    return address, ctypes.c_void_p


def unsigned(value: int) -> Argument:
    """Return a number as a kernel's argument of 32 bits."""
    return value, ctypes.c_uint32


def compile_kernels(source: str, architecture: str, defines: Mapping[str, int]) -> bytes:
    """Compile CUDA C++ to machine code for one GPU generation.

    Machine code rather than PTX, so that a driver older than the compiler takes it.

    Parameters
    ----------
    source : name of a ``.cu`` file of this package.
    architecture : such as ``sm_90``.
    defines : macros of the source.

    Raises
    ------
    MissingExtraError : cuda-python or the NVRTC library is not installed.
    ExecutionError : the source does not compile; the message carries the compiler's log.
    """
    nvrtc = require("cuda.bindings.nvrtc", _PURPOSE)
    text = files(__package__).joinpath(source).read_bytes()
    try:
        error, program = nvrtc.nvrtcCreateProgram(text, source.encode(), 0, [], [])
    except (ImportError, OSError, RuntimeError) as failure:  # the bindings look for the library on first use
        raise MissingExtraError(
            f"the NVRTC library is needed to {_PURPOSE}, and it cannot be loaded: {failure}",
            hint='python -m pip install "trtforge[calibrate-gpu]", or install the CUDA toolkit',
        ) from failure
    _check_compiler(nvrtc, error, "make a program")
    try:
        options = [f"--gpu-architecture={architecture}", "--std=c++17"]
        options += [f"--define-macro={name}={value}" for name, value in defines.items()]
        encoded = [option.encode() for option in options]
        (error,) = nvrtc.nvrtcCompileProgram(program, len(encoded), encoded)
        if error.name != "NVRTC_SUCCESS":
            version = ".".join(map(str, nvrtc.nvrtcVersion()[1:]))
            raise ExecutionError(
                f"NVRTC {version} cannot compile {source} for {architecture}: {error.name}: "
                f"{_text_of(nvrtc, program)}",
                hint="a GPU newer than this NVRTC needs a newer one",
            )
        error, num_bytes = nvrtc.nvrtcGetCUBINSize(program)
        _check_compiler(nvrtc, error, "give the machine code")
        code: bytes = b" " * num_bytes
        (error,) = nvrtc.nvrtcGetCUBIN(program, code)
        _check_compiler(nvrtc, error, "give the machine code")
        return code
    finally:
        nvrtc.nvrtcDestroyProgram(program)


class Kernels(Closing):
    """The kernels of one source file, loaded into the current GPU's context.

    Parameters
    ----------
    source, defines : as for `compile_kernels`.
    device : CUDA device ordinal; it must be the calling thread's current GPU.

    Raises
    ------
    MissingExtraError, ExecutionError : as for `compile_kernels`.
    """

    def __init__(self, source: str, defines: Mapping[str, int], *, device: int) -> None:
        # The runtime makes the context that the driver's calls below work in.
        _check_runtime(runtime_api().cudaFree(0), "make a context")
        code = _compiled(source, _architecture(device), tuple(defines.items()))
        self._driver = require("cuda.bindings.driver", _PURPOSE)
        self._module = self._called("cuModuleLoadData", code, doing=f"load the kernels of {source}")
        self._functions: dict[str, Any] = {}

    def launch(
        self,
        name: str,
        arguments: Sequence[Argument],
        stream: Stream,
        *,
        num_blocks: int,
        block_size: int,
        shared_bytes: int = 0,
    ) -> None:
        """Queue a kernel on a stream; nothing is done for 0 blocks.

        Parameters
        ----------
        name : of an ``extern "C"`` kernel.
        arguments : as `pointer` and `unsigned` give them.
        num_blocks, block_size : of the one-dimensional grid, and threads of a block.
        shared_bytes : shared memory of a block that the source leaves open.

        Raises
        ------
        ExecutionError, DeviceLostError, OutOfMemoryError : CUDA refuses.
        """
        if num_blocks == 0:
            return
        function = self._function(name, shared_bytes)
        values = tuple(value for value, _ in arguments), tuple(kind for _, kind in arguments)
        grid = (num_blocks, 1, 1, block_size, 1, 1)
        self._called(
            "cuLaunchKernel",
            function,
            *grid,
            shared_bytes,
            stream.handle,
            values,
            0,
            doing=f"launch {name!r}",
        )

    def close(self) -> None:
        """Unload the kernels; closing twice does nothing."""
        if self._module is not None:
            module, self._module = self._module, None
            self._called("cuModuleUnload", module, doing="unload kernels")

    def _function(self, name: str, shared_bytes: int) -> Any:
        if name not in self._functions:
            found = self._called("cuModuleGetFunction", self._module, name.encode(), doing=f"find {name!r}")
            if shared_bytes:
                kind = self._driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
                doing = f"give {name!r} {shared_bytes} bytes of shared memory"
                self._called("cuFuncSetAttribute", found, kind, shared_bytes, doing=doing)
            self._functions[name] = found
        return self._functions[name]

    def _called(self, function: str, *arguments: Any, doing: str) -> Any:
        error, *values = getattr(self._driver, function)(*arguments)
        if error.name != "CUDA_SUCCESS":
            raise_cuda_error(_RUNTIME_NAMES.get(error.name, error.name), doing)
        return values[0] if values else None


def num_multiprocessors(device: int) -> int:
    """Return how many blocks' worth of processors a GPU has."""
    return _attribute("cudaDevAttrMultiProcessorCount", device)


@cache
def _compiled(source: str, architecture: str, defines: tuple[tuple[str, int], ...]) -> bytes:
    return compile_kernels(source, architecture, dict(defines))


def _architecture(device: int) -> str:
    major, minor = (_attribute(f"cudaDevAttrComputeCapability{part}", device) for part in ("Major", "Minor"))
    return f"sm_{major}{minor}"


def _attribute(name: str, device: int) -> int:
    cudart = runtime_api()
    found = cudart.cudaDeviceGetAttribute(getattr(cudart.cudaDeviceAttr, name), device)
    return int(_check_runtime(found, f"read {name}"))


def _check_runtime(outcome: tuple[Any, ...], doing: str) -> Any:
    error, *values = outcome
    if error.name != "cudaSuccess":
        raise_cuda_error(error.name, doing)
    return values[0] if values else None


def _check_compiler(nvrtc: Any, error: Any, doing: str) -> None:
    if error.name != "NVRTC_SUCCESS":
        raise ExecutionError(f"NVRTC failed to {doing}: {error.name}")


def _text_of(nvrtc: Any, program: Any) -> str:
    _, num_bytes = nvrtc.nvrtcGetProgramLogSize(program)
    log: bytes = b" " * num_bytes
    nvrtc.nvrtcGetProgramLog(program, log)
    return log.decode(errors="replace").strip("\0 \n")
