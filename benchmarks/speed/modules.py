"""The benchmark's networks as PyTorch modules, as one writes them there, with the weights of ONNX files.

Each function takes the path of an ONNX file. Imports nothing but NumPy, onnx and PyTorch.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from examples.models.asr_en.network import Architecture, Recogniser


def recogniser(path: str) -> nn.Module:
    """Make the bundled recogniser, batch normalisation folded into the convolutions."""
    weights = _weights(path)
    width = weights["stem.conv.weight"].shape[0]
    module = Recogniser(Architecture(width=width, head_width=weights["head.conv.weight"].shape[0])).eval()
    state = {}
    for name, value in module.state_dict().items():
        if name in weights:
            state[name] = torch.from_numpy(weights[name].astype(np.float32)).reshape(value.shape)
        else:  # half-way logits and counts of training, which take no part
            state[name] = value
    module.load_state_dict(state)
    for part in module.modules():
        norm = getattr(part, "norm", None)
        if isinstance(norm, nn.BatchNorm2d):
            part.conv = torch.nn.utils.fuse_conv_bn_eval(part.conv, norm)
            part.norm = nn.Identity()
    # Channels last is what the library is quickest at; the modules inside are two-dimensional.
    return module.to(memory_format=torch.channels_last)


def convolution_stack(path: str) -> nn.Module:
    """Make the stack of 1-D convolutions."""
    weights, layers = _weights(path), list[nn.Module]()
    count = sum(name.startswith("w") for name in weights)
    for index in range(count):
        weight, bias = (torch.from_numpy(weights[f"{kind}{index}"]) for kind in "wb")
        kernel = weight.shape[2]
        layer = nn.Conv1d(weight.shape[1], weight.shape[0], kernel, padding=kernel // 2)
        layer.load_state_dict({"weight": weight, "bias": bias})
        layers += [layer] if index == count - 1 else [layer, nn.ReLU()]
    return nn.Sequential(*layers)


def whisper_encoder(path: str) -> nn.Module:
    """Make an encoder of Whisper's shape, attention by ``scaled_dot_product_attention``."""
    weights = _weights(path)
    return _Encoder(weights, num_heads=int(weights["split_heads"][2])).eval()


class _Encoder(nn.Module):
    """Mel frames [batch, bins, 3000] to [batch, 1500, width]."""

    def __init__(self, weights: dict[str, NDArray[np.float32]], num_heads: int) -> None:
        super().__init__()
        width = weights["positions"].shape[1]
        self.conv1 = _filled(
            nn.Conv1d(weights["conv1.weight"].shape[1], width, 3, padding=1), weights, "conv1"
        )
        self.conv2 = _filled(nn.Conv1d(width, width, 3, stride=2, padding=1), weights, "conv2")
        self.positions = nn.Parameter(torch.from_numpy(weights["positions"]))
        count = len({name.split(".")[1] for name in weights if name.startswith("layer.")})
        self.layers = nn.ModuleList(
            _Layer(weights, f"layer.{index}", width, num_heads) for index in range(count)
        )
        self.norm = _norm(weights, "encoded", width)

    def forward(self, mel: Tensor) -> Tensor:
        x = functional.gelu(self.conv2(functional.gelu(self.conv1(mel))))
        x = x.transpose(1, 2) + self.positions
        for layer in self.layers:
            x = layer(x)
        normed: Tensor = self.norm(x)
        return normed


class _Layer(nn.Module):
    """Attention and feed-forward part, each behind a layer normalisation."""

    def __init__(
        self, weights: dict[str, NDArray[np.float32]], name: str, width: int, num_heads: int
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1, self.norm2 = (_norm(weights, f"{name}.norm{index}", width) for index in (1, 2))
        self.query, self.key, self.value, self.out, self.fc1, self.fc2 = (
            _linear(weights, f"{name}.{part}") for part in ("query", "key", "value", "out", "fc1", "fc2")
        )

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        batch, frames, width = normed.shape
        query, key, value = (
            part(normed).view(batch, frames, self.num_heads, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        context = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(context.transpose(1, 2).reshape(batch, frames, width))
        fed: Tensor = x + self.fc2(functional.gelu(self.fc1(self.norm2(x))))
        return fed


def _weights(path: str) -> dict[str, NDArray[np.float32]]:
    return {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in onnx.load(path).graph.initializer}


def _filled(layer: nn.Conv1d, weights: dict[str, NDArray[np.float32]], name: str) -> nn.Conv1d:
    layer.load_state_dict({kind: torch.from_numpy(weights[f"{name}.{kind}"]) for kind in ("weight", "bias")})
    return layer


def _norm(weights: dict[str, NDArray[np.float32]], name: str, width: int) -> nn.LayerNorm:
    layer = nn.LayerNorm(width)
    layer.load_state_dict(
        {
            "weight": torch.from_numpy(weights[f"{name}.gain"]),
            "bias": torch.from_numpy(weights[f"{name}.shift"]),
        }
    )
    return layer


def _linear(weights: dict[str, NDArray[np.float32]], name: str) -> nn.Linear:
    weight = torch.from_numpy(weights[f"{name}.weight"]).T.contiguous()
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=f"{name}.bias" in weights)
    state = {"weight": weight}
    if f"{name}.bias" in weights:
        state["bias"] = torch.from_numpy(weights[f"{name}.bias"])
    layer.load_state_dict(state)
    return layer
