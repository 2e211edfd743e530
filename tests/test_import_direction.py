"""Imports run in one direction only, those inside functions too."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "trtforge"
ROOT = {
    "errors", "units", "feeds", "scales", "model", "precisions", "ratios", "__init__", "_ahead",
    "_closing", "_files", "_optional", "_ort", "_ort_rounding", "_progress", "_tables", "_turns",
    "external_data",
}  # fmt: skip
LEAVES = {"nvidia", "audio", "calibration", "graph", "profiles"}
MAY_IMPORT = {
    **dict.fromkeys(LEAVES, ROOT),
    "accuracy": ROOT,
    "checks": ROOT | {"accuracy"},
    "report": ROOT,
    "engine": ROOT | LEAVES,
    "runtime": ROOT | LEAVES | {"engine"},
    "speech": ROOT | LEAVES | {"engine", "runtime"},
    "assignment": ROOT | LEAVES | {"runtime", "speech", "accuracy"},
    "serving": ROOT | LEAVES | {"engine", "runtime", "speech"},
    "locking": ROOT | LEAVES | {"engine"},
    "pipeline": ROOT | LEAVES | {"engine", "runtime", "speech", "accuracy", "checks", "report", "assignment"},
    "bench": ROOT | LEAVES | {"engine", "runtime", "speech", "accuracy", "report", "pipeline"},
    "__main__": ROOT | {"cli"},
    "cli": ROOT
    | LEAVES
    | {"engine", "runtime", "speech", "accuracy", "assignment", "checks", "report", "pipeline"}
    | {"bench", "serving", "locking"},
    "pytest_plugin": ROOT | {"accuracy", "checks", "pipeline", "audio", "runtime"},
}
VENDOR = {"tensorrt", "tensorrt_rtx", "cuda", "pynvml"}


def imported(path: Path) -> set[str]:
    """Return the dotted names that a module imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            if node.module == "trtforge":
                names |= {f"trtforge.{alias.name}" for alias in node.names}
            else:
                names.add(node.module)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in {
            "require",
            "import_module",
        }:
            names |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    return names


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_arrow_points_back(path: Path) -> None:
    part = part_of(path)
    if part == "__init__":
        return
    allowed = (ROOT if part in ROOT else MAY_IMPORT[part]) | {part}
    for name in imported(path):
        if name.startswith("trtforge.") or name == "trtforge":
            target = [*name.split("."), "__init__"][1]
            assert target in allowed, f"{part} must not import {name}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_vendor_packages_are_touched_in_one_place(path: Path) -> None:
    if part_of(path) != "nvidia":
        assert not {name.partition(".")[0] for name in imported(path)} & VENDOR
