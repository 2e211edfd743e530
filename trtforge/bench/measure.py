"""Run contenders over networks: each in a process of its own, taking turns, at every shape."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from trtforge._progress import OnProgress
from trtforge._turns import timing_turn
from trtforge.bench.accuracy import measure_accuracy
from trtforge.bench.config import BenchConfig, Case
from trtforge.bench.contenders import Contender, default_contenders
from trtforge.bench.environment import cache_bytes, git_commit, machine_facts, package_versions
from trtforge.bench.member import Member
from trtforge.bench.result import FORMAT
from trtforge.bench.rows import Turn, summarize
from trtforge.bench.subject import Subject
from trtforge.errors import ConfigError, TrtforgeError
from trtforge.model import load_model, model_digest
from trtforge.nvidia import gpus
from trtforge.nvidia.telemetry import Telemetry

_PACKAGES = ("trtforge", "numpy", "onnx", "onnxruntime", "tensorrt", "cuda-python", "nvidia-ml-py")
# Roughly so many steps that progress is shown in: loading, warming up, and each round.
_STEPS_BEFORE = 2

Note = Callable[[str], None]


def run_bench(
    subjects: Sequence[Subject],
    contenders: Sequence[Contender] | None = None,
    config: BenchConfig | None = None,
    *,
    pythons: Mapping[str, str] | None = None,
    folder: Path | None = None,
    command: str | None = None,
    note: Note = lambda text: None,
    on_part: Callable[[dict[str, Any]], None] | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Measure every contender on every network.

    Of each network all contenders are loaded first, each in a process of its own. At every shape they warm up
    until their times settle, and then take turns in rounds, in an order that rotates. A turn is calls that
    are waited for one by one, which give latencies, and a burst of calls that are not, which gives throughput
    and energy. Inputs rotate through more memory than the last cache holds. Clocks, power and temperature of
    the GPU are read and never set.

    Parameters
    ----------
    subjects : the networks.
    contenders : who takes part; by default those that use this machine's GPU, or else its CPU. One that lacks
        something is left out, and the result says what it needs.
    config : rounds and times; a subject may have its own.
    pythons : library to the interpreter that has it, where that is not this one.
    folder : where built engines are kept, and taken from another time; by default they are thrown away.
    command : what was typed, for the record.
    note : told each step in words.
    on_part : called after each shape with the result so far, so that a run that is cut leaves something.
    on_progress : called with steps done and steps in all.

    Returns
    -------
    Plain JSON values of the format ``trtforge.bench/1``: ``networks``, ``contenders`` with times to build and
    load, memory and accuracy, and ``rows``, one for each network, contender and shape.

    Raises
    ------
    ConfigError : there is no network, two have one name, or one does not take its cases.
    ModelError : a network cannot be read.
    """
    names = [subject.name for subject in subjects]
    if not names or len(set(names)) < len(names):
        raise ConfigError(
            f"networks must be one or more, each of its own name, got {names}",
            hint="rename a file, or measure them one by one and merge the results",
        )
    for subject in subjects:
        subject.check()
    config, has_gpu = config or BenchConfig(), bool(gpus())
    chosen = tuple(contenders or default_contenders(has_gpu=has_gpu))
    steps = _Steps(subjects, len(chosen), config, on_progress)
    members: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        telemetry = stack.enter_context(Telemetry())
        engines = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trtforge-")))
        engines.mkdir(parents=True, exist_ok=True)
        run = {
            "command": command,
            "commit": git_commit(Path.cwd()),
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
            "machine": machine_facts(),
            "gpu_limits": telemetry.limits(),
            "telemetry_missing": telemetry.missing if has_gpu else None,
            "versions": package_versions(_PACKAGES),
            "config": asdict(config),
        }
        networks: list[dict[str, Any]] = []

        def so_far() -> dict[str, Any]:
            parts = {"networks": networks, "contenders": members, "rows": rows}
            return {
                "format": FORMAT,
                "runs": [run],
                **{key: [{"run": 0, **row} for row in part] for key, part in parts.items()},
            }

        for subject in subjects:
            networks.append(_about(subject, config))
            own = _Stage(subject, subject.config or config, has_gpu, telemetry, note, steps)
            with closing(own.measure(chosen, pythons or {}, engines)) as found:
                for about, timed in found:
                    members += about
                    rows += timed
                    if on_part is not None and timed:
                        on_part(so_far())
        return so_far()


def _about(subject: Subject, config: BenchConfig) -> dict[str, Any]:
    network = load_model(subject.model)
    return {
        "network": subject.name,
        "about": subject.about,
        "sha256": model_digest(network),
        "inputs": subject.inputs_are,
        "num_parameters": sum(
            int(np.prod(tensor.dims)) for tensor in network.graph.initializer if tensor.dims
        ),
        "profiles": (subject.config or config).profiles,
        "optimization_level": (subject.config or config).optimization_level,
    }


class _Steps:
    """Counts steps over all networks."""

    def __init__(
        self, subjects: Sequence[Subject], num_contenders: int, config: BenchConfig, report: OnProgress | None
    ) -> None:
        rounds = [(subject.config or config).rounds for subject in subjects]
        cases = [len(subject.timed or subject.cases) for subject in subjects]
        per_case = [count * (_STEPS_BEFORE + turns) for count, turns in zip(cases, rounds, strict=True)]
        self._total = num_contenders * sum(1 + steps for steps in per_case)
        self._done, self._report = 0, report

    def __call__(self, count: int = 1) -> None:
        self._done = min(self._total, self._done + count)
        if self._report is not None:
            self._report(self._done, self._total)


