"""Make what the project ships: the bundled recogniser in INT8.

python make_engine.py               # scales.json -> build/asr_int8.onnx
python make_engine.py --calibrate   # clips -> scales.json, to be reviewed and committed
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx

import trtforge

HERE = Path(__file__).parent
NETWORK = HERE / "../models/asr_en/asr_en.onnx"
CLIPS = HERE / "../../calibration_sets/podcast_en"
SCALES = HERE / "scales.json"
CANDIDATE = HERE / "build/asr_int8.onnx"


def calibrate() -> None:
    """Choose INT8 ranges on every eighth clip of the calibration set."""
    clips = trtforge.ClipSet.load(CLIPS)
    feeds = clips.subset(clips.ids[::8]).feeds(trtforge.LogMel.for_model(NETWORK))
    trtforge.calibrate(NETWORK, feeds).save(SCALES)


def make() -> None:
    """Write the network in INT8; where there is a GPU, `trtforge.build` would make its engine here."""
    network = trtforge.quantize(NETWORK, trtforge.Scales.load(SCALES))
    CANDIDATE.parent.mkdir(exist_ok=True)
    onnx.save(network, str(CANDIDATE))


if __name__ == "__main__":
    if "--calibrate" in sys.argv[1:]:
        calibrate()
    make()
