"""What NVML tells where there is none of it: nothing, and why."""

import pytest

from trtforge._optional import is_installed
from trtforge.nvidia import gpus
from trtforge.nvidia.devices import l2_cache_bytes
from trtforge.nvidia.telemetry import Telemetry


@pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU")
def test_without_a_gpu_nothing_is_told_and_the_reason_is():
    with Telemetry() as telemetry:
        assert telemetry.missing is not None
        wanted = "NVML" if is_installed("pynvml") else 'python -m pip install "trtforge[bench]"'
        assert wanted in telemetry.missing
        assert (telemetry.energy_j(), telemetry.used_bytes()) == (None, None)
        assert (telemetry.state(), telemetry.limits()) == ({}, {})
    telemetry.close()
    assert l2_cache_bytes() is None
