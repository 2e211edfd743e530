"""A language model through TensorRT on a GPU gives the tokens of transformers; see `pack_generation`."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.gpu.needs import why_not
from trtforge.engine import BuildConfig
from trtforge.runtime import Session
from trtforge.speech.causal import build_language_model
from trtforge.speech.generation import Request, RowDecoder, Seat, generate

PACK = os.environ.get("TRTFORGE_GENERATION_PACK")
_REASON = why_not("cuda.bindings.nvrtc") or (
    None if PACK else "TRTFORGE_GENERATION_PACK names no folder that tests.gpu.pack_generation wrote"
)
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))

CASES = sorted(path.parent.name for path in Path(PACK).glob("*/causal.json")) if PACK else ["none"]
CONFIG = BuildConfig(precision="float32", tf32=False)
ROWS, POSITIONS, PREFILL = 2, 40, 16


@pytest.mark.parametrize("name", CASES)
def test_tokens_are_those_of_transformers(name, tmp_path):
    folder = Path(shutil.copytree(Path(PACK) / name, tmp_path / name))
    case = json.loads((folder / "causal.json").read_text())
    build_language_model(
        folder, num_rows=ROWS, num_positions=POSITIONS, max_prefill=PREFILL, config=CONFIG, flavor="tensorrt"
    )
    stop = frozenset({case["stop"]})
    with Session(folder / "decoder.engine", max_contexts=1, cuda_graphs=8) as session:
        rows = RowDecoder(session, num_rows=ROWS, num_positions=POSITIONS)

        def texts(seats):
            return {one.request.key: list(one.tokens) for one in generate(rows, seats, max_prefill=PREFILL)}

        prompts = [tuple(prompt) for prompt in case["prompts"]]
        found = texts(Seat(Request(prompt, case["new"], stop, key=at)) for at, prompt in enumerate(prompts))
        assert [found[at] for at in range(len(prompts))] == case["tokens"]
        # A row that holds the beginning of its prompt reads only the rest.
        longest = max(range(len(prompts)), key=lambda at: len(prompts[at]))
        for held in (0, len(prompts[longest]) - 4):
            request = Request(prompts[longest], case["new"], stop, key=longest)
            assert texts([Seat(request, num_held=held)])[longest] == case["tokens"][longest]
        assert session.counts["graph_replays"] > 0
        rows.close()
