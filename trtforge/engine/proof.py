"""Set the precision that each layer of an engine runs in against the one that was asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from trtforge.errors import PrecisionError
from trtforge.graph import describe, plan_placement, prepare
from trtforge.nvidia import Flavor
from trtforge.nvidia.layers import EngineLayer

if TYPE_CHECKING:
    import onnx

Verdict = Literal["delivered", "fell_back", "unknown"]
VERDICTS: tuple[Verdict, ...] = ("delivered", "fell_back", "unknown")

# As the graph names types that engines name otherwise.
_SAME = {"float8e4m3fn": "fp8", "float8e5m2": "fp8", "float4e2m1": "fp4"}
_SUFFIX = re.compile(r"_myl\d+_\d+$")
_BETWEEN = re.compile(r" \+ | \|\| |\+")
_NUMBER = re.compile(r"_U\d+$")
# Layers that carry a node's name without doing its multiplications.
_BESIDE = frozenset({"kgen", "NoOp", "Reformat", "Shuffle", "Constant", "shape_call", "signal", "wait"})
_SHOWN = 5


@dataclass(frozen=True)
class LayerProof:
    """One layer of the network: what was asked, and what became of it.

    Parameters
    ----------
    name : the node's name, or else its output.
    op_type : its operator.
    requested : type that it was to multiply in.
    real : type that it multiplies in, or None where nobody tells.
    engine_layer : the engine's layer that does its work, where one could be told; None where ``real`` comes
        from the types of the graph, which a strongly typed library is bound to, or from nowhere.
    stored : type that its weight is stored in, where that is narrower than what it multiplies in.
    read : narrowest type of constants that the engine's layer reads, or ``nothing``, where ``stored`` is
        something and the library tells. Where it is not ``stored``, a layer before widens the weight.
    """

    name: str
    op_type: str
    requested: str
    real: str | None
    engine_layer: str | None = None
    stored: str | None = None
    read: str | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the layer got what was asked; ``unknown`` where nobody tells."""
        if self.real is None:
            return "unknown"
        return "delivered" if self.real == self.requested else "fell_back"

    @property
    def source(self) -> str:
        """Where ``real`` is known from: ``engine``, ``graph`` or ``nowhere``."""
        return "engine" if self.engine_layer is not None else "nowhere" if self.real is None else "graph"


