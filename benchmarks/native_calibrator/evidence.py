"""What two calibrations of one network left behind: enough to compare them again without a GPU."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.native_calibrator.bins import Bins, load_bins, save_bins
from trtforge._files import write_json
from trtforge.calibration import CalibrationCache, Observations, read_calibration_cache
from trtforge.errors import ReportError

if TYPE_CHECKING:
    import onnx

FORMAT = "trtforge.bench.native_calibrator.evidence/1"
# Operators whose result has the values of an input, or a part of them, so that a library may give both sides
# one scale; ReLU and clipping are fused into what is before them.
_SHARING = frozenset(
    {"Clip", "Concat", "Dropout", "Expand", "Flatten", "Identity", "LeakyRelu", "MaxPool", "Pad", "Relu",
     "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """The caches that TensorRT wrote and the counts that we made, on the same batches.

    Parameters
    ----------
    native : the cache of TensorRT as it comes.
    first : our counts over the first batch.
    total : our counts over all batches.
    names : TensorRT's name of each tensor to the network's name of the tensor with the same values.
    sharing : the network's name of a tensor to those that may have its scale.
    without_tf32 : the cache of TensorRT with TF32 forbidden; None where that was not run.
    bins : our counts over TensorRT's bins; None where they were not made. They take no part in comparisons.
    """

    native: CalibrationCache
    first: Observations
    total: Observations
    names: Mapping[str, str]
    sharing: Mapping[str, tuple[str, ...]]
    without_tf32: CalibrationCache | None = None
    bins: Mapping[str, Bins] | None = field(default=None, compare=False)

    def save(self, folder: Path) -> None:
        """Write the caches, the counts and the names into ``folder``, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "native.cache").write_bytes(self.native.dumps())
        # What an earlier run left belongs to other caches.
        for optional in ("without_tf32.cache", "bins.npz"):
            (folder / optional).unlink(missing_ok=True)
        if self.without_tf32 is not None:
            (folder / "without_tf32.cache").write_bytes(self.without_tf32.dumps())
        self.first.save(folder / "first.npz")
        self.total.save(folder / "total.npz")
        if self.bins is not None:
            save_bins(folder / "bins.npz", self.bins)
        names = {"format": FORMAT, "names": dict(self.names), "sharing": dict(self.sharing)}
        write_json(folder / "names.json", names)

    @classmethod
    def load(cls, folder: Path) -> Evidence:
        """Read what `save` wrote.

        Raises
        ------
        ReportError : the folder lacks the names, or they or the bins are not such a file.
        CalibrationError, CalibrationCacheError : counts or caches are missing or damaged.
        """
        path = folder / "names.json"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ReportError(f"{folder} holds no evidence of a calibration: {error}") from error
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ReportError(f'{path} lacks "format": "{FORMAT}"')
        without, bins = folder / "without_tf32.cache", folder / "bins.npz"
        return cls(
            native=read_calibration_cache(folder / "native.cache"),
            first=Observations.load(folder / "first.npz"),
            total=Observations.load(folder / "total.npz"),
            names=value["names"],
            sharing={name: tuple(others) for name, others in value["sharing"].items()},
            without_tf32=read_calibration_cache(without) if without.is_file() else None,
            bins=load_bins(bins) if bins.is_file() else None,
        )


def sharing_tensors(model: onnx.ModelProto, tensors: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Group tensors that lie on two sides of operators that keep values, or are fused.

    Parameters
    ----------
    model : the network.
    tensors : the names that are of interest.

    Returns
    -------
    Name to the others of its group, in the order of ``tensors``; tensors alone are left out.
    """
    leaders: dict[str, str] = {name: name for name in tensors}

    def leader(name: str) -> str:
        while leaders[name] != name:
            name = leaders[name]
        return name

    for node in model.graph.node:
        if node.op_type in _SHARING:
            joined = [name for name in (*node.input, *node.output) if name in leaders]
            for name in joined[1:]:
                leaders[leader(name)] = leader(joined[0])
    groups: dict[str, list[str]] = {}
    for name in leaders:
        groups.setdefault(leader(name), []).append(name)
    return {
        name: tuple(other for other in group if other != name)
        for group in groups.values()
        if len(group) > 1
        for name in group
    }
