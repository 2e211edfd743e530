"""What the decoders of encoder-decoder checkpoints differ in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trtforge.errors import ModelError

KINDS = ("whisper", "marian", "m2m_100", "bart", "pegasus")
# These scale embeddings in the stack, others in the embedding itself or not at all.
_SCALING = ("marian", "pegasus")
# These normalize what comes out of a sub-layer, others what goes in.
_AFTER = ("marian", "bart")


@dataclass(frozen=True)
class StackLayout:
    """How one stack of layers, the encoder's or the decoder's, embeds and normalizes.

    Parameters
    ----------
    stack : the checkpoint's module: ``layers``, and ``embed_tokens`` where it takes tokens.
    embed_scale : what the stack itself multiplies embeddings by.
    position_table : tensor [positions, width].
    first_position : row of the table for position 0.
    has_last_norm : whether a ``layer_norm`` follows the last layer.
    embedding_norm : module that normalizes embeddings and positions together, or None.
    padding : symbol that has the row of its own number wherever it stands, or None.
    """

    stack: Any
    embed_scale: float
    position_table: Any
    first_position: int
    has_last_norm: bool
    embedding_norm: Any = None
    padding: int | None = None

    @property
    def num_positions(self) -> int:
        """Positions that the table holds: the longest sequence."""
        return int(self.position_table.shape[0]) - self.first_position


@dataclass(frozen=True)
class CheckpointLayout:
    """An encoder-decoder checkpoint taken apart.

    Parameters
    ----------
    kind : the configuration's ``model_type``, one of `KINDS`.
    encoder, decoder : the two stacks.
    normalizes_before : whether a sub-layer normalizes what goes into it, or the sum that comes out.
    scales_query : whether the query is scaled when it is projected, or the product with the keys.
    num_heads : of the decoder.
    output : the module from hidden states to scores.
    output_bias : tensor [1, symbols] to add to the scores, or None.
    """

    kind: str
    encoder: StackLayout
    decoder: StackLayout
    normalizes_before: bool
    scales_query: bool
    num_heads: int
    output: Any
    output_bias: Any


def layout_of(model: Any) -> CheckpointLayout:
    """Take a ``transformers`` encoder-decoder checkpoint apart; its own weights are used, not copied.

    Parameters
    ----------
    model : such as ``WhisperForConditionalGeneration``, ``MarianMTModel``, ``M2M100ForConditionalGeneration``
        (NLLB is loaded as one too), ``BartForConditionalGeneration``, ``PegasusForConditionalGeneration``.

    Raises
    ------
    ModelError : the checkpoint is of another architecture.
    """
    kind = getattr(model.config, "model_type", type(model).__name__)
    if kind not in KINDS:
        raise ModelError(
            f"decoders with a key-value cache are made of {', '.join(KINDS)} checkpoints, got {kind!r}",
            hint="NLLB's dense checkpoints are of kind m2m_100",
        )
    encoder, decoder = model.model.encoder, model.model.decoder

    def stack_of(stack: Any) -> StackLayout:
        padding = int(stack.embed_positions.padding_idx) if kind == "m2m_100" else None
        if padding is None:
            table, first = stack.embed_positions.weight, getattr(stack.embed_positions, "offset", 0)
        else:
            table, first = stack.embed_positions.weights, padding + 1
        scale = float(stack.embed_scale) if kind in _SCALING else 1.0
        norm = getattr(stack, "layernorm_embedding", None)
        return StackLayout(stack, scale, table, first, kind not in _AFTER, norm, padding)

    return CheckpointLayout(
        kind,
        stack_of(encoder),
        stack_of(decoder),
        normalizes_before=kind not in _AFTER,
        scales_query=kind == "whisper",
        num_heads=int(model.config.decoder_attention_heads),
        output=model.proj_out if kind == "whisper" else model.lm_head,
        output_bias=getattr(model, "final_logits_bias", None),
    )
