"""Write the trained weights as an ONNX network.

    python -m examples.models.asr_en.export WEIGHTS.npz OUT.onnx

Needs neither PyTorch nor a GPU. Convolution weights are stored in FP16 behind a Cast, so the file holds two
bytes a weight; the network computes in FP32. Batch and time are dynamic. The ONNX metadata says how the input
is made and how the output is read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from trtforge import LogMel
from trtforge.model import DECODER_KEY, FEATURES_KEY

VOCABULARY = (" ", "'", *"abcdefghijklmnopqrstuvwxyz")
STRIDE = 2
NORM_EPSILON = 1e-3

Weights = Mapping[str, NDArray[np.generic]]


class GraphBuilder:
    """Nodes and constants of the graph, written in the order of computation."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Store an array and return its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node and return its output."""
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def conv(self, source: str, key: str, *, stride: int = 1, dilation: int = 1) -> str:
        """Add a convolution over time that keeps the length, but for its stride."""
        weight = self.weights[f"{key}.weight"][:, :, 0]
        stored = self.constant(f"{key}.weight", weight.astype(np.float16))
        wide = self.node("Cast", [stored], f"{key}.weight_fp32", to=TensorProto.FLOAT)
        inputs = [source, wide]
        if f"{key}.bias" in self.weights:
            inputs.append(self.constant(f"{key}.bias", self.weights[f"{key}.bias"].astype(np.float32)))
        pad = weight.shape[2] // 2 * dilation
        return self.node(
            "Conv",
            inputs,
            f"{key}.out",
            kernel_shape=[weight.shape[2]],
            strides=[stride],
            pads=[pad, pad],
            dilations=[dilation],
            group=1,
        )

    def conv_norm(self, source: str, name: str, *, stride: int = 1, dilation: int = 1) -> str:
        """Add a convolution and batch normalisation."""
        y = self.conv(source, f"{name}.conv", stride=stride, dilation=dilation)
        parameters = [
            self.constant(f"{name}.norm.{part}", self.weights[f"{name}.norm.{part}"].astype(np.float32))
            for part in ("weight", "bias", "running_mean", "running_var")
        ]
        return self.node("BatchNormalization", [y, *parameters], f"{name}.norm.out", epsilon=NORM_EPSILON)


def make_network(weights: Weights) -> onnx.ModelProto:
    """Build the network: mel float32 [batch, 80, frames] to logits float32 [batch, ceil(frames / 2), 29]."""
    graph = GraphBuilder(weights)
    x = graph.node("Relu", [graph.conv_norm("mel", "stem", stride=STRIDE)], "stem.relu")
    for index, (_, dilation) in enumerate(json.loads(str(weights["architecture"]))["blocks"]):
        block = f"blocks.{index}"
        y = graph.node(
            "Relu", [graph.conv_norm(x, f"{block}.first", dilation=dilation)], f"{block}.first.relu"
        )
        y = graph.conv_norm(y, f"{block}.second", dilation=dilation)
        x = graph.node("Relu", [graph.node("Add", [x, y], f"{block}.add")], f"{block}.relu")
    x = graph.node("Relu", [graph.conv_norm(x, "head")], "head.relu")
    x = graph.conv(x, "classifier")
    graph.node("Transpose", [x], "logits", perm=[0, 2, 1])

    features = LogMel()
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "asr_en",
            [helper.make_tensor_value_info("mel", TensorProto.FLOAT, ["batch", features.num_mels, "frames"])],
            [
                helper.make_tensor_value_info(
                    "logits", TensorProto.FLOAT, ["batch", "steps", len(VOCABULARY) + 1]
                )
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="trtforge examples/models/asr_en",
    )
    decoder = {
        "kind": "ctc",
        "vocabulary": list(VOCABULARY),
        "blank": len(VOCABULARY),
        "output": "logits",
        "stride": STRIDE,
    }
    helper.set_model_props(
        model, {FEATURES_KEY: json.dumps(features.to_json()), DECODER_KEY: json.dumps(decoder)}
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Read the weights, write the network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("weights", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    with np.load(args.weights, allow_pickle=False) as weights:
        model = make_network(dict(weights))
    onnx.save(model, str(args.output))
    print(f"{args.output}: {args.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