class _Stage:
    """One network: brings its contenders up, and lets them take turns."""

    def __init__(
        self,
        subject: Subject,
        config: BenchConfig,
        has_gpu: bool,
        telemetry: Telemetry,
        note: Note,
        steps: _Steps,
    ) -> None:
        self._subject, self._config, self._has_gpu = subject, config, has_gpu
        self._telemetry, self._note, self._steps = telemetry, note, steps

    def measure(
        self, contenders: Sequence[Contender], pythons: Mapping[str, str], folder: Path
    ) -> Generator[tuple[list[dict[str, Any]], list[dict[str, Any]]], None, None]:
        """Yield what was found of each contender, and then, shape by shape, of each contender at it."""
        subject, found = self._subject, list[dict[str, Any]]()
        specs = subject.specs()
        with ExitStack() as stack:
            members: list[Member] = []
            for contender in contenders:
                about: dict[str, Any] = {"network": subject.name, "contender": contender.name}
                missing = subject.lacks(contender, has_gpu=self._has_gpu)
                if missing is None:
                    self._note(f"{subject.name}: loading {contender.title}")
                    try:
                        member = stack.enter_context(
                            Member(
                                subject,
                                contender,
                                specs,
                                self._config,
                                python=pythons.get(contender.library),
                                folder=folder,
                                telemetry=self._telemetry,
                            )
                        )
                        members.append(member)
                        about |= member.facts
                    except TrtforgeError as error:
                        about["failed"] = error.message
                        self._note(f"{subject.name}: {contender.title} failed: {error.message}")
                else:
                    about["left_out"] = missing
                found.append(about)
                self._steps()
            if members:
                self._note(f"{subject.name}: comparing outputs")
                accuracy = measure_accuracy(subject, specs, members, self._config)
                for about in found:
                    about |= accuracy.get(about["contender"], {})
            yield found, []
            for case in subject.timed or subject.cases:
                yield [], self._measure_case(case, specs, members)

    def _measure_case(self, case: Case, specs: Any, members: Sequence[Member]) -> list[dict[str, Any]]:
        subject, config = self._subject, self._config
        frame_s = config.frame_s or subject.frame_s()
        head = {"network": subject.name, "batch": case.batch, "frames": case.frames}
        rows: dict[str, dict[str, Any]] = {
            member.contender.name: {**head, "contender": member.contender.name} for member in members
        }
        ready: list[Member] = []
        turns: dict[str, list[Turn]] = {name: [] for name in rows}
        with tempfile.NamedTemporaryFile(suffix=".npz") as file:
            np.savez(file, **subject.input_rows(case, specs[0]))  # type: ignore[arg-type]
            file.flush()
            for member in members:
                row = rows[member.contender.name]
                self._note(f"{subject.name}, batch {case.batch}: warming up {member.contender.title}")
                cache = cache_bytes(0 if self._uses_gpu(member) else None)
                try:
                    row |= member.ask("prepare", inputs=file.name, batch=case.batch, cache_bytes=cache)
                    settled = member.ask("settle", limit_s=config.settle_s, tolerance=config.settle_tolerance)
                except TrtforgeError as error:
                    row["failed"] = error.message
                else:
                    row["warm_up"] = {key: settled[key] for key in ("seconds", "calls", "is_settled")}
                    ready.append(member)
                self._steps(_STEPS_BEFORE)
        self._note(f"{subject.name}, batch {case.batch}: {config.rounds} rounds")
        for turn in range(config.rounds):
            shift = turn % max(1, len(ready))
            for member in ready[shift:] + ready[:shift]:
                name = member.contender.name
                if "failed" not in rows[name]:
                    try:
                        turns[name].append(self._take_turn(member, turn))
                    except TrtforgeError as error:
                        rows[name]["failed"] = error.message
                self._steps()
        for member in ready:
            row = rows[member.contender.name]
            if "failed" not in row:
                row |= summarize(turns[member.contender.name], case, frame_s=frame_s)
                row["device_bytes"] = member.device_bytes
                try:
                    member.ask("release")
                except TrtforgeError as error:
                    self._note(f"{subject.name}: {member.contender.title}: {error.message}")
        return list(rows.values())

    def _take_turn(self, member: Member, turn: int) -> Turn:
        with timing_turn():
            return self._time(member, turn)

    def _time(self, member: Member, turn: int) -> Turn:
        config = self._config
        first = turn * config.max_calls
        one_by_one = member.ask("singles", limit_s=config.latency_s, max_calls=config.max_calls, first=first)
        call_ms = float(np.median(one_by_one["device_ms"] or one_by_one["wall_ms"]))
        energy = self._telemetry.energy_j() if self._uses_gpu(member) else None
        burst = member.ask("burst", seconds=config.burst_s, call_ms=call_ms, first=first)
        state = self._telemetry.state()
        after = self._telemetry.energy_j() if energy is not None else None
        return Turn(
            wall_ms=one_by_one["wall_ms"],
            device_ms=one_by_one["device_ms"],
            calls=burst["calls"],
            seconds=burst["seconds"],
            energy_j=None if energy is None or after is None else after - energy,
            host_bytes=burst.get("rss_bytes"),
            gpu_state=state,
        )

    def _uses_gpu(self, member: Member) -> bool:
        return self._has_gpu and member.contender.library != "onnxruntime"
