"""Networks whose inputs and outputs are of kinds that speech networks seldom have, with requests for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.parser

from trtforge.profiles import OptimizationProfile

Request = dict[str, np.ndarray[Any, Any]]
_HEAD = '<ir_version: 8, opset_import: ["": 17]>\n'


@dataclass(frozen=True)
class Case:
    """A network, the profile that it is built with, and a request of a number of rows and of frames."""

    text: str
    profile: OptimizationProfile | None
    request: Callable[[np.random.Generator, int, int], Request]
    sizes: tuple[tuple[int, int], ...] = ((1, 3), (4, 16), (2, 7))

    @property
    def model(self) -> onnx.ModelProto:
        """The network."""
        return onnx.parser.parse_model(_HEAD + self.text)

    def requests(self) -> list[Request]:
        """Requests of all sizes."""
        random = np.random.default_rng(0)
        return [self.request(random, rows, frames) for rows, frames in self.sizes]


def _rows(*names: str) -> OptimizationProfile:
    return OptimizationProfile(dict.fromkeys(names, ((1, 1), (4, 16), (8, 32))))


def _normal(random: np.random.Generator, *shape: int) -> np.ndarray[Any, Any]:
    return random.standard_normal(shape, np.float32)


CASES = {
    "truth values in and out": Case(
        """net (float[b, t] x, bool[b, t] mask) => (float[b, t] y, bool[b, t] heard)
        <float low = {-3.0}, float zero = {0.0}>
        { y = Where(mask, x, low)
          loud = Greater(x, zero)
          heard = And(loud, mask) }""",
        _rows("x", "mask"),
        lambda random, b, t: {"x": _normal(random, b, t), "mask": random.random((b, t)) < 0.5},
    ),
    "symbols in and out": Case(
        """net (int64[b, t] ids) => (int64[b, t] likeliest, float[b, t, 3] scores)
        <float[5, 3] table = {1, 2, 3, 6, 5, 4, 0, 9, 0, -1, 0, 1, 2, 1, 0}>
        { scores = Gather(table, ids)
          likeliest = ArgMax <axis = 2, keepdims = 0> (scores) }""",
        _rows("ids"),
        lambda random, b, t: {"ids": random.integers(0, 5, (b, t))},
    ),
    "half precision in and out": Case(
        """net (float16[b, t] x) => (float16[b, t] y)
        { y = Tanh(x) }""",
        _rows("x"),
        lambda random, b, t: {"x": _normal(random, b, t).astype(np.float16)},
    ),
    "a cache that is empty at first": Case(
        """net (float[b, past, 4] cache, float[b, 1, 4] step) => (float[b, all, 4] longer, float[b, 4] sum)
        <int64[1] one = {1}>
        { longer = Concat <axis = 1> (cache, step)
          sum = ReduceSum <keepdims = 0> (longer, one) }""",
        OptimizationProfile(
            {"cache": ((1, 0, 4), (4, 16, 4), (8, 32, 4)), "step": ((1, 1, 4), (4, 1, 4), (8, 1, 4))}
        ),
        lambda random, b, t: {"cache": _normal(random, b, t, 4), "step": _normal(random, b, 1, 4)},
        ((1, 0), (4, 16), (2, 5)),
    ),
    "a number without axes": Case(
        """net (float[b, t] x, float gain) => (float[b, t] y, float loudest)
        { y = Mul(x, gain)
          loudest = ReduceMax <keepdims = 0> (y) }""",
        _rows("x"),
        lambda random, b, t: {"x": _normal(random, b, t), "gain": np.array(random.normal(), np.float32)},
    ),
    "an input that is an output too": Case(
        """net (float[b, t] x) => (float[b, t] same, float[b, t] twice)
        { same = Identity(x)
          twice = Add(x, x) }""",
        _rows("x"),
        lambda random, b, t: {"x": _normal(random, b, t)},
    ),
    "fixed shapes and no profile": Case(
        """net (float[2, 3] x) => (float[3, 2] y)
        { y = Transpose <perm = [1, 0]> (x) }""",
        None,
        lambda random, b, t: {"x": _normal(random, b, t)},
        ((2, 3), (2, 3)),
    ),
    "lengths beside frames": Case(
        """net (float[b, t, 4] x, int64[b] lengths) => (float[b, 4] mean)
        <int64[1] one = {1}, int64[1] two = {2}, int64 start = {0}, int64 step = {1}, int64 axis = {1}>
        { shape = Shape(x)
          frames = Gather(shape, axis)
          places = Range(start, frames, step)
          column = Unsqueeze(lengths, one)
          inside = Less(places, column)
          weight = Cast <to = 1> (inside)
          wide = Unsqueeze(weight, two)
          kept = Mul(x, wide)
          sum = ReduceSum <keepdims = 0> (kept, one)
          count = Cast <to = 1> (column)
          mean = Div(sum, count) }""",
        OptimizationProfile({"x": ((1, 1, 4), (4, 16, 4), (8, 32, 4)), "lengths": ((1,), (4,), (8,))}),
        lambda random, b, t: {"x": _normal(random, b, t, 4), "lengths": random.integers(1, t + 1, b)},
    ),
    "a recurrent layer": Case(
        """net (float[t, b, 2] x, float[1, b, 1] first) => (float[t, 1, b, 1] states, float[1, b, 1] last)
        <float[1, 3, 2] w = {1, -1, 0.5, 2, 0.1, 0.2}, float[1, 3, 1] r = {0.5, -0.5, 1}>
        { states, last = GRU <hidden_size = 1> (x, w, r, , , first) }""",
        OptimizationProfile(
            {"x": ((1, 1, 2), (16, 4, 2), (32, 8, 2)), "first": ((1, 1, 1), (1, 4, 1), (1, 8, 1))}
        ),
        lambda random, b, t: {"x": _normal(random, t, b, 2), "first": _normal(random, 1, b, 1)},
    ),
}
