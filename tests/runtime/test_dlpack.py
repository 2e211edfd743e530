"""Capsules made by hand are read by NumPy and PyTorch, and theirs by us."""

import gc
import subprocess
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from trtforge.errors import InputError
from trtforge.runtime import DeviceArray, dlpack


class Owner:
    """Memory on the host, lent as a device array lends its memory."""

    def __init__(self, array):
        self.array = array

    def __dlpack_device__(self):
        return 1, 0

    def __dlpack__(self, **_):
        return dlpack.make_capsule(
            self, self.array.ctypes.data, self.array.shape, self.array.dtype, self.__dlpack_device__()
        )


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "int8", "uint8", "int32", "int64", "bool", "complex64"]
)
@pytest.mark.parametrize("shape", [(2, 3, 4), (), (5,)])
def test_numpy_reads_a_capsule_and_gives_it_back(dtype, shape):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    owner = Owner(array)
    kept = weakref.ref(owner)
    read = np.from_dlpack(owner)
    del owner
    assert kept() is not None
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    assert read.ctypes.data == array.ctypes.data
    np.testing.assert_array_equal(read, array)
    del read
    gc.collect()
    assert kept() is None


def test_pytorch_reads_a_capsule_and_gives_it_back():
    torch = pytest.importorskip("torch")
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    owner = Owner(array)
    kept = weakref.ref(owner)
    read = torch.from_dlpack(owner)
    del owner
    assert kept() is not None
    read[0, 0] = 9
    assert array[0, 0] == 9
    del read
    gc.collect()
    assert kept() is None


def test_a_capsule_that_nobody_takes_is_forgotten():
    owner = Owner(np.zeros(3, np.float32))
    kept = weakref.ref(owner)
    capsule = owner.__dlpack__()
    del owner
    assert kept() is not None
    del capsule
    gc.collect()
    assert kept() is None


DROPPED_IN_FLIGHT = """
import weakref
import numpy as np
from trtforge.runtime import dlpack

class Owner:
    def __init__(self):
        self.array = np.zeros(3, np.float32)

def lend():
    owner = Owner()
    kept.append(weakref.ref(owner))
    return dlpack.make_capsule(owner, owner.array.ctypes.data, (3,), owner.array.dtype, (dlpack.CUDA, 0))

def fail():
    raise KeyError("in flight")

kept, caught = [], 0
for _ in range(100):
    try:
        print(lend(), fail())
    except KeyError:
        caught += 1
print(caught, sum(one() is None for one in kept))
"""


def test_a_capsule_may_be_dropped_while_an_exception_is_in_flight():
    done = subprocess.run(
        [sys.executable, "-c", DROPPED_IN_FLIGHT], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["100", "100"]), done.stderr


def test_a_consumer_that_refuses_raises_its_own_error():
    class OnGpu(Owner):
        def __dlpack__(self, **_):
            return dlpack.make_capsule(self, self.array.ctypes.data, (3,), self.array.dtype, (dlpack.CUDA, 0))

    with pytest.raises((BufferError, RuntimeError), match="device"):
        np.from_dlpack(OnGpu(np.zeros(3, np.float32)))


def test_a_type_that_numpy_lacks_is_refused():
    with pytest.raises(InputError, match=r"an array of dtype \|V2 cannot be lent by DLPack"):
        Owner(np.zeros(3, "V2")).__dlpack__()


def cuda_capsule(array, *, device=(dlpack.CUDA, 1), strides=None, offset=0):
    capsule = dlpack.make_capsule(array, array.ctypes.data - offset, array.shape, array.dtype, device)
    tensor = dlpack._managed(capsule).tensor
    if strides is not None:
        for axis, stride in enumerate(strides):
            tensor.strides[axis] = stride
    tensor.byte_offset = offset
    return capsule


def test_a_capsule_is_described_and_not_consumed():
    array = np.zeros((2, 3), np.float16)
    capsule = cuda_capsule(array, offset=64)
    for _ in range(2):
        assert dlpack.describe(capsule) == dlpack.Described(
            array.ctypes.data, (2, 3), np.dtype(np.float16), True, 1
        )
    for strides, is_contiguous in (((3, 1), True), ((1, 2), False), ((6, 1), False)):
        other = np.zeros((2, 3), np.int32)
        assert dlpack.describe(cuda_capsule(other, strides=strides)).is_contiguous is is_contiguous


def test_capsules_of_the_host_and_used_ones_are_refused():
    torch = pytest.importorskip("torch")
    capsule = torch.utils.dlpack.to_dlpack(torch.zeros(3))
    with pytest.raises(InputError, match="memory is of device type 1, wanted CUDA's"):
        dlpack.describe(capsule)
    torch.utils.dlpack.from_dlpack(capsule)
    with pytest.raises(InputError, match="used before, or is none"):
        dlpack.describe(capsule)
    with pytest.raises(InputError, match="used before, or is none"):
        dlpack.describe(12)


@pytest.mark.parametrize(
    ("shape", "strides", "wanted"),
    [
        ((), (), True),
        ((2, 3), (3, 1), True),
        ((2, 1, 3), (3, 77, 1), True),
        ((0, 3), (9, 9), True),
        ((2, 3), (1, 2), False),
        ((2, 3), (4, 1), False),
    ],
)
def test_contiguity(shape, strides, wanted):
    assert dlpack.is_contiguous(shape, strides) is wanted


def test_a_device_array_is_lent_where_it_lies_alone():
    block = SimpleNamespace(address=512)
    array = DeviceArray(block, (2,), np.dtype(np.float32), 0, lambda block, shared: None)
    for asked in ({"copy": True}, {"dl_device": (1, 0)}):
        with pytest.raises(BufferError, match="lent where it lies, and not copied"):
            array.__dlpack__(**asked)
    capsule = array.__dlpack__(stream=2, dl_device=(dlpack.CUDA, 0), copy=False, max_version=(1, 0))
    assert dlpack.describe(capsule).address == 512
