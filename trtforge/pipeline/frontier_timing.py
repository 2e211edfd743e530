"""Time the choices of a search on the GPU here."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trtforge.assignment import TimeChoice
from trtforge.engine import BuildConfig, Engine, build
from trtforge.errors import ConfigError
from trtforge.graph import Attention
from trtforge.nvidia import Flavor
from trtforge.pipeline.engine_timing import (
    TimePair,
    Untimed,
    check_no_precision,
    require_running,
    require_timing_gpu,
    timer_on_gpu,
    tuned_feeds,
)
from trtforge.pipeline.fastest import network_in_half
from trtforge.pipeline.quantization import quantize, rest_for
from trtforge.profiles import OptimizationProfile
from trtforge.ratios import Ratios
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx

# What `search` can be asked for where nothing can be timed.
NO_TIMING = Untimed("leave timing out", "timing")


@dataclass(frozen=True)
class FrontierTiming:
    """How the choices of a search are built and timed.

    Parameters
    ----------
    profiles : the shapes that engines accept; they are timed at those that each is tuned for. A static
        network needs none.
    flavor : the library.
    config : how to build, without a precision: FP16 and INT8 are both built.
    margin : what another choice that meets the budget must gain on the one with most work in INT8, a share of
        the time of FP16.

    Raises
    ------
    ConfigError : ``config`` has a precision, or the margin is negative or 1 and more.
    """

    profiles: Sequence[OptimizationProfile]
    flavor: Flavor
    config: BuildConfig | None = None
    margin: float = 0.02

    def __post_init__(self) -> None:
        check_no_precision(self.config)
        if not 0 <= self.margin < 1:
            raise ConfigError(
                f"margin must be at least 0 and below 1, got {self.margin}", settings=("margin",)
            )


def choice_timer(
    source: onnx.ModelProto,
    scales: Scales,
    nodes: Mapping[str, Sequence[str]],
    how: FrontierTiming,
    *,
    exclude: Sequence[str] = (),
    attention: Attention = "float",
    build_engine: Callable[..., Engine] = build,
    time_pair: TimePair | None = None,
) -> TimeChoice:
    """Build FP16, and return what builds a choice and times it beside that.

    Parameters
    ----------
    source : the float32 network.
    scales : its INT8 ranges.
    nodes : group to the names of its layers.
    how : how engines are built.
    exclude, attention : as for `trtforge.quantize`.
    build_engine, time_pair : what builds and what times; by default `trtforge.build`, and sessions here.

    Raises
    ------
    NoGpuError : there is no GPU to time engines on.
    ConfigError : the library's engines do not run on the GPU here.
    BuildError : FP16 cannot be built.
    """
    if time_pair is None:
        require_timing_gpu(NO_TIMING)
    config = how.config or BuildConfig()
    flavor = how.flavor.strongly_typed() if config.strongly_typed else how.flavor
    half = network_in_half(source, flavor)
    settings = {"profiles": how.profiles, "flavor": flavor}
    baseline = build_engine(half, config=replace(config, precision="float16"), **settings)
    if time_pair is None:
        require_running(baseline, flavor, NO_TIMING)

    def time_choice(left_out: tuple[str, ...]) -> Ratios:
        kept = [glob.escape(node) for group in left_out for node in nodes[group]]
        network = quantize(
            source,
            scales,
            rest=rest_for(flavor),
            exclude=[*exclude, *kept],
            attention=attention,
        )
        engine = build_engine(network, config=replace(config, precision="int8"), scales=scales, **settings)
        timings = (time_pair or timer_on_gpu(tuned_feeds(source, how.profiles)))(baseline, engine)
        return {shape: found.ratios for shape, found in timings.items()}

    return time_choice
