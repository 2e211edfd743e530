"""The recogniser: 1-D convolutions, batch normalisation and ReLU, trained with CTC on characters.

The network is run as two-dimensional convolutions of height one in channels-last order, which is what GPUs
are quickest at; `export.py` writes the same weights as the 1-D convolutions they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY = (" ", "'", *"abcdefghijklmnopqrstuvwxyz")
BLANK = len(VOCABULARY)
STRIDE = 2

NUM_MELS = 80
STEM_KERNEL = 11


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network; every block is two convolutions of one kernel and dilation."""

    width: int = 320
    head_width: int = 384
    blocks: tuple[tuple[int, int], ...] = ((3, 1), (3, 2), (3, 4), (3, 8)) * 2


class ConvNorm(nn.Module):
    """A convolution over time without bias, followed by batch normalisation."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            (1, kernel),
            stride=(1, stride),
            padding=(0, kernel // 2 * dilation),
            dilation=(1, dilation),
            bias=False,
        )
        self.norm = nn.BatchNorm2d(out_channels, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, in_channels, 1, frames] to [batch, out_channels, 1, frames / stride]."""
        return self.norm(self.conv(x))


class Block(nn.Module):
    """Two convolutions and a residual connection around them."""

    def __init__(self, shape: Architecture, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.first = ConvNorm(shape.width, shape.width, kernel, dilation=dilation)
        self.second = ConvNorm(shape.width, shape.width, kernel, dilation=dilation)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, width, 1, frames] to the same shape."""
        y = self.dropout(functional.relu(self.first(x)))
        return self.dropout(functional.relu(x + self.second(y)))


class Recogniser(nn.Module):
    """Log-mel frames [batch, 80, frames] to CTC logits [batch, ceil(frames / 2), 29].

    While it trains, a second classifier reads the blocks half-way (intermediate CTC, Lee and Watanabe 2021).
    """

    def __init__(self, shape: Architecture, dropout: float = 0.1) -> None:
        super().__init__()
        self.stem = ConvNorm(NUM_MELS, shape.width, STEM_KERNEL, stride=STRIDE)
        self.blocks = nn.ModuleList(
            Block(shape, kernel, dilation, dropout) for kernel, dilation in shape.blocks
        )
        self.middle = nn.Conv2d(shape.width, len(VOCABULARY) + 1, 1)
        self.head = ConvNorm(shape.width, shape.head_width, 1)
        self.classifier = nn.Conv2d(shape.head_width, len(VOCABULARY) + 1, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """Compute the logits of normalised log-mel frames; in training, half-way logits below them."""
        x = mel.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        x = half = functional.relu(self.stem(x))
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == len(self.blocks) // 2:
                half = x
        logits = self.classifier(functional.relu(self.head(x)))
        if self.training:
            logits = torch.cat([logits, self.middle(half)])
        return logits.squeeze(2).transpose(1, 2)
