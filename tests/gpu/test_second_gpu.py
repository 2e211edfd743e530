"""With more than one GPU, each is called as CUDA numbers it; skipped where there is but one."""

import numpy as np
import pytest

from tests.engine.networks import PROFILE, conv_net
from tests.gpu.needs import why_not
from trtforge.engine import build
from trtforge.nvidia import gpus
from trtforge.nvidia.cuda import DeviceBuffer, set_device
from trtforge.nvidia.current import current_device, current_gpu
from trtforge.nvidia.device_memory import MemoryReader
from trtforge.nvidia.telemetry import Telemetry
from trtforge.runtime import Session

_REASON = why_not("pynvml") or (None if len(gpus()) > 1 else "there is but one GPU")
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))


@pytest.fixture
def on_second():
    set_device(1)
    yield
    set_device(0)


def test_the_memory_that_grows_is_that_of_the_gpu_it_was_taken_on(on_second):
    with MemoryReader() as reader, Telemetry(1) as telemetry, DeviceBuffer() as buffer:
        before, told_before = reader.read(), telemetry.used_bytes()
        buffer.reserve(2 << 30)
        after = reader.read()
        grown = {index: after[index].used_bytes - before[index].used_bytes for index in (0, 1)}
        assert telemetry.used_bytes() - told_before == pytest.approx(2 << 30, rel=0.05)
    assert grown[1] == pytest.approx(2 << 30, rel=0.05)
    assert grown[0] < 1 << 30


def test_an_engine_is_built_on_the_gpu_of_the_thread(on_second):
    assert (current_device(), current_gpu()) == (1, gpus()[1])
    engine = build(conv_net(), profiles=[PROFILE], flavor="tensorrt")
    assert engine.manifest.gpu == gpus()[1].name
    arrays = {"mel": np.random.default_rng(0).uniform(-4, 4, (2, 4, 40)).astype(np.float32)}
    with Session(engine, device=1) as second:
        assert np.isfinite(second.run(arrays)["logits"]).all()
