import io
import sys

import pytest
from rich.console import Console

import trtforge
from tests.bundled import MODEL
from trtforge.errors import MissingExtraError
from trtforge.model import load_model, model_inputs


def test_compiling_again_takes_the_engine_from_the_store(tmp_path):
    pytest.importorskip("tensorrt_rtx")
    store = trtforge.EngineStore(tmp_path)
    profiles = trtforge.plan_profiles(model_inputs(load_model(MODEL)), [16, 400], max_batch=2)
    said, engines = [], []
    for _ in range(2):
        console = Console(file=io.StringIO(), width=200)
        made = trtforge.compile(
            MODEL,
            precision="float16",
            profiles=profiles,
            flavor="tensorrt_rtx",
            store=store,
            console=console,
        )
        engines.append(made.engine)
        said.append(console.file.getvalue())
    assert engines[0] == engines[1]
    assert (store.builds, store.hits) == (1, 1)
    assert ["from the store" in text for text in said] == [False, True]


def test_a_store_that_cannot_be_opened_is_refused_before_any_work(monkeypatch, tmp_path):
    monkeypatch.delenv("TRTFORGE_CACHE", raising=False)
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(MissingExtraError, match="platformdirs is needed to keep engines in a store"):
        trtforge.compile(tmp_path / "no.onnx", precision="float16", profiles=[object()], store=True)
