"""Checkpoints of the right shape and random weights, small enough for a test."""

from __future__ import annotations

import functools
from typing import Any

import torch
import transformers

torch.set_num_threads(1)  # what is small is slower on many

SIZES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "tie_word_embeddings": False,
}
NUM_SYMBOLS = 110


def loud(model: Any, gain: float = 5) -> Any:
    """Spread the weights, so that what comes next depends on what came before."""
    output = model.get_output_embeddings()
    # Tied to the embeddings it would say the last symbol again.
    output.weight = torch.nn.Parameter(torch.randn_like(output.weight))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "embed" not in name:
                parameter.mul_(gain)
    return model.eval()


@functools.cache
def whisper(seed: int, *, gain: float = 5, **changes: int) -> Any:
    torch.manual_seed(seed)
    settings = {
        "vocab_size": NUM_SYMBOLS,
        "num_mel_bins": 80,
        "max_source_positions": 50,
        "max_target_positions": 64,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 3,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
    }
    config = transformers.WhisperConfig(**{**SIZES, **settings, **changes})
    return loud(transformers.WhisperForConditionalGeneration(config), gain)


@functools.cache
def marian(seed: int, **changes: Any) -> Any:
    torch.manual_seed(seed)
    settings = {
        "vocab_size": NUM_SYMBOLS,
        "max_position_embeddings": 64,
        "pad_token_id": NUM_SYMBOLS - 1,
        "eos_token_id": 0,
        "decoder_start_token_id": NUM_SYMBOLS - 1,
        "forced_eos_token_id": None,
        "scale_embedding": True,
    }
    config = transformers.MarianConfig(**{**SIZES, **settings, **changes})
    return loud(transformers.MarianMTModel(config))


@functools.cache
def m2m100(seed: int, **changes: Any) -> Any:
    torch.manual_seed(seed)
    settings = {
        "vocab_size": NUM_SYMBOLS,
        "max_position_embeddings": 64,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
    }
    config = transformers.M2M100Config(**{**SIZES, **settings, **changes})
    return loud(transformers.M2M100ForConditionalGeneration(config))


def odd_whisper(seed: int) -> Any:
    """Large-v3's bands, and encoder and decoder unlike each other."""
    return whisper(
        seed, num_mel_bins=128, encoder_layers=1, decoder_layers=3, d_model=48,
        encoder_attention_heads=6, decoder_attention_heads=3, vocab_size=517,
    )  # fmt: skip


def odd_marian(seed: int) -> Any:
    """Vocabularies of its own on either side, unscaled, encoder and decoder unlike each other."""
    return marian(
        seed, share_encoder_decoder_embeddings=False, decoder_vocab_size=97, decoder_start_token_id=96,
        pad_token_id=96, scale_embedding=False, encoder_layers=3, decoder_layers=1, decoder_attention_heads=2,
    )  # fmt: skip


def odd_m2m100(seed: int) -> Any:
    """Another activation, and heads of another width in the decoder."""
    return m2m100(seed, activation_function="gelu", decoder_attention_heads=8, decoder_layers=3)


@functools.cache
def bart(seed: int) -> Any:
    torch.manual_seed(seed)
    config = transformers.BartConfig(
        **SIZES,
        vocab_size=NUM_SYMBOLS,
        max_position_embeddings=64,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
    )
    return loud(transformers.BartForConditionalGeneration(config))


@functools.cache
def pegasus(seed: int) -> Any:
    torch.manual_seed(seed)
    config = transformers.PegasusConfig(
        **SIZES,
        vocab_size=NUM_SYMBOLS,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=0,
        forced_eos_token_id=None,
        scale_embedding=True,
    )
    return loud(transformers.PegasusForConditionalGeneration(config))


CAUSAL_SIZES = {
    "vocab_size": NUM_SYMBOLS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}


@functools.cache
def llama(seed: int) -> Any:
    """Of TinyLlama's shape: two query heads share the keys of one."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(**CAUSAL_SIZES, num_key_value_heads=2)
    return loud(transformers.LlamaForCausalLM(config), 3)


@functools.cache
def phi3(seed: int) -> Any:
    """Joined projections, rotary angles on a part of the width, a sliding window."""
    torch.manual_seed(seed)
    config = transformers.Phi3Config(
        **CAUSAL_SIZES,
        num_key_value_heads=4,
        partial_rotary_factor=0.5,
        sliding_window=40,
        original_max_position_embeddings=64,
    )
    return loud(transformers.Phi3ForCausalLM(config), 3)


@functools.cache
def gpt2(seed: int) -> Any:
    """Learned positions, no rotary angles."""
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=NUM_SYMBOLS, n_embd=32, n_layer=2, n_head=4, n_positions=64,
        bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    return loud(transformers.GPT2LMHeadModel(config), 5)
