"""Checkpoints of `transformers`, and the descriptions that lie beside exported networks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trtforge._files import read_json
from trtforge._optional import require
from trtforge.errors import ConfigError, ModelError
from trtforge.model import model_inputs

if TYPE_CHECKING:
    import onnx

# Shapes and addresses of a step come again and again; those of two outputs in turn, for each cache size.
STEP_GRAPHS = 8

_LOADERS = {
    "seq2seq": "AutoModelForSeq2SeqLM",
    "causal": "AutoModelForCausalLM",
    "speech": "AutoModelForSpeechSeq2Seq",
}


def load_checkpoint(checkpoint: str, kind: Literal["seq2seq", "causal", "speech"]) -> Any:
    """Load a checkpoint's weights as PyTorch module in FP32 on the CPU.

    Parameters
    ----------
    checkpoint : folder, or id of a model hub.
    kind : with an encoder of text, without, or with one of speech.

    Raises
    ------
    MissingExtraError : PyTorch or `transformers` is not installed.
    ModelError : the checkpoint cannot be read, lacks weights that its configuration asks for, or has layers
        that it does not ask for.
    """
    torch = require("torch", "trace a checkpoint")
    transformers = require("transformers", "read checkpoints")
    bars = transformers.utils.logging
    had_bars = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        # What does not fit is told by `report`; transformers would put random weights in its place.
        model, report = getattr(transformers, _LOADERS[kind]).from_pretrained(
            checkpoint, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True
        )
    except Exception as error:  # whatever its readers stumble over
        raise _unreadable(f"{checkpoint} cannot be read as a {kind} checkpoint", error) from error
    finally:
        if had_bars:
            bars.enable_progress_bar()
    lacking = sorted(report["missing_keys"]) or sorted(str(one[0]) for one in report["mismatched_keys"])
    if lacking:
        what = "lacks" if report["missing_keys"] else "has another size of"
        raise ModelError(
            f"{checkpoint} {what} {len(lacking)} weights that its config.json asks for, such as {lacking[0]}",
            hint="config.json and weights must be of the same checkpoint, all of its files complete",
        )
    # Other weights that are left over belong to parts that are not run; layers change what is said.
    known = {_numberless(name) for name in model.state_dict()}
    surplus = sorted(name for name in report["unexpected_keys"] if _numberless(name) in known)
    if surplus:
        raise ModelError(
            f"{checkpoint} has {len(surplus)} weights of layers beyond those that its config.json asks for, "
            f"such as {surplus[0]}",
            hint="config.json and weights must be of the same checkpoint",
        )
    return model.eval()


def _numberless(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def read_config_and_tokenizer(checkpoint: str) -> tuple[Any, Any]:
    """Read the configuration and the tokenizer of a checkpoint, as `transformers` has them.

    Parameters
    ----------
    checkpoint : folder, or id of a model hub.

    Raises
    ------
    MissingExtraError : `transformers` is not installed.
    ModelError : there is no such checkpoint.
    """
    transformers = require("transformers", "read checkpoints")
    try:
        config = transformers.AutoConfig.from_pretrained(checkpoint)
        return config, transformers.AutoTokenizer.from_pretrained(checkpoint)
    except Exception as error:
        raise _unreadable(f"{checkpoint} cannot be read as a checkpoint", error) from error


def _unreadable(what: str, error: Exception) -> ModelError:
    reason = " ".join(str(error).split())[:300]
    return ModelError(
        f"{what} of transformers: {reason}",
        hint="pass the folder that save_pretrained wrote, with config.json, weights and tokenizer, all of "
        "them complete, or an id of the model hub",
    )


def read_generation(checkpoint: str) -> dict[str, Any]:
    """Read what a checkpoint's ``generation_config.json`` says; nothing where it has none.

    Raises
    ------
    MissingExtraError : `transformers` is not installed.
    ModelError : the file is something else.
    """
    path = Path(checkpoint) / "generation_config.json"
    if path.is_file():
        told = read_json(path, what="generation_config.json", error=ModelError)
        if not isinstance(told, dict):
            raise ModelError(f"{path} is no generation_config.json: it holds no object")
        return told
    try:
        told = (
            require("transformers", "read checkpoints").GenerationConfig.from_pretrained(checkpoint).to_dict()
        )
    except OSError:
        return {}
    return dict(told)


def stop_symbols(end: Any, checkpoint: str) -> frozenset[int]:
    """Return the symbols that end a text, one or more, from a checkpoint's ``eos_token_id``.

    Raises
    ------
    ModelError : it is no symbol, and no list of symbols.
    """
    symbols = end if isinstance(end, list) else [end]
    if not symbols or any(type(symbol) is not int or symbol < 0 for symbol in symbols):
        raise ModelError(f"{checkpoint} says that eos_token_id is {end!r}, wanted one symbol or more")
    return frozenset(symbols)


def read_positions(path: Path, *, format: str, written_by: str) -> int:  # noqa: A002
    """Read how many symbols a sequence can have from the description beside exported networks.

    Raises
    ------
    ModelError : the file is missing or something else.
    """
    told = read_json(path, what="description of the networks", error=ModelError)
    known = isinstance(told, dict) and told.get("format") == format
    positions = told.get("num_positions") if known else None
    if type(positions) is not int or positions < 1:
        raise ModelError(
            f'{path} is not what {written_by} writes: it lacks "format": "{format}" or a count num_positions'
        )
    return positions


def check_kv_dtype(decoder: onnx.ModelProto, kv_dtype: str, folder: Path) -> None:
    """Refuse a decoder that was exported with keys and values of another type.

    Parameters
    ----------
    decoder : as it lies in ``folder``.
    kv_dtype : that was asked for.

    Raises
    ------
    ConfigError : the network has another one.
    """
    found = next(one.dtype for one in model_inputs(decoder) if one.name == "self_key_0")
    if found != kv_dtype:
        raise ConfigError(
            f"kv_dtype is {kv_dtype!r}, and {folder} was exported with {found!r}",
            hint=f"export the checkpoint that it was made of, or pass kv_dtype={found!r}",
            settings=("kv_dtype",),
        )
