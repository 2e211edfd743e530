import pytest

from trtforge._optional import is_installed
from trtforge.errors import ExecutionError, MissingExtraError
from trtforge.nvidia import kernels, magnitudes
from trtforge.nvidia.magnitude_tables import MAX_CUTS

DEFINES = {
    "NUM_BINS": magnitudes.NUM_BINS,
    "BIN_BITS": 12,
    "COPIES": magnitudes._COPIES,
    "MAX_CUTS": MAX_CUTS,
}


def _why_not():
    if not is_installed("cuda.bindings.nvrtc"):
        return "cuda-python is not installed"
    try:
        kernels.compile_kernels("magnitudes.cu", "sm_90", DEFINES)
    except MissingExtraError as error:
        return error.message
    except ExecutionError:
        return None
    return None


needs_nvrtc = pytest.mark.skipif(_why_not() is not None, reason=str(_why_not()))


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90"])
def test_the_kernels_compile(architecture):
    code = kernels.compile_kernels("magnitudes.cu", architecture, DEFINES)
    assert code.startswith(b"\x7fELF")
    for name in (b"scan", b"judge", b"grow", b"count"):
        assert b".text." + name + b"\0" in code


@needs_nvrtc
def test_what_does_not_compile_says_why():
    with pytest.raises(ExecutionError, match=r"cannot compile magnitudes.cu for sm_90: .*MAX_CUTS"):
        kernels.compile_kernels("magnitudes.cu", "sm_90", {"NUM_BINS": 4096})


def test_a_missing_compiler_says_what_to_install(monkeypatch):
    class Bindings:
        def nvrtcCreateProgram(self, *arguments):
            raise RuntimeError('"nvrtc" cannot be found')

    monkeypatch.setattr(kernels, "require", lambda module, purpose: Bindings())
    with pytest.raises(MissingExtraError, match='cannot be loaded: "nvrtc" cannot be found') as caught:
        kernels.compile_kernels("magnitudes.cu", "sm_90", DEFINES)
    assert '"trtforge[calibrate-gpu]"' in caught.value.hint
