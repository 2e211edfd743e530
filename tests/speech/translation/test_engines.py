import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("tensorrt_rtx")

from tests.speech.generation import checkpoints
from trtforge.engine import Engine
from trtforge.errors import ConfigError, ModelError
from trtforge.speech.generation import export_networks
from trtforge.speech.translation import build_translator
from trtforge.speech.translation.networks import open_networks, write_networks


def test_engines_take_the_rows_and_lengths_that_were_asked_for(tmp_path):
    write_networks(export_networks(checkpoints.marian(0)), tmp_path)
    built = build_translator(tmp_path, num_rows=6, max_source=20, flavor="tensorrt_rtx")
    assert sorted(built) == ["decoder", "encoder"]
    encoder, decoder = (Engine.load(tmp_path / f"{part}.engine").manifest.profiles for part in built)
    assert encoder[0].shapes["tokens"].max == (6, 20)
    most = {
        name: max(profile.shapes[name].max for profile in decoder)
        for name in ("tokens", "cross_key_0", "self_key_0")
    }
    # The checkpoint has 64 positions, fewer than the 128 that are asked for by default.
    assert most == {"tokens": (6, 8), "cross_key_0": (6, 4, 20, 8), "self_key_0": (6, 4, 64, 8)}


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"lacks translator\.json"):
        build_translator(tmp_path)
    with pytest.raises(ConfigError, match="max_source must be 1 or more, got 0"):
        build_translator(tmp_path, max_source=0)
    with pytest.raises(ConfigError, match="device must be 'cpu' or 'gpu', got 'tpu'"):
        open_networks(str(tmp_path), "tpu", num_masks=1)
    with pytest.raises(ModelError, match=r"lacks encoder\.engine, decoder\.engine"):
        open_networks(str(tmp_path), "gpu", num_masks=1)
