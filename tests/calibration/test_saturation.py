import numpy as np
import pytest

from tests.calibration.audited import observed
from trtforge.calibration.saturation import Saturation, saturations
from trtforge.errors import ConfigError
from trtforge.scales import Scales, TensorScale


def scales(**amax):
    return Scales(
        {name: TensorScale(value, 8.0, 0.05) for name, value in amax.items()}, "max", "a" * 64, "b" * 64, 2
    )


# Values lie at the centres of bins, so that a threshold at an edge splits them exactly.
LINE = (np.arange(4096) + 0.5) / 1024


def test_shares_by_hand():
    store = observed({"half": {"a": LINE, "b": LINE / 4}, "none": {"a": LINE / 4, "b": LINE / 4}})
    assert saturations(store, scales(a=2.0, b=2.0), max_clipped_share=0.1) == (
        Saturation("half", "a", 0.5, 0.05, 1),
    )
    found = saturations(store, scales(a=1.0, b=0.5), max_clipped_share=0.1)
    assert [(s.clip_id, s.tensor, s.clipped_share, s.num_tensors) for s in found] == [
        ("half", "a", 0.75, 2),
        ("none", "b", 0.5, 1),
    ]


def test_exactly_as_much_as_allowed_is_no_saturation():
    store = observed({"half": {"a": LINE}})
    assert saturations(store, scales(a=2.0), max_clipped_share=0.5) == ()
    assert len(saturations(store, scales(a=2.0), max_clipped_share=0.49)) == 1


def test_share_out_of_range():
    with pytest.raises(ConfigError, match=r"max_clipped_share must lie in 0 to 1, got 1.5"):
        saturations(observed({"x": {"a": [1]}}), scales(a=1.0), max_clipped_share=1.5)
