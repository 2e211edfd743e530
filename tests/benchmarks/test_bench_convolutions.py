import pytest

from benchmarks.bench_convolutions import AsItIs, main
from tests.engine.networks import conv_net
from trtforge.engine.precision import network_to_build
from trtforge.nvidia import gpus


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_one_of_the_pair_is_built_as_it_is(precision):
    model = conv_net()
    assert network_to_build(model, precision, AsItIs("8.6.0")) == (model, {})


@pytest.mark.skipif(bool(gpus()), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert main([]) == 1
    assert "NoGpuError: a GPU is needed to build with tensorrt" in capsys.readouterr().err
