"""Products too small for INT8 to pay."""

from __future__ import annotations

import math

from trtforge.graph.rules.verdicts import Layer, Refusal, View

# Below this a tile of the INT8 matrix units is mostly padding.
MIN_SIZE = 16


def refuse_small(layer: Layer, depth: object, width: object, view: View) -> Layer | Refusal:
    """Refuse a product less than 16 deep or wide, or of one row.

    Parameters
    ----------
    depth, width : number of summed elements, and of columns; anything but an int is unknown and passes.
    """
    if any(isinstance(size, int) and size < MIN_SIZE for size in (depth, width)):
        return Refusal(f"the product is {depth} deep and {width} wide, and either below {MIN_SIZE} is slow")
    rows = (view.shape(layer.activations[0]) or (None,))[:-1]
    fixed = [axis for axis in rows if isinstance(axis, int)]
    if len(fixed) == len(rows) and math.prod(fixed) == 1:
        return Refusal("the product has one row")
    return layer
