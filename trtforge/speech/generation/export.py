"""Write the encoder and the decoder of a checkpoint as ONNX networks with the cache outside."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from trtforge._optional import require
from trtforge.engine.exporting import export_module
from trtforge.errors import ConfigError, ModelError
from trtforge.profiles import OptimizationProfile, ShapeRange
from trtforge.speech.generation.layouts import CheckpointLayout, layout_of

if TYPE_CHECKING:
    import onnx

KvDtype = Literal["float32", "float16"]


@dataclass(frozen=True)
class Networks:
    """The two networks of an encoder-decoder checkpoint.

    Parameters
    ----------
    encoder : gives the cross-attention keys and values of every decoder layer, once for each input.
    decoder : takes them and the cache, for any number of new tokens: the prompt, or one at a time.
    num_positions : tokens that a row can hold, prompt and text together.
    """

    encoder: onnx.ModelProto
    decoder: onnx.ModelProto
    num_positions: int


def export_networks(
    model: Any, *, num_masks: int = 1, ranged: bool = False, kv_dtype: KvDtype = "float32"
) -> Networks:
    """Trace a ``transformers`` encoder-decoder checkpoint into an encoder and a cached decoder.

    What the networks take and give is described at `trtforge.speech.generation.modules`. Batch, new tokens,
    cache and, for text, source length are dynamic.

    Parameters
    ----------
    model : a checkpoint of Whisper, Marian, M2M100, BART or Pegasus (see `layout_of`), in FP32 on the CPU.
    num_masks : sets of forbidden symbols that rows can choose from; 1 or more.
    ranged : whether rows may forbid ranges of symbols, as Whisper's times need.
    kv_dtype : of keys and values in memory; ``float16`` halves what every step must read.

    Raises
    ------
    MissingExtraError : PyTorch is not installed.
    ConfigError : ``num_masks`` is below 1, or there is no such ``kv_dtype``.
    ModelError : the checkpoint is of another architecture, its weights are not FP32, or PyTorch cannot trace
        it.
    """
    encoder = export_encoder(model, kv_dtype=kv_dtype)
    decoder = export_decoder(model, num_masks=num_masks, ranged=ranged, kv_dtype=kv_dtype)
    return Networks(encoder, decoder, layout_of(model).decoder.num_positions)


def export_aligner(
    model: Any, heads: Sequence[tuple[int, int]], *, kv_dtype: KvDtype = "float32"
) -> onnx.ModelProto:
    """Trace what gives the cross-attention of some heads over a whole text.

    Parameters
    ----------
    model : a Whisper checkpoint, in FP32 on the CPU.
    heads : layer and head of each, as a checkpoint's ``alignment_heads`` has them.
    kv_dtype : of the encoder's ``states``.

    Raises
    ------
    MissingExtraError : PyTorch is not installed.
    ConfigError : no head is given, the decoder has no such head, or there is no such ``kv_dtype``.
    ModelError : the checkpoint is of another architecture, its weights are not FP32, or PyTorch cannot trace
        it.
    """
    torch, numbers, layout = _prepared(model, kv_dtype)
    num_layers = len(layout.decoder.stack.layers)
    wrong = [pair for pair in heads if not (0 <= pair[0] < num_layers and 0 <= pair[1] < layout.num_heads)]
    if not heads or wrong:
        raise ConfigError(
            f"alignment heads are pairs of a layer below {num_layers} and a head below {layout.num_heads}, "
            f"got {wrong or 'none'}",
            settings=("heads",),
        )
    from trtforge.speech.generation import modules

    examples = {
        "states": torch.zeros(2, layout.encoder.num_positions, int(model.config.d_model), dtype=numbers),
        "tokens": torch.ones(2, 3, dtype=torch.int32),
    }
    module = modules.Aligner(layout, numbers, heads)
    return export_traced(module, examples, {"states": (0,), "tokens": (0, 1)}, ["attention"])


def torch_dtype(kv_dtype: str) -> Any:
    """Return PyTorch's type for keys and values.

    Raises
    ------
    ConfigError : they cannot be held in such a type.
    """
    if kv_dtype not in get_args(KvDtype):
        known = " or ".join(get_args(KvDtype))
        raise ConfigError(f"kv_dtype must be {known}, got {kv_dtype!r}", settings=("kv_dtype",))
    return getattr(require("torch", "export a checkpoint"), kv_dtype)


def check_weights(model: Any) -> None:
    """Raise `ModelError` unless a checkpoint's weights are FP32."""
    dtypes = {str(one.dtype).removeprefix("torch.") for one in model.parameters() if one.is_floating_point()}
    if dtypes - {"float32"}:
        raise ModelError(
            f"a checkpoint in FP32 was expected, got one with weights of {', '.join(sorted(dtypes))}",
            hint="load it with dtype=torch.float32, or call its float()",
        )


