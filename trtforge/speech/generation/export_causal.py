"""Write a causal checkpoint as an ONNX network with the cache outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtforge._optional import require
from trtforge.errors import ConfigError, ModelError
from trtforge.speech.generation.causal_windows import row_limits, telling_length
from trtforge.speech.generation.export import KvDtype, check_weights, export_traced, torch_dtype

if TYPE_CHECKING:
    import onnx

_OUTPUTS = ("token", "log_probability", "scores", "new_keys", "new_values")
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class CausalNetwork:
    """The network of a causal checkpoint.

    Parameters
    ----------
    decoder : takes the cache, for any number of new tokens: the prompt, or one at a time.
    num_positions : tokens that a row can hold, prompt and text together.
    """

    decoder: onnx.ModelProto
    num_positions: int


def export_causal(
    model: Any, *, num_masks: int = 1, kv_dtype: KvDtype = "float32", max_positions: int = 4096
) -> CausalNetwork:
    """Trace a ``transformers`` causal language model into a cached decoder.

    What the network takes and gives is described at `trtforge.speech.generation.causal`. Batch, new tokens
    and cache are dynamic. The checkpoint's own layers are traced, and what they give in parts is compared
    with what the checkpoint gives at once. Of rotary scalings that depend on the length (``longrope``) the
    one for short texts is taken.

    Parameters
    ----------
    model : such as ``LlamaForCausalLM`` (TinyLlama), ``Phi3ForCausalLM``, ``Qwen2ForCausalLM``,
        ``MistralForCausalLM`` or ``GPT2LMHeadModel``, in FP32 on the CPU.
    num_masks : sets of forbidden symbols that rows can choose from; 1 or more.
    kv_dtype : of keys and values in memory; ``float16`` halves what every step must read.
    max_positions : most tokens of a row; fewer where the checkpoint has fewer positions, a narrower sliding
        window or chunk of attention, or a rotary scaling for short texts that ends before.

    Raises
    ------
    MissingExtraError : PyTorch or `transformers` is not installed.
    ConfigError : ``num_masks`` or ``max_positions`` is below 1, or there is no such ``kv_dtype``.
    ModelError : the weights are not FP32, the checkpoint is of an architecture whose attention cannot be
        given a cache, it chooses among experts by what it reads, or PyTorch cannot trace it.
    """
    for name, size in (("num_masks", num_masks), ("max_positions", max_positions)):
        if size < 1:
            raise ConfigError(f"{name} must be 1 or more, got {size}", settings=(name,))
    torch = require("torch", "export a checkpoint")
    numbers = torch_dtype(kv_dtype)
    require("transformers", "export a checkpoint")
    kind = getattr(model.config, "model_type", type(model).__name__)
    if getattr(model.config, "is_encoder_decoder", False) or not hasattr(model, "get_output_embeddings"):
        raise ModelError(
            f"a causal language model was expected, got a checkpoint of kind {kind!r}",
            hint="export_networks takes encoder-decoder checkpoints",
        )
    check_weights(model)
    experts = max((int(getattr(part, "num_experts", 0) or 0) for part in model.modules()), default=0)
    if experts > 1 and getattr(model.config, "_experts_implementation", None) != "batched_mm":
        raise ModelError(
            f"checkpoints of kind {kind!r} choose among {experts} experts by what they read, and a trace "
            "would hold what was chosen while tracing",
            hint="model.set_experts_implementation('batched_mm') makes the choice a part of the network, "
            "which then gathers an expert's weights for every symbol",
        )
    positions = min([max_positions, *row_limits(model.config)])
    try:
        module, heads, width = _with_cache(torch, model, numbers, positions, num_masks)
    except (TypeError, AttributeError, LookupError, RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"checkpoints of kind {kind!r} cannot be given a key-value cache of rows: {reason}"
        ) from error
    symbols = int(model.get_output_embeddings().weight.shape[0])
    batch, new, cached = 2, 3, 4
    examples: dict[str, Any] = {
        "tokens": torch.ones(batch, new, dtype=torch.int32),
        "positions": torch.ones(batch, dtype=torch.int32),
        "mask_index": torch.zeros(batch, dtype=torch.int32),
        "masks": torch.zeros(num_masks, symbols),
    }
    dynamic: dict[str, tuple[int, ...]] = {"tokens": (0, 1), "positions": (0,), "mask_index": (0,)}
    for layer in range(module.num_layers):
        for part in ("key", "value"):
            name = f"self_{part}_{layer}"
            examples[name] = torch.zeros(batch, heads, cached, width, dtype=numbers)
            dynamic[name] = (0, 2)
    try:
        return CausalNetwork(export_traced(module, examples, dynamic, _OUTPUTS), positions)
    except ModelError as error:
        raise ModelError(f"checkpoints of kind {kind!r} cannot be traced: {error.message}") from error


def _with_cache(
    torch: Any, model: Any, kv_dtype: Any, num_positions: int, num_masks: int
) -> tuple[Any, int, int]:
    """Return the checkpoint with its cache outside, key heads and their width.

    A text given in two parts is compared with the checkpoint's own answer to the whole.
    """
    from trtforge.speech.generation import causal

    # What is compared and traced is longer than the shortest rows.
    module = causal.CausalDecoder(model, kv_dtype, max(num_positions, 8)).eval()
    config = model.config
    symbols = int(model.get_output_embeddings().weight.shape[0])
    length = telling_length(config, num_positions)
    tokens = torch.randint(0, symbols, (2, length), generator=torch.Generator().manual_seed(0))
    heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    common = torch.zeros(2, dtype=torch.int32), torch.zeros(num_masks, symbols)
    held = torch.full((2,), length - 2, dtype=torch.int32)
    with torch.no_grad():
        wanted = model(input_ids=tokens).logits[:, -1].float().log_softmax(-1)
        empty = [torch.zeros(2, heads, 1, width)] * (2 * module.num_layers)
        first = module(tokens[:, :-2].int(), torch.zeros(2, dtype=torch.int32), *common, *empty)
        cache = [part[:, layer].float() for layer in range(module.num_layers) for part in first[3:]]
        found = module(tokens[:, -2:].int(), held, *common, *cache)[2]
    worst = float((found - wanted).abs().max())
    # Keys in FP16 round what they hold.
    allowed = _TOLERANCE if kv_dtype == torch.float32 else 50 * _TOLERANCE
    if not worst <= allowed * max(1.0, float(wanted.std())):
        raise ModelError(
            f"the checkpoint has attention of another form: given in parts, the scores of a text of {length} "
            f"symbols differ by {worst:.3g}"
        )
    return module, heads, width
