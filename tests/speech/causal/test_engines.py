import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("tensorrt_rtx")

from tests.speech.causal import small
from trtforge.engine import Engine
from trtforge.errors import ConfigError
from trtforge.speech.causal import build_language_model, export_language_model


def test_an_engine_takes_the_rows_and_lengths_that_were_asked_for(tmp_path):
    export_language_model(small.write(tmp_path / "checkpoint"), tmp_path)
    build_language_model(tmp_path, num_rows=3, num_positions=500, max_prefill=16, flavor="tensorrt_rtx")
    profiles = Engine.load(tmp_path / "decoder.engine").manifest.profiles
    most = {name: max(one.shapes[name].max for one in profiles) for name in ("tokens", "self_key_0")}
    # The checkpoint has 64 positions, fewer than were asked for.
    assert most == {"tokens": (3, 16), "self_key_0": (3, 2, 64, 8)}
    with pytest.raises(ConfigError, match="max_prefill must be 2 or more, got 1"):
        build_language_model(tmp_path, max_prefill=1)
