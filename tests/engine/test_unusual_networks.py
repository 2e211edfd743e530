"""Networks of unusual kinds build, and say what they take, as the network does."""

import pytest

from tests.engine.unusual_networks import CASES
from trtforge.engine import build
from trtforge.model import model_inputs, model_outputs
from trtforge.runtime import OnnxRunner

pytest.importorskip("tensorrt_rtx")


@pytest.mark.parametrize("name", CASES)
def test_an_engine_takes_and_gives_what_its_network_does(name):
    case = CASES[name]
    profiles = [case.profile] if case.profile else []
    made = build(case.model, profiles=profiles, flavor="tensorrt_rtx").manifest
    assert [(spec.name, spec.dtype) for spec in made.inputs] == [
        (spec.name, spec.dtype) for spec in model_inputs(case.model)
    ]
    assert [(spec.name, spec.dtype) for spec in made.outputs] == [
        (spec.name, spec.dtype) for spec in model_outputs(case.model)
    ]
    with OnnxRunner(case.model) as runner:
        for request in case.requests():
            for key, allowed in case.profile.shapes.items() if case.profile else ():
                assert request[key].shape in allowed
            assert set(runner.run(request)) == {spec.name for spec in made.outputs}
