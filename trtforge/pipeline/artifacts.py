"""What a compilation makes, and the folder that it is kept in."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from trtforge._files import write_bytes, write_json, write_text
from trtforge.accuracy import AccuracyReport
from trtforge.calibration import Observations
from trtforge.engine import Engine
from trtforge.engine.config import Precision
from trtforge.report import render_html
from trtforge.scales import Scales

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, repr=False)
class Compilation:
    """What `trtforge.compile` made, all of it in memory.

    Parameters
    ----------
    name : short name, used for the files.
    engine : the built engine.
    model : the network that it was built from: Q/DQ for INT8, typed otherwise.
    scales : the INT8 ranges; None where nothing was quantized.
    observations : the histograms behind them; None likewise.
    accuracy : what evaluation found; None where no clips were given for it.
    report : everything about the run as plain JSON values.
    """

    name: str
    engine: Engine
    model: onnx.ModelProto
    scales: Scales | None
    observations: Observations | None
    accuracy: AccuracyReport | None
    report: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Compilation({self.name!r}, {self.engine}, {self.accuracy!r})"

    def files(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Return the files that `save` writes into ``folder``."""
        names = [
            f"{self.name}.engine",
            f"{self.name}.engine.json",
            f"{self.name}.{self.engine.manifest.precision}.onnx",
            "report.html",
            "report.json",
            *(["scales.json"] if self.scales else []),
            *(["observations.npz"] if self.observations else []),
        ]
        return [Path(folder) / name for name in sorted(names)]

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write engine, manifest, network, scales, observations and report into ``folder``.

        Each file is replaced whole or not at all, and what an earlier compilation of another precision left
        under these names is removed. Returns the folder.
        """
        target = Path(folder)
        network = f"{self.name}.{self.engine.manifest.precision}.onnx"
        write_bytes(target / network, self.model.SerializeToString())
        if self.scales is not None:
            self.scales.save(target / "scales.json")
        if self.observations is not None:
            self.observations.save(target / "observations.npz")
        self.engine.save(target / f"{self.name}.engine")
        write_json(target / "report.json", self.report)
        write_text(target / "report.html", render_html(self.report))
        others = (f"{self.name}.{precision}.onnx" for precision in get_args(Precision))
        for stale in {target / name for name in ("scales.json", "observations.npz", *others)}:
            if stale not in self.files(target):
                stale.unlink(missing_ok=True)
        return target
