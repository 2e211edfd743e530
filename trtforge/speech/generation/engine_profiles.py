"""The shapes that a decoder engine must accept to be used by `RowDecoder`."""

from __future__ import annotations

from collections.abc import Sequence

from trtforge.errors import ConfigError
from trtforge.model import TensorSpec
from trtforge.profiles import OptimizationProfile, ShapeRange
from trtforge.speech.generation.signature import DecoderSignature


def cache_sizes(num_positions: int, bucket: int = 128) -> tuple[int, ...]:
    """Return the sizes that a cache grows through: doubled from ``bucket`` up to ``num_positions``."""
    sizes = [min(bucket, num_positions)]
    while sizes[-1] < num_positions:
        sizes.append(min(2 * sizes[-1], num_positions))
    return tuple(sizes)


def largest_size(profiles: Sequence[OptimizationProfile], tensor: str, axis: int) -> int:
    """Return the largest size of an input's axis that an engine accepts in any of its profiles."""
    return max(profile.shapes[tensor].max[axis] for profile in profiles)


def decoder_profiles(
    inputs: Sequence[TensorSpec],
    *,
    num_rows: int,
    num_positions: int,
    memory_length: int | None = None,
    max_look: int = 1,
    bucket: int = 128,
    max_prefill: int = 8,
) -> tuple[OptimizationProfile, ...]:
    """Return the profiles of a decoder: for steps at each cache size, and one for prompts and looks.

    Steps are most of the work and have shapes of their own; of what comes once for an input one profile takes
    all, since a library may compile a network of many layers for minutes for each. Without an encoder there
    are no looks.

    Parameters
    ----------
    inputs : of the decoder that `export_networks` or `export_causal` wrote.
    num_rows, num_positions, memory_length, bucket : as for `RowDecoder`.
    max_look : most inputs of `RowDecoder.look`.
    max_prefill : most symbols at once, as for `generate`; above 1.

    Raises
    ------
    ModelError : the network is no such decoder.
    ConfigError : ``memory_length`` is missing, or ``max_prefill`` below 2.
    """
    signature = DecoderSignature.of(inputs)
    if signature.memory_length is None and memory_length is None:
        raise ConfigError(
            "memory_length is missing, and this network's inputs differ in length",
            hint="pass what RowDecoder will be made with",
            settings=("memory_length",),
        )
    if max_prefill < 2:
        raise ConfigError(f"max_prefill must be 2 or more, got {max_prefill}", settings=("max_prefill",))
    longest = memory_length or 1 if signature.memory_length is None else signature.memory_length
    sizes = cache_sizes(num_positions, bucket)

    def profile(
        batch: tuple[int, int], new: tuple[int, int], places: tuple[int, int], shortest: int
    ) -> OptimizationProfile:
        shapes: dict[str, ShapeRange] = {}
        for spec in inputs:
            if spec.name == "masks":
                continue
            rest: tuple[tuple[int, int], ...] = ()
            if spec.name == "tokens":
                rest = (new,)
            elif spec.name.startswith(("cross_", "self_")):
                is_own = spec.name.startswith("self_")
                lengths = places if is_own else (signature.memory_length or shortest, longest)
                heads, width = signature.num_heads, signature.head_width
                rest = (heads, heads), lengths, (width, width)
            low, high = zip(batch, *rest, strict=True)
            shapes[spec.name] = ShapeRange(low, high, high)
        return OptimizationProfile(shapes)

    whole = num_rows, num_rows
    steps = [profile(whole, (1, 1), (size, size), longest) for size in sizes]
    if not signature.has_memory:
        return (*steps, profile(whole, (2, max_prefill), (sizes[0], sizes[-1]), longest))
    return (*steps, profile((1, max(num_rows, max_look)), (1, max_prefill), (1, sizes[-1]), 1))
