"""Describe this machine: what it has, what trtforge can do on it, and what to install for more."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from trtforge._optional import EXTRA_OF, is_installed
from trtforge.nvidia.devices import Gpu, gpus
from trtforge.nvidia.flavor import Flavor
from trtforge.nvidia.rtx import Rtx
from trtforge.nvidia.selection import available, installed_version, is_known

# Where a module's distribution bears another name.
_DISTRIBUTIONS = {
    "cuda": "cuda-python",
    "google": "protobuf",
    "grpc": "grpcio",
    "pynvml": "nvidia-ml-py",
    "tensorrt_rtx": "tensorrt-rtx",
}
_NO_GPU = "CUDA finds no GPU"


@dataclass(frozen=True)
class Capability:
    """One thing that trtforge does, and whether it can be done here.

    Parameters
    ----------
    name : what it is.
    possible : whether it can be done here.
    reason : with what, or why not and what to install.
    """

    name: str
    possible: bool
    reason: str


@dataclass(frozen=True)
class Machine:
    """What `describe_machine` found.

    Parameters
    ----------
    python, system : version of Python; operating system and architecture.
    num_cpus : usable CPU cores.
    memory_bytes : total memory.
    gpus : GPUs that CUDA can use.
    libraries : TensorRT libraries, name to version.
    packages : optional packages, distribution to version or None where absent.
    capabilities : what can be done here.
    """

    python: str
    system: str
    num_cpus: int
    memory_bytes: int
    gpus: tuple[Gpu, ...]
    libraries: Mapping[str, str]
    packages: Mapping[str, str | None]
    capabilities: tuple[Capability, ...]

    def __str__(self) -> str:
        lines = [
            f"Python      {self.python}",
            f"system      {self.system}",
            f"CPU         {self.num_cpus} cores, {self.memory_bytes / 2**30:.0f} GiB memory",
            *(f"GPU {gpu.index}       {gpu}" for gpu in self.gpus),
            *([] if self.gpus else [f"GPU         none: {_NO_GPU}"]),
            *(f"library     {name} {version}" for name, version in self.libraries.items()),
            *(
                f"package     {name} {version or '(not installed)'}"
                for name, version in self.packages.items()
            ),
            *(
                f"{'can' if item.possible else 'cannot':<11} {item.name}: {item.reason}"
                for item in self.capabilities
            ),
        ]
        return "\n".join(lines)


def describe_machine() -> Machine:
    """Look at this machine; nothing of NVIDIA's is imported, and nothing is asked of a GPU but its name."""
    present, flavors = gpus(), available()
    packages = {_DISTRIBUTIONS.get(module, module): _version(module) for module in EXTRA_OF}
    libraries = {kind.name: version for kind in (Flavor, Rtx) if (version := installed_version(kind))}
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        num_cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        gpus=present,
        libraries=libraries,
        packages=packages,
        capabilities=_capabilities(present, {flavor.name: flavor for flavor in flavors}, libraries),
    )


def _capabilities(
    present: Sequence[Gpu], flavors: Mapping[str, Flavor], libraries: Mapping[str, str]
) -> tuple[Capability, ...]:
    return (
        _by_modules("read audio and make features", ("librosa", "soundfile", "soxr")),
        _by_modules("calibrate", ("onnxruntime", "numba")),
        _build_rtx(flavors),
        _build_tensorrt(present, flavors, libraries),
        _run_engines(present, flavors),
        _by_modules("evaluate accuracy", ("onnxruntime", "jiwer")),
        _by_modules("draw the report", ("matplotlib", "jinja2")),
        _by_modules("keep engines in a store", ("platformdirs",)),
        _by_modules("sign engines", ("cryptography",)),
        _by_modules("write model repositories for Triton", ("tritonclient", "grpc")),
        _by_modules("run many clips over many machines", ("ray",)),
    )


def _by_modules(name: str, modules: Iterable[str]) -> Capability:
    missing = [module for module in modules if not is_installed(module)]
    if missing:
        return Capability(name, False, f"needs {', '.join(missing)}: {_install(*missing)}")
    return Capability(name, True, f"with {', '.join(modules)}")


def _build_rtx(flavors: Mapping[str, Flavor]) -> Capability:
    name = "build engines with TensorRT-RTX"
    if "tensorrt_rtx" in flavors:
        return Capability(name, True, f"with {flavors['tensorrt_rtx']}, no GPU needed")
    return Capability(name, False, f"needs tensorrt_rtx: {_install('tensorrt_rtx')}")


def _build_tensorrt(
    present: Sequence[Gpu], flavors: Mapping[str, Flavor], libraries: Mapping[str, str]
) -> Capability:
    name = "build engines with TensorRT"
    if not present:
        return Capability(name, False, f"needs a GPU: {_NO_GPU}")
    if "tensorrt" in flavors:
        return Capability(name, True, f"with {flavors['tensorrt']}")
    if "tensorrt" in libraries and not is_known("tensorrt", libraries["tensorrt"]):
        return Capability(
            name, False, f"tensorrt {libraries['tensorrt']} is not supported: 8.6, 10.x or 11.x is"
        )
    return Capability(name, False, f"needs tensorrt: {_install('tensorrt')}")


def _run_engines(present: Sequence[Gpu], flavors: Mapping[str, Flavor]) -> Capability:
    name = "run engines"
    if not present:
        return Capability(name, False, f"needs a GPU: {_NO_GPU}; ONNX Runtime runs the networks instead")
    if not is_installed("cuda.bindings.runtime"):
        return Capability(name, False, f"needs cuda-python: {_install('cuda')}")
    runnable = [
        str(flavor)
        for flavor in flavors.values()
        if not flavor.builds_without_gpu
        or any(flavor.runs_on(gpu.compute_capability, flavor.built_for(())) for gpu in present)
    ]
    if runnable:
        return Capability(name, True, f"with {', '.join(runnable)}")
    wanted = "tensorrt" if "tensorrt" not in flavors else "tensorrt_rtx"
    return Capability(name, False, f"no installed library runs on {present[0].name}: {_install(wanted)}")


def _install(*modules: str) -> str:
    extras = sorted({EXTRA_OF[module] for module in modules})
    return f'python -m pip install "trtforge[{",".join(extras)}]"'


def _version(module: str) -> str | None:
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(module, module))
    except importlib.metadata.PackageNotFoundError:
        return "unknown" if is_installed(module) else None