@dataclass(frozen=True)
class PrecisionProof:
    """All convolutions, products and recurrent layers of a network, in its order.

    Parameters
    ----------
    layers : one entry for each.
    """

    layers: tuple[LayerProof, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of layers by verdict, and of those that only the graph's types speak for.

        Where weights are stored narrow, also of those layers (``stored_narrow``), and of them those that the
        engine reads so (``read_narrow``).
        """
        verdicts = [layer.verdict for layer in self.layers]
        by_graph = sum(layer.source == "graph" for layer in self.layers)
        found: dict[str, int] = {name: verdicts.count(name) for name in VERDICTS}
        found["by_graph"] = by_graph
        if stored := [layer for layer in self.layers if layer.stored is not None]:
            found["stored_narrow"] = len(stored)
            found["read_narrow"] = sum(layer.read == layer.stored for layer in stored)
        return found

    def __str__(self) -> str:
        found = self.counts
        text = f"{found['delivered']} of {len(self.layers)} layers as asked"
        parts = [f"{found['by_graph']} of them by the graph's types"] if found["by_graph"] else []
        parts += [f"{found['fell_back']} fell back"] if found["fell_back"] else []
        parts += [f"{found['unknown']} not known"] if found["unknown"] else []
        if "stored_narrow" in found:
            stored = [layer for layer in self.layers if layer.stored is not None]
            kinds = "/".join(sorted({str(layer.stored) for layer in stored}))
            told = any(layer.read is not None for layer in stored)
            read = f" ({found['read_narrow']} read so)" if told else ""
            parts += [f"{len(stored)} with weights in {kinds}{read}"]
        return ", ".join([text, *parts])

    def require(self) -> None:
        """Refuse an engine of which a layer did not get what was asked, or may not have.

        Raises
        ------
        PrecisionError : the message names the layers.
        """
        fell = [layer for layer in self.layers if layer.verdict == "fell_back"]
        unknown = [layer for layer in self.layers if layer.verdict == "unknown"]
        problems = []
        if fell:
            said = [f"{layer.name!r} runs in {layer.real}, not {layer.requested}" for layer in fell]
            problems.append(f"{len(fell)} did not get the precision that was asked: {_some(said)}")
        if unknown:
            said = [f"{layer.name!r} ({layer.requested})" for layer in unknown]
            problems.append(f"of {len(unknown)} the library does not tell: {_some(said)}")
        if problems:
            raise PrecisionError(
                f"the engine was built, but not all of {len(self.layers)} layers can be shown to run as "
                f"asked; {'; '.join(problems)}",
                layers=tuple(layer.name for layer in (*fell, *unknown)),
                hint="leave those layers in floating point, build with a strongly typed library, which obeys "
                "the network's types, or do not require it",
                settings=("require_precision",),
            )

    def to_json(self) -> dict[str, Any]:
        """Return the proof as plain JSON values, counts first."""
        return {**self.counts, "layers": [vars(layer) | {"verdict": layer.verdict} for layer in self.layers]}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> PrecisionProof:
        """Read what `to_json` gave; raises KeyError or TypeError for anything else."""
        names = LayerProof.__dataclass_fields__
        # Manifests that were written before weights were told apart lack those of them.
        return cls(
            tuple(
                LayerProof(**{name: layer[name] for name in names if name in layer})
                for layer in record["layers"]
            )
        )


def prove(
    network: onnx.ModelProto,
    layers: Sequence[EngineLayer] | None,
    *,
    precision: str,
    flavor: Flavor,
    calibrated: bool = False,
) -> PrecisionProof:
    """Compare the layers of an engine with what the network and the settings ask of them.

    A node is looked for by its name among the names that the engine gives its layers, which join those of
    the nodes that were fused, and else among the nodes that a layer is said to stem from. Where the engine
    hides a node in a region that it compiles as a whole, nothing is known of it; for a library that is bound
    to the network's types these then speak, and the entry says so.

    Parameters
    ----------
    network : what the library was given.
    layers : what the engine or the builder's log says of the layers, or None.
    precision : what was built, as `BuildConfig.precision`.
    flavor : the library.
    calibrated : whether INT8 came by calibration and not by Q/DQ nodes. Then only the layers that INT8 is
        meant for are listed, and of the rest the library may do what it likes.
    """
    wanted = describe(network).layers
    meant = {item.node for item in plan_placement(prepare(network)).placements} if calibrated else None
    found = _by_node(layers or (), {layer.name for layer in wanted})
    entries = []
    for layer in wanted:
        typed = _SAME.get(layer.precision, layer.precision)
        requested = typed
        if meant is not None:
            if layer.name not in meant:
                continue
            requested = "int8"
        elif not flavor.strongly_typed_only and typed == "float32" and precision in ("int8", "float16"):
            # What a builder flag allows; the network itself says nothing.
            requested = "float16"
        here = found.get(layer.name)
        stored = layer.stored_narrow
        real = here.reads if here is not None else typed if flavor.strongly_typed_only else None
        entries.append(
            LayerProof(
                layer.name,
                layer.op_type,
                requested,
                None if real == "unknown" else real,
                here.name if here is not None else None,
                stored,
                here.holds if here is not None and stored is not None else None,
            )
        )
    return PrecisionProof(tuple(entries))


def _by_node(layers: Sequence[EngineLayer], nodes: set[str]) -> dict[str, EngineLayer]:
    """Find the engine's layer of each node; of several the one that reads the widest type."""
    known = nodes | {f"node_of_{name}" for name in nodes}
    found: dict[str, list[EngineLayer]] = {}
    told = [layer for layer in layers if layer.reads is not None and layer.kind not in _BESIDE]
    for of_layer in (_named, lambda layer: iter(layer.nodes)):
        missing = known - set(found)
        for layer in told:
            for name in of_layer(layer):
                if name in missing:
                    found.setdefault(name, []).append(layer)
    widths = {name: rank for rank, name in enumerate(("int4", "fp4", "int8", "fp8", "float16", "bfloat16"))}
    return {
        name.removeprefix("node_of_") if name not in nodes else name: max(
            entries, key=lambda layer: widths.get(str(layer.reads), len(widths))
        )
        for name, entries in found.items()
    }


def _named(layer: EngineLayer) -> Iterator[str]:
    """Yield the nodes' names that a layer's name may be made of."""
    whole = _SUFFIX.sub("", layer.name)
    yield whole
    for part in _BETWEEN.split(whole):
        yield part.strip()
        yield _NUMBER.sub("", part.strip())


def _some(said: Sequence[str]) -> str:
    return ", ".join(said[:_SHOWN]) + (f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else "")
