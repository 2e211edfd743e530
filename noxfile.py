"""The project's chores, each in its own environment: ``nox`` runs the quick ones, ``nox -l`` lists all."""

from __future__ import annotations

import nox

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
# Releases of TensorRT whose Python bindings are compared with what trtforge names.
BINDINGS = ("10.16.1.11", "11.4.0.106")

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests-3.11", "bare", "docs"]
nox.options.reuse_existing_virtualenvs = True


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install("ruff>=0.9")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python="3.11")
def types(session: nox.Session) -> None:
    """Check types strictly."""
    session.install(".[dev]")
    session.run("mypy")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on each supported Python."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=PYTHONS)
def bare(session: nox.Session) -> None:
    """Import trtforge with nothing but the base install, and see the hints for what is missing."""
    session.install(".", "pytest>=8.2")
    session.run("python", "-m", "pytest", "tests/test_bare_install.py")


@nox.session
@nox.parametrize("version", BINDINGS)
def bindings(session: nox.Session, version: str) -> None:
    """Compare what trtforge names of TensorRT with the real bindings, over placeholders for its libraries.

    Needs readelf, nm and a C compiler; takes seconds once the base packages are installed.
    """
    session.install(".")
    session.install("--no-deps", f"tensorrt-cu13-bindings=={version}")
    libraries = session.create_tmp()
    session.run("python", "-m", "tests.nvidia.bindings", libraries)
    session.run("python", "-m", "tests.nvidia.bindings", "--check", env={"LD_LIBRARY_PATH": libraries})


@nox.session(python="3.11")
def examples(session: nox.Session) -> None:
    """Run the examples as their readers would."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "pytest", "tests/examples")


@nox.session(python="3.11")
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session(python="3.11")
def benchmarks(session: nox.Session) -> None:
    """Run the benchmarks that need no GPU; their JSON goes to benchmarks/results."""
    session.install("-e", ".[dev]")
    for name in ("import", "recogniser", "calibration_data", "convergence", "collection"):
        session.run("python", "-m", f"benchmarks.bench_{name}")
