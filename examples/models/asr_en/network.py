"""The recogniser: 1-D convolutions, batch normalisation and ReLU, trained with CTC on characters.

The network is run as two-dimensional convolutions of height one in channels-last order, which is what GPUs
are quickest at; `export.py` writes the same weights as the 1-D convolutions they are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY = (" ", "'", *"abcdefghijklmnopqrstuvwxyz")
BLANK = len(VOCABULARY)
STRIDE = 2

NUM_MELS = 80
WIDTH = 256
HEAD_WIDTH = 384
STEM_KERNEL = 11
BLOCK_KERNELS = (7, 7, 9, 9, 9)


class ConvNorm(nn.Module):
    """A convolution over time without bias, followed by batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, (1, kernel), (1, stride), padding=(0, kernel // 2), bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class Block(nn.Module):
    """Two convolutions and a residual connection around them."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.first = ConvNorm(width, width, kernel)
        self.second = ConvNorm(width, width, kernel)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(functional.relu(self.first(x)))
        return self.dropout(functional.relu(x + self.second(y)))


class Recogniser(nn.Module):
    """Log-mel frames [batch, 80, frames] to CTC logits [batch, ceil(frames / 2), 29]."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.stem = ConvNorm(NUM_MELS, WIDTH, STEM_KERNEL, STRIDE)
        self.blocks = nn.ModuleList(Block(WIDTH, kernel, dropout) for kernel in BLOCK_KERNELS)
        self.head = ConvNorm(WIDTH, HEAD_WIDTH, 1)
        self.classifier = nn.Conv2d(HEAD_WIDTH, len(VOCABULARY) + 1, 1)

    def forward(self, mel: Tensor) -> Tensor:
        x = mel.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        x = functional.relu(self.stem(x))
        for block in self.blocks:
            x = block(x)
        x = functional.relu(self.head(x))
        return self.classifier(x).squeeze(2).transpose(1, 2)
