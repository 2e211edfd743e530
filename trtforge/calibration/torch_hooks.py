"""Count what the layers of a PyTorch module read, for networks that have no ONNX file yet."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from trtforge._optional import require
from trtforge.calibration.clip_tally import ClipTally
from trtforge.calibration.histogram import Histogram
from trtforge.calibration.observations import Observations
from trtforge.calibration.observers import Observer
from trtforge.calibration.padding import time_axes
from trtforge.errors import CalibrationError, InputError
from trtforge.feeds import Arrays, Feed, Feeds, as_feeds

if TYPE_CHECKING:
    import torch

_LAYERS = (
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "Linear",
)  # fmt: skip
_INSTEAD = "export the network to ONNX, and observe that with trtforge.collect"


def collect_torch(
    module: torch.nn.Module,
    feeds: Feeds | Sequence[Arrays],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    max_nonfinite_share: float = 0.01,
    module_sha256: str | None = None,
) -> Observations:
    """Count the magnitudes that the convolutions and linear layers of a PyTorch module read.

    Each layer's input is counted as it arrives and not kept. Clips run one by one, cut to their true length,
    so that no padding is seen or counted; a feed without true lengths runs as it is. A clip in which any
    observed value is NaN or infinite is left out and listed with the reason.

    Parameters
    ----------
    module : the network, on any device. It is in evaluation mode while it runs, and left as it was. Of what
        ``torch.compile`` gave, the module inside runs.
    feeds : the clips; the names of their arrays are parameters of the module's ``forward``.
    on_progress : called after each feed with the number of clips run and of all clips.
    max_nonfinite_share : largest share of clips with non-finite activations, 0 to 1.
    module_sha256 : digest to record; that of the module's state by default.

    Returns
    -------
    One histogram for the input of each layer that ran, under the layer's path, such as ``encoder.0.fc1``.

    Warns
    -----
    RuntimeWarning : layers were not called. What reads their weights in another way is not counted, such as
        the projections into and out of ``torch.nn.MultiheadAttention``.

    Raises
    ------
    CalibrationError : the module has no such layer, none ran, it fails on a clip, there are no clips, or too
        many of them give non-finite activations. Nothing is returned of what was counted.
    InputError : the names of the arrays do not fit ``forward``, the time axis is uncertain, or ``module`` is
        no module.
    ConfigError : ``max_nonfinite_share`` is out of range.
    MissingExtraError : PyTorch or Numba is not installed.
    """
    torch = require("torch", "observe a PyTorch module")
    tally, feeds = ClipTally(max_nonfinite_share), as_feeds(feeds)
    module = getattr(module, "_orig_mod", module)
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"a PyTorch module was wanted, got {type(module).__name__}",
            hint="pass the torch.nn.Module itself; an .onnx file is observed by trtforge.collect",
        )
    totals: dict[str, Observer] = {}
    with _Hooks(torch, module).attached() as hooks:
        for index, feed in enumerate(feeds):
            for clip_id, arrays in _clips(feed, index):
                counts = hooks.run(arrays, clip_id)
                if tally.add([clip_id], _faults(counts, clip_id), len(feeds)):
                    for name, histogram in counts.items():
                        totals.setdefault(name, Observer()).merge(histogram)
            if on_progress is not None:
                on_progress(tally.num_seen, len(feeds))
    num_clips = tally.finish(feeds)
    if not totals:
        raise CalibrationError(
            "none of the module's layers ran: its forward calls no convolution or Linear", hint=_INSTEAD
        )
    missed = [name for name in hooks.layers if name not in totals]
    if missed:
        warnings.warn(
            f"{len(missed)} of {len(hooks.layers)} layers were not called, {missed[0]!r} first: where "
            "weights are read without their layer, as in torch.nn.MultiheadAttention, nothing is counted; "
            f"{_INSTEAD}",
            RuntimeWarning,
            stacklevel=2,
        )
    return Observations(
        tensors={name: totals[name].histogram() for name in hooks.layers if name in totals},
        model_sha256=module_sha256 or _state_digest(torch, module),
        feeds_sha256=feeds.digest,
        num_clips=num_clips,
        rejected=tally.rejected,
    )


class _Hooks:
    def __init__(self, torch: Any, module: Any) -> None:
        kinds = tuple(getattr(torch.nn, name) for name in _LAYERS)
        self.layers = {
            name or type(layer).__name__: layer
            for name, layer in module.named_modules()
            if isinstance(layer, kinds)
        }
        if not self.layers:
            raise CalibrationError(
                f"{type(module).__name__} has no layer to observe: {', '.join(_LAYERS)}",
                hint="pass the module that holds the network's layers",
            )
        self._torch, self._module = torch, module
        self._counts: dict[str, Observer] = {}
        # Projections that follow each other read the same tensor, which need be counted but once.
        self._last: tuple[Any, int, Histogram] | None = None

    @contextmanager
    def attached(self) -> Iterator[_Hooks]:
        modes = {layer: layer.training for layer in self._module.modules()}
        handles = [
            layer.register_forward_pre_hook(
                lambda _, given, named, name=name: self._see(name, given[0] if given else named["input"]),
                with_kwargs=True,
            )
            for name, layer in self.layers.items()
        ]
        try:
            self._module.eval()
            yield self
        finally:
            for handle in handles:
                handle.remove()
            for layer, training in modes.items():
                layer.training = training
            self._last = None

    def run(self, arrays: Arrays, clip_id: str) -> dict[str, Histogram]:
        _check_names(self._module, arrays)
        place = next(self._module.parameters()).device
        self._counts = {}
        try:
            tensors = {
                name: self._torch.from_numpy(np.ascontiguousarray(array)).to(place)
                for name, array in arrays.items()
            }
            with self._torch.no_grad():
                self._module(**tensors)
        except CalibrationError:
            raise
        except Exception as error:  # whatever the module's own code raises
            raise CalibrationError(f"the module fails on clip {clip_id}: {error}") from error
        finally:
            self._last = None
        return {name: observer.histogram() for name, observer in self._counts.items()}

    def _see(self, name: str, tensor: Any) -> None:
        # A tensor of inference mode does not say whether it was changed since.
        version = None if tensor.is_inference() else tensor._version
        if self._last is not None and self._last[0] is tensor and self._last[1] == version:
            histogram = self._last[2]
        else:
            values = tensor.detach()
            if values.dtype == self._torch.bfloat16:
                values = values.float()
            observer = Observer()
            try:
                observer.observe(values.cpu().numpy())
            except CalibrationError as error:
                raise CalibrationError(f"the input of {name!r} cannot be observed: {error.message}") from None
            histogram = observer.histogram()
            self._last = None if version is None else (tensor, version, histogram)
        self._counts.setdefault(name, Observer()).merge(histogram)


def _clips(feed: Feed, index: int) -> Iterator[tuple[str, Arrays]]:
    if not feed.num_frames:
        yield ", ".join(feed.clip_ids) or f"batch-{index}", feed.arrays
        return
    longest, num_rows = max(feed.num_frames), len(feed.num_frames)
    # Where all clips are as long as an axis, nothing is padded, whichever axis it is.
    is_padded = min(feed.num_frames) < longest or not any(
        longest in array.shape[1:] for array in feed.arrays.values()
    )
    axes = time_axes(feed, {}) if is_padded else {}
    for row, frames in enumerate(feed.num_frames):
        arrays = {}
        for name, array in feed.arrays.items():
            is_shared = not array.ndim or array.shape[0] != num_rows
            own = array if is_shared else array[row : row + 1]
            arrays[name] = np.take(own, range(frames), axis=axes[name]) if name in axes else own
        yield (feed.clip_ids[row] if feed.clip_ids else f"batch-{index}-row-{row}"), arrays


def _check_names(module: Any, arrays: Arrays) -> None:
    parameters = inspect.signature(module.forward).parameters
    if any(item.kind is inspect.Parameter.VAR_KEYWORD for item in parameters.values()):
        return
    if unknown := sorted(arrays.keys() - parameters.keys()):
        raise InputError(
            f"a feed has an input {unknown[0]!r}, and forward takes {', '.join(parameters)}",
            hint="name the arrays of the feeds after the parameters of the module's forward",
        )


def _faults(counts: dict[str, Histogram], clip_id: str) -> dict[str, str]:
    for name, histogram in counts.items():
        if histogram.num_nonfinite:
            size = histogram.num_values + histogram.num_nonfinite
            return {clip_id: f"{histogram.num_nonfinite} of {size} values read by {name!r} are not finite"}
    return {}


def _state_digest(torch: Any, module: Any) -> str:
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name}:{values.dtype}:{tuple(values.shape)};".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