def export_encoder(model: Any, *, kv_dtype: KvDtype = "float32") -> onnx.ModelProto:
    """Trace the encoder alone, as `export_networks` does."""
    torch, numbers, layout = _prepared(model, kv_dtype)
    from trtforge.speech.generation import modules

    num_layers = len(layout.decoder.stack.layers)
    names = [f"cross_{part}_{layer}" for part in ("key", "value") for layer in range(num_layers)]
    if layout.kind == "whisper":
        num_frames = 2 * layout.encoder.num_positions
        examples = {"features": torch.zeros(2, model.config.num_mel_bins, num_frames)}
        names.append("states")
        module: Any = modules.AudioEncoder(layout, numbers)
    else:
        examples = {
            "tokens": torch.zeros(2, 5, dtype=torch.int32),
            "lengths": torch.tensor([5, 4], dtype=torch.int32),
        }
        module = modules.TextEncoder(layout, numbers)
    dynamic = {name: (0, 1) if name == "tokens" else (0,) for name in examples}
    return export_traced(module, examples, dynamic, names)


def export_decoder(
    model: Any, *, num_masks: int = 1, ranged: bool = False, kv_dtype: KvDtype = "float32"
) -> onnx.ModelProto:
    """Trace the decoder alone, as `export_networks` does."""
    if num_masks < 1:
        raise ConfigError(f"num_masks must be 1 or more, got {num_masks}", settings=("num_masks",))
    torch, numbers, layout = _prepared(model, kv_dtype)
    from trtforge.speech.generation import modules

    is_ragged = layout.kind != "whisper"
    width = int(model.config.d_model) // layout.num_heads
    batch, new, cached = 2, 3, 4
    memory = 5 if is_ragged else layout.encoder.num_positions

    def integers(*shape: int) -> Any:
        return torch.ones(*shape, dtype=torch.int32)

    symbols = int(layout.output.weight.shape[0])
    examples: dict[str, Any] = {
        "tokens": integers(batch, new),
        "positions": integers(batch),
        "mask_index": torch.zeros(batch, dtype=torch.int32),
        "masks": torch.zeros(num_masks, symbols),
    }
    dynamic: dict[str, tuple[int, ...]] = {"tokens": (0, 1), "positions": (0,), "mask_index": (0,)}
    extra = (["memory_lengths"] if is_ragged else []) + (
        ["ban_from", "ban_to", "group_from"] if ranged else []
    )
    for name in extra:
        examples[name], dynamic[name] = integers(batch), (0,)
    for layer in range(len(layout.decoder.stack.layers)):
        for name, places in (("cross", memory), ("self", cached)):
            for part in ("key", "value"):
                full = f"{name}_{part}_{layer}"
                examples[full] = torch.zeros(batch, layout.num_heads, places, width, dtype=numbers)
                dynamic[full] = (0, 2) if name == "self" or is_ragged else (0,)
    module = modules.CachedDecoder(layout, numbers, ragged=is_ragged, ranged=ranged)
    return export_traced(
        module, examples, dynamic, ["token", "log_probability", "scores", "new_keys", "new_values"]
    )


def _prepared(model: Any, kv_dtype: KvDtype) -> tuple[Any, Any, CheckpointLayout]:
    """Return PyTorch, the type of keys and values, and the layout of a checkpoint in FP32."""
    torch = require("torch", "export a checkpoint")
    numbers = torch_dtype(kv_dtype)
    layout = layout_of(model)
    check_weights(model)
    return torch, numbers, layout


def export_traced(
    module: Any,
    examples: Mapping[str, Any],
    dynamic: Mapping[str, Sequence[int]],
    output_names: Sequence[str],
) -> onnx.ModelProto:
    """Trace a module whose inputs have the dynamic axes given."""
    shapes = {}
    for name, axes in dynamic.items():
        low = tuple(examples[name].shape)
        high = tuple(size + (axis in axes) for axis, size in enumerate(low))
        shapes[name] = ShapeRange(low, low, high)
    with warnings.catch_warnings():
        # PyTorch and transformers check sizes that do not change.
        warnings.filterwarnings("ignore", category=require("torch.jit", "export a checkpoint").TracerWarning)
        return export_module(
            module, examples, profiles=[OptimizationProfile(shapes)], output_names=output_names
        )
