"""What the real library does with damaged plans, in a process of its own; ours are refused before that."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.environment import describe_run
from tests.engine.networks import PROFILE, conv_net
from tests.gpu.needs import why_not
from trtforge._files import write_json
from trtforge.engine import Engine, build
from trtforge.errors import EngineIntegrityError
from trtforge.nvidia import gpus
from trtforge.runtime import Session

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120


_REASON = why_not()
pytestmark = pytest.mark.skipif(_REASON is not None, reason=str(_REASON))


def truncated(plan):
    return plan[: len(plan) // 2]


def flipped_at(share):
    def flip(plan):
        at = min(int(len(plan) * share), len(plan) - 1)
        return plan[:at] + bytes([plan[at] ^ 0x10]) + plan[at + 1 :]

    return flip


DAMAGES = {
    "whole": bytes,
    "truncated to half": truncated,
    "a bit flipped in the first bytes": flipped_at(0),
    "a bit flipped in the middle": flipped_at(0.5),
}


@pytest.fixture(scope="module")
def engine():
    return build(conv_net(), profiles=[PROFILE], flavor="tensorrt")


def in_a_child(plan, manifest):
    """Give a plan to the library in a new process; return what the process did, as plain values."""
    script = ROOT / "tests/gpu/faulty_plan.py"
    words = [sys.executable, script, plan, manifest.library, manifest.library_version]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    try:
        done = subprocess.run(
            list(map(str, words)),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return {"exit_code": None, "ended_by": f"nothing: it was stopped after {TIMEOUT_S} s"}
    lines = done.stdout.strip().splitlines()
    try:
        said = json.loads(lines[-1])
    except (IndexError, ValueError):
        said = None
    return {
        "exit_code": done.returncode,
        "ended_by": signal.Signals(-done.returncode).name if done.returncode < 0 else "itself",
        "last_step": [line for line in lines if not line.startswith("{")][-1:],
        "result": said,
        "stderr_tail": done.stderr[-2000:],
    }


def test_damaged_plans_never_reach_the_library_which_does_what_is_recorded(engine, tmp_path):
    record = {}
    for number, (name, damage) in enumerate(DAMAGES.items()):
        path = tmp_path / f"{number}.engine"
        engine.save(path)
        path.write_bytes(damage(engine.plan))
        if name != "whole":
            with pytest.raises(EngineIntegrityError):
                Engine.load(path)
            with pytest.raises(EngineIntegrityError):
                Session(path)
        record[name] = in_a_child(path, engine.manifest)
    folder = Path(os.environ.get("OUT", tmp_path))
    write_json(
        folder / "faulty_plans.json",
        {
            "format": "trtforge.faults/1",
            "library": f"{engine.manifest.library} {engine.manifest.library_version}",
            "gpu": str(gpus()[0]),
            "run": describe_run("pytest", ["tests/gpu/test_faults_on_gpu.py"], packages=("tensorrt",)),
            "plan_bytes": len(engine.plan),
            "what_the_library_did": record,
        },
    )
    print(f"\n{folder / 'faulty_plans.json'}\n{json.dumps(record, indent=2)}")
    assert record["whole"]["exit_code"] == 0, record["whole"]
    assert record["whole"]["result"]["context"] is True, record["whole"]
