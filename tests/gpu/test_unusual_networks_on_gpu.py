"""Sessions of networks of unusual kinds give what ONNX Runtime gives."""

import numpy as np
import pytest

from tests.engine.unusual_networks import CASES
from tests.gpu.needs import why_not
from trtforge.engine import build
from trtforge.runtime import OnnxRunner, Session

_REASON = why_not("onnxruntime")
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))


@pytest.mark.parametrize("name", CASES)
def test_a_session_gives_what_onnx_runtime_gives(name):
    case = CASES[name]
    engine = build(case.model, profiles=[case.profile] if case.profile else [], flavor="tensorrt")
    dtypes = {spec.name: spec.dtype for spec in engine.manifest.outputs}
    with OnnxRunner(case.model) as reference, Session(engine, cuda_graphs=4) as session:
        for request in 3 * case.requests():  # graphs are recorded, and launched
            wanted = reference.run(request)
            left = session.run(request, outputs="device")
            for got in (
                session.run(request),
                {key: array.numpy() for key, array in left.items()},
                session.submit(request).result(),
            ):
                assert got.keys() == wanted.keys()
                for key, array in got.items():
                    assert array.dtype == dtypes[key]
                    assert array.shape == wanted[key].shape
                    np.testing.assert_allclose(
                        array.astype(np.float64), wanted[key].astype(np.float64), rtol=2e-3, atol=2e-3
                    )
