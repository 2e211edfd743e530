import ctypes
from types import SimpleNamespace

import numpy as np
import pytest

from tests.runtime.fake_gpu import FakeCuda
from trtforge.errors import CalibrationError, ExecutionError
from trtforge.nvidia import cuda
from trtforge.nvidia.debug_tensors import DebugTensors

TRT = SimpleNamespace(IDebugListener=type("IDebugListener", (), {}))
FLOAT, INT32 = SimpleNamespace(name="FLOAT"), SimpleNamespace(name="INT32")


def capsule(address):
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(address, None, None)


@pytest.fixture
def listening(monkeypatch):
    """Debug tensors ``a`` and ``b``, and what shows them."""
    driver, context = FakeCuda(), SimpleNamespace(listen=lambda listener: setattr(context, "to", listener))
    monkeypatch.setattr(cuda, "runtime_api", lambda: driver)
    tensors = DebugTensors(TRT, context, ["a", "b"])

    def show(name, array, kind=FLOAT, wrap=capsule):
        shown = context.to.process_debug_tensor(wrap(array.ctypes.data), None, kind, array.shape, name, 7)
        assert shown is True

    yield tensors, show
    tensors.close()
    assert driver.memory == {}


@pytest.mark.parametrize("wrap", [capsule, int])
def test_a_tensor_is_copied_while_it_is_shown(listening, wrap):
    tensors, show = listening
    tensors.begin()
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    show("a", array, wrap=wrap)
    show("unwanted", array)
    array[:] = 0
    address, dtype, shape = tensors.found("a")
    assert (dtype, shape) == ("float32", (2, 3))
    kept = np.frombuffer((ctypes.c_byte * 24).from_address(address), np.float32)
    assert kept.tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(ExecutionError, match="did not show its tensor 'b'"):
        tensors.found("b")
    tensors.begin()
    with pytest.raises(ExecutionError, match="did not show its tensor 'a'"):
        tensors.found("a")


def test_an_error_while_copying_surfaces_afterwards(listening):
    tensors, show = listening
    tensors.begin()
    show("a", np.zeros(3, np.int32), kind=INT32)
    show("b", np.zeros(3, np.float32))
    with pytest.raises(CalibrationError, match=r"tensor 'a' cannot be observed: .* got int32"):
        tensors.found("b")
