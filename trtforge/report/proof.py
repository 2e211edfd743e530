"""The part of the page on the precision that each layer was asked for and got."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trtforge.report.formatting import plural, precision_name

_GRAPH = "by the graph's types"


def proof_section(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a summary, the layers that did not get what was asked or may not have, and all layers."""
    proof = report.get("proof")
    if not proof or not proof["layers"]:
        return None
    layers = [
        {
            "name": layer["name"],
            "op": layer["op_type"],
            "asked": precision_name(layer["requested"]),
            "got": precision_name(layer["real"]) if layer["real"] else "not known",
            "where": layer["engine_layer"] or (_GRAPH if layer["real"] else ""),
            "verdict": layer["verdict"],
        }
        for layer in proof["layers"]
    ]
    total = len(layers)
    parts = [f"{proof['delivered']} of {plural(total, 'layer')} as asked"]
    parts += [f"{proof['fell_back']} fell back"] if proof["fell_back"] else []
    parts += [f"of {proof['unknown']} the library does not tell"] if proof["unknown"] else []
    if "stored_narrow" in proof:
        parts.append(
            f"{proof['stored_narrow']} with narrow weights, of which {proof['read_narrow']} read them so"
        )
    by_engine = sum(bool(layer["engine_layer"]) for layer in proof["layers"])
    origin = f"{by_engine} were found among the layers of the built engine"
    if proof["by_graph"]:
        origin += f"; {proof['by_graph']} are stated {_GRAPH}, which the library is bound to"
    return {
        "summary": ", ".join(parts),
        "origin": f"{origin}.",
        "problems": [layer for layer in layers if layer["verdict"] != "delivered"],
        "layers": layers,
        "total": plural(total, "layer"),
    }
