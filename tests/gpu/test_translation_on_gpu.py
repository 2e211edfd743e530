"""Translation through TensorRT on a GPU gives the symbols that ONNX Runtime gives.

The networks come from an interpreter with PyTorch:
``python -m benchmarks.translation.checkpoint --shape tiny FOLDER``.
"""

import os
import shutil

import numpy as np
import pytest

from tests.gpu.needs import why_not
from trtforge.engine import BuildConfig
from trtforge.speech.translation import SequenceTranslator, build_translator
from trtforge.speech.translation.constrained import Constraint
from trtforge.speech.translation.networks import open_networks

FOLDER = os.environ.get("TRTFORGE_TRANSLATION_NETWORKS")
_REASON = why_not("cuda.bindings.nvrtc", "onnxruntime") or (
    None if FOLDER else "TRTFORGE_TRANSLATION_NETWORKS names no folder with exported networks"
)
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))

START, END, NUM_SYMBOLS = 999, 0, 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("networks") / "tiny"
    shutil.copytree(FOLDER, made)
    config = BuildConfig(precision="float32", tf32=False)
    build_translator(made, num_rows=8, max_source=48, num_positions=48, config=config, flavor="tensorrt")
    return made


def on(device, folder, stop):
    networks, positions = open_networks(str(folder), device, num_masks=1)
    return SequenceTranslator(*networks, positions, (START,), stop, max_batch=8)


def test_symbols_are_those_of_the_cpu(folder):
    random = np.random.default_rng(0)
    sources = [random.integers(2, 900, random.integers(1, 49)).tolist() for _ in range(21)]
    limits = random.integers(1, 40, 21).tolist()
    found = {}
    for device in ("cpu", "gpu"):
        one = on(device, folder, frozenset())
        found[device] = [one.translate(sources, limits) for _ in range(2)]
        one.close()
    for again in found["gpu"]:
        assert [row.tokens for row in again] == [row.tokens for row in found["cpu"][0]]
        for row, wanted in zip(again, found["cpu"][0], strict=True):
            np.testing.assert_allclose(row.log_probabilities, wanted.log_probabilities, atol=2e-3)


def test_constraints_are_held_though_they_need_more_rows_than_the_engine_has(folder):
    constraints = [Constraint((5, 6, 7, 8)), Constraint((9,)), Constraint((10, 11))]
    found = []
    for device in ("cpu", "gpu"):
        one = on(device, folder, frozenset({END}))
        found.append(
            one.translate_with(
                [20, 21, 22], constraints, max_new_tokens=20, width=3,
                continues_word=np.zeros(NUM_SYMBOLS, bool),
            )
        )  # fmt: skip
        one.close()
    assert found[0].tokens == found[1].tokens
    assert found[0].log_probability == pytest.approx(found[1].log_probability, abs=1e-2)
