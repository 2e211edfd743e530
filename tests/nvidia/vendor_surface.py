"""What trtforge/nvidia names of NVIDIA's modules, read from the source, and who reaches each line."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trtforge.nvidia.flavor import Flavor
from trtforge.nvidia.options import OPTIONS
from trtforge.nvidia.rtx import Rtx
from trtforge.nvidia.v8 import V8
from trtforge.nvidia.v10 import V10, StronglyTypedV10
from trtforge.nvidia.v11 import V11

PACKAGE = Path(__file__).parents[2] / "trtforge" / "nvidia"
DATA = Path(__file__).parents[1] / "data" / "trt_api"
FLAVORS = (V8("8.6.0"), V10("10.16.1"), StronglyTypedV10("10.16.1"), V11("11.4.0"), Rtx("1.7.1"))

# What the code calls the vendor's objects, to the vendor's classes.
RECEIVERS = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "layer": "ILayer",
    "tensor": "ITensor",
    "inspector": "EngineInspector",
    "_runtime": "Runtime",
    "_engine": "ICudaEngine",
    "_context": "IExecutionContext",
}
MODULES = ("trt", "_trt")
# Files whose variables of these names are something else.
OTHER_OBJECTS = {"large_networks.py", "layers.py", "machine.py", "layer_times.py"}
# Files that are reached only where a flavor says so.
_TIMING = next(option.have for option in OPTIONS if option.name == "timing_cache")
_CONSTRAINED = next(option.have for option in OPTIONS if option.name == "prefer_float16")
REACHED = {
    "attention.py": lambda flavor: flavor.has_attention,
    "calibrators.py": lambda flavor: flavor.has_calibrators,
    "constraints.py": lambda flavor: flavor.generation in _CONSTRAINED and flavor.has_precision_flags,
    "debug_tensors.py": lambda flavor: flavor.has_debug_tensors,
    "progress.py": lambda flavor: flavor.has_progress_monitor,
    "timings.py": lambda flavor: flavor.generation in _TIMING,
}
# The same of functions in files that all reach.
REACHED_FUNCTIONS = {("execution.py", "listen"): lambda flavor: flavor.has_debug_tensors}


@dataclass(frozen=True)
class Use:
    """One name of the vendor's in the source: ``owner`` is a class or, with ``member`` None, the whole."""

    file: str
    line: int
    owner: str
    member: str | None
    flavors: tuple[Flavor, ...]

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.owner}{f'.{self.member}' if self.member else ''}"


def surface(flavor: Flavor) -> dict:
    """Return the names that a flavor's library really has."""
    return json.loads((DATA / f"{flavor.name}-{flavor.version}.json").read_text())


def has(names: dict, owner: str, member: str | None) -> bool:
    """Say whether a class or function exists and has a member, its own or inherited."""
    if owner not in names and owner != "__version__":
        return False
    if member is None:
        return True
    entry = names[owner]
    bases = entry.get("bases", [])
    return member in entry.get("members", {}) or any(has(names, base, member) for base in bases)


def uses(path: Path) -> Iterator[Use]:
    """Read one source file."""
    reached = tuple(filter(REACHED.get(path.name, lambda flavor: True), FLAVORS))
    yield from _Reader(path.name).read(ast.parse(path.read_text()), reached)


class _Reader:
    def __init__(self, file: str) -> None:
        self.file = file

    def read(self, node: ast.AST, flavors: tuple[Flavor, ...]) -> Iterator[Use]:
        if isinstance(node, ast.ClassDef):
            mro = [kind for flavor in FLAVORS for kind in type(flavor).__mro__]
            kinds = {kind for kind in mro if kind.__name__ == node.name}
            for child in node.body:
                mine = flavors
                if kinds and isinstance(child, ast.FunctionDef):
                    (kind,) = kinds
                    method = vars(kind)[child.name]
                    mine = tuple(f for f in flavors if getattr(type(f), child.name, None) is method)
                yield from self.read(child, mine)
            for base in node.bases:
                yield from self.read(base, flavors)
            return
        if isinstance(node, ast.FunctionDef):
            reached = REACHED_FUNCTIONS.get((self.file, node.name), lambda flavor: True)
            flavors = tuple(filter(reached, flavors))
        if isinstance(node, ast.If | ast.IfExp):
            yes = tuple(flavor for flavor in flavors if self.holds(node.test, flavor) is not False)
            no = tuple(flavor for flavor in flavors if self.holds(node.test, flavor) is not True)
            yield from self.read(node.test, flavors)
            for child in node.body if isinstance(node.body, list) else [node.body]:
                yield from self.read(child, yes)
            for child in node.orelse if isinstance(node.orelse, list) else [node.orelse]:
                yield from self.read(child, no)
            return
        if isinstance(node, ast.Attribute):
            found = self.named(node, flavors)
            if found is not None:
                yield found
        for field in ast.iter_fields(node):
            value = field[1]
            if isinstance(value, list):
                yield from self.block(value, flavors)
            elif isinstance(value, ast.AST):
                yield from self.read(value, flavors)

    def block(self, nodes: list, flavors: tuple[Flavor, ...]) -> Iterator[Use]:
        for node in nodes:
            if not isinstance(node, ast.AST):
                continue
            yield from self.read(node, flavors)
            # What ``if flavor.question: return`` lets through.
            if isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return | ast.Raise | ast.Continue):
                flavors = tuple(flavor for flavor in flavors if self.holds(node.test, flavor) is not True)

    def holds(self, test: ast.AST, flavor: Flavor) -> bool | None:
        """Answer a question about the flavor; None where the test is about something else."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            answer = self.holds(test.operand, flavor)
            return None if answer is None else not answer
        if (
            isinstance(test, ast.Attribute)
            and ast.unparse(test.value).split(".")[-1] in ("flavor", "_flavor")
            and isinstance(getattr(type(flavor), test.attr, None), bool)
        ):
            return bool(getattr(flavor, test.attr))
        return None

    def named(self, node: ast.Attribute, flavors: tuple[Flavor, ...]) -> Use | None:
        chain = ast.unparse(node).split(".")
        if not all(part.isidentifier() for part in chain) or chain[-1] == "__members__":
            return None
        chain = chain[1:] if chain[0] == "self" else chain
        if len(chain) == 2 and chain[0] in MODULES:
            return Use(self.file, node.lineno, chain[1], None, flavors)
        if len(chain) == 3 and chain[0] in MODULES:
            return Use(self.file, node.lineno, chain[1], chain[2], flavors)
        if len(chain) == 2 and chain[0] in RECEIVERS and self.file not in OTHER_OBJECTS:
            return Use(self.file, node.lineno, RECEIVERS[chain[0]], chain[1], flavors)
        return None
