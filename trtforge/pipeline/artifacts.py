"""What a compilation makes, and the folder that it is kept in."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtforge._files import json_bytes, write_together
from trtforge.accuracy import AccuracyReport
from trtforge.calibration import Observations
from trtforge.engine import Engine
from trtforge.external_data import network_files
from trtforge.precisions import PRECISIONS
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
    observations : the histograms behind them and behind what stays in FP32; None where nothing was observed.
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

    @property
    def remarks(self) -> tuple[str, ...]:
        """What must be known beside the figures, a sentence each."""
        return tuple(self.report.get("remarks", ()))

    def __repr__(self) -> str:
        return f"Compilation({self.name!r}, {self.engine}, {self.accuracy!r})"

    def files(self, folder: str | os.PathLike[str]) -> dict[Path, bytes]:
        """Return what `save` writes into ``folder``: path to content."""
        target = Path(folder)
        network = f"{self.name}.{self.engine.manifest.precision}.onnx"
        files = network_files(self.model, target / network)
        if self.scales is not None:
            files[target / "scales.json"] = json_bytes(self.scales.to_json())
        if self.observations is not None:
            files[target / "observations.npz"] = self.observations.dumps()
        files |= self.engine.files(target / f"{self.name}.engine")
        files[target / "report.json"] = json_bytes(self.report)
        files[target / "report.html"] = render_html(self.report).encode()
        return files

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write engine, manifest, network, scales, observations and report into ``folder``.

        All files are written in full before the first takes its place, so a full disk leaves what was there.
        What an earlier compilation of another precision left under these names is removed, and its signature.

        Returns
        -------
        The files written.
        """
        files = self.files(folder)
        write_together(files)
        networks = [f"{self.name}.{precision}.onnx" for precision in PRECISIONS]
        others = [*networks, *(f"{network}.data" for network in networks)]
        for name in ("scales.json", "observations.npz", f"{self.name}.engine.sig", *others):
            if Path(folder) / name not in files:
                (Path(folder) / name).unlink(missing_ok=True)
        return sorted(files)
