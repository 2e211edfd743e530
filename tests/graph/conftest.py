import pytest

from tests.graph.backend_cases import Case, float_cases


@pytest.fixture(scope="package")
def cases() -> list[Case]:
    """Return ONNX's own tests of operators on FP32; they take seconds to load."""
    return list(float_cases())
