"""Time engines beside one in FP16 on the GPU here, at the shapes that their profiles are tuned for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from trtforge.checks import Timings
from trtforge.checks.timings import time_side_by_side
from trtforge.engine import BuildConfig, Engine
from trtforge.errors import ConfigError, NoGpuError
from trtforge.model import model_inputs
from trtforge.nvidia import Flavor, gpus
from trtforge.pipeline.evaluation import can_run
from trtforge.profiles import OptimizationProfile
from trtforge.runtime import Session

if TYPE_CHECKING:
    import onnx

# The smallest shapes of a profile, those it is tuned for, and the largest.
_Corner: TypeAlias = Literal["min", "opt", "max"]
# Times a candidate beside FP16 at every shape, by the shape in words.
TimePair: TypeAlias = Callable[[Engine, Engine], Mapping[str, Timings]]

_CALLS_A_ROUND = 5
_NUM_ROUNDS = 30


@dataclass(frozen=True)
class Untimed:
    """What can be asked for instead, where engines cannot be timed.

    Parameters
    ----------
    hint : it, in words.
    setting : the argument that says so.
    """

    hint: str
    setting: str


def require_timing_gpu(instead: Untimed) -> None:
    """Raise NoGpuError where there is no GPU to time engines on."""
    if not gpus():
        raise NoGpuError(
            "engines are to be timed, and CUDA finds no GPU here",
            hint=f"{instead.hint}, or run this on the machine that will serve the engine",
            settings=(instead.setting,),
        )


def require_running(engine: Engine, flavor: Flavor, instead: Untimed) -> None:
    """Raise ConfigError where an engine cannot be timed, as it does not run on the GPU here."""
    if not can_run(engine):
        raise ConfigError(
            f"engines of {flavor} do not run on the GPU here, so that none can be timed",
            hint=f"{instead.hint}, or take another flavor",
            settings=("flavor", instead.setting),
        )


def check_no_precision(config: BuildConfig | None) -> None:
    """Raise ConfigError where a precision is set for builds of which some are FP16 and some INT8."""
    if config is not None and config.precision is not None:
        raise ConfigError(
            f"FP16 and INT8 are built and timed, and the precision of config is {config.precision!r}",
            hint="leave the precision out of config",
            settings=("config",),
        )


def timer_on_gpu(feeds: Mapping[str, Mapping[str, Any]]) -> TimePair:
    """Return what times two engines in sessions here, in turns, inputs and outputs staying on the GPU.

    Parameters
    ----------
    feeds : the inputs that they are timed on, by their shapes in words.
    """

    def time_pair(baseline: Engine, candidate: Engine) -> dict[str, Timings]:
        found = {}
        with ExitStack() as stack:
            sessions = [stack.enter_context(Session(engine)) for engine in (baseline, candidate)]
            for shape, feed in feeds.items():
                given = {name: sessions[0].to_device(np.asarray(array)) for name, array in feed.items()}

                def run(session: Session, given: Mapping[str, Any] = given) -> None:
                    for _ in range(_CALLS_A_ROUND):
                        session.run(given, outputs="device")

                calls = [lambda session=session, run=run: run(session) for session in sessions]
                found[shape] = time_side_by_side(*calls, num_rounds=_NUM_ROUNDS)
                given.clear()
        return found

    return time_pair


def tuned_feeds(
    source: onnx.ModelProto, profiles: Sequence[OptimizationProfile]
) -> dict[str, dict[str, Any]]:
    """Make input of the shapes that each profile is tuned for, by the shapes in words.

    Without profiles the network is static, and its one shape is what engines are timed at.
    """
    return _in_words([tuned_feed(source, profile) for profile in profiles or (None,)])


def end_feeds(source: onnx.ModelProto, profiles: Sequence[OptimizationProfile]) -> dict[str, dict[str, Any]]:
    """Make input of the smallest and the largest shapes of each profile that none is tuned for, as there."""
    ends: tuple[_Corner, ...] = ("min", "max")
    feeds = _in_words([tuned_feed(source, profile, at) for profile in profiles for at in ends])
    tuned = tuned_feeds(source, profiles)
    return {shape: feed for shape, feed in feeds.items() if shape not in tuned}


def tuned_feed(
    source: onnx.ModelProto, profile: OptimizationProfile | None, at: _Corner = "opt"
) -> dict[str, Any]:
    """Make input of the shapes that a profile is tuned for, or ends at: noise, zeros for whole numbers."""
    rng, feed = np.random.default_rng(0), dict[str, Any]()
    for spec in model_inputs(source):
        shape = tuple(size for size in spec.shape if isinstance(size, int))
        if profile is not None and spec.name in profile.shapes:
            shape = getattr(profile.shapes[spec.name], at)
        if spec.dtype in ("float32", "float16"):
            feed[spec.name] = rng.standard_normal(shape, np.float32).astype(spec.dtype)
        else:
            feed[spec.name] = np.zeros(shape, spec.dtype)
    return feed


def _in_words(feeds: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {", ".join(f"{name} {tuple(array.shape)}" for name, array in feed.items()): feed for feed in feeds}
