"""Import NVIDIA's real Python bindings without NVIDIA's libraries, over placeholders for them.

The bindings' wheels are small; the libraries that they load take gigabytes. Placeholders that export the
functions which the bindings name let them be imported, and every name in them be looked at. Nothing can be
built with them.

    python -m tests.nvidia.bindings FOLDER      # make the placeholders
    python -m tests.nvidia.bindings --check     # compare with what trtforge uses; FOLDER on LD_LIBRARY_PATH
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = "tensorrt_bindings"
_DISTRIBUTIONS = ("tensorrt_cu13_bindings", "tensorrt_cu12_bindings")


def make_placeholders(folder: Path) -> list[Path]:
    """Write a shared library for each that the installed bindings need and the machine lacks.

    Each exports every function that the bindings leave undefined and the C and C++ libraries do not have;
    called, it returns 0.
    """
    binding = extension()
    needed = re.findall(r"NEEDED.*\[(libnv\S+)\]", _run("readelf", "-d", str(binding)))
    undefined = [
        line.split()[-1].partition("@")[0]
        for line in _run("nm", "-D", "--undefined-only", str(binding)).splitlines()
        if " w " not in f" {line} "
    ]
    names = [name for name in undefined if re.search(r"_INTERNAL$|^get[A-Z]\w+$|^initLibNv|^createNv", name)]
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "placeholder.c"
        source.write_text("".join(f"void* {name}(void) {{ return 0; }}\n" for name in names))
        for library in needed:
            target = folder / library
            _run("cc", "-w", "-shared", "-fPIC", "-o", str(target), f"-Wl,-soname,{library}", str(source))
            made.append(target)
    return made


def extension() -> Path:
    """Return the bindings' extension module."""
    spec = importlib.util.find_spec(MODULE)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{MODULE} is not installed")
    return next(Path(spec.origin).parent.glob("tensorrt*.so"))


def installed_version() -> str:
    """Return the version of the installed bindings, as far as `selection.flavor_for` reads it."""
    for name in _DISTRIBUTIONS:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    raise SystemExit(f"{MODULE} is not installed")


def missing_names(module: object, version: str) -> list[str]:
    """Return what trtforge names of a library and the imported module lacks, with file and line."""
    from tests.nvidia.vendor_surface import FLAVORS, PACKAGE, uses
    from trtforge.nvidia.options import CHOICES_OF, OPTIONS
    from trtforge.nvidia.selection import flavor_for

    flavor = flavor_for("tensorrt", version)
    mine = [other for other in FLAVORS if other.generation == flavor.generation]
    found = [
        str(use)
        for path in sorted(PACKAGE.glob("*.py"))
        for use in uses(path)
        if set(mine) & set(use.flavors) and not _has(module, use.owner, use.member)
    ]
    for option in OPTIONS:
        if flavor.generation not in option.have:
            continue
        wanted = [tuple(name.split(".")) for name in option.sets]
        if option.name in CHOICES_OF:
            owner = CHOICES_OF[option.name]
            wanted += [(owner, c.upper()) for c, have in option.choices.items() if flavor.generation in have]
        found += [f"{option.name}: {'.'.join(name)}" for name in wanted if not _has(module, *name)]
    return found


def _has(module: object, owner: str, member: str | None) -> bool:
    kind = getattr(module, owner, None)
    return kind is not None and (member is None or hasattr(kind, member))


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise SystemExit(f"{command[0]} is needed, from the packages binutils and gcc") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{' '.join(command)} failed: {error.stderr}") from None


def main(words: list[str]) -> int:
    """Make placeholders, or check the names."""
    if words == ["--check"]:
        import tensorrt_bindings

        version = installed_version()
        missing = missing_names(tensorrt_bindings, version)
        for name in missing:
            print(f"missing in {MODULE} {version}: {name}")
        print(f"{MODULE} {tensorrt_bindings.__version__}: {'FAILED' if missing else 'has all that is named'}")
        return 1 if missing else 0
    (folder,) = words
    for path in make_placeholders(Path(folder)):
        print(path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
