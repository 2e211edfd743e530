import argparse
import subprocess
import sys

import pytest

from benchmarks.apart import add_options, in_torch, run_apart


def options(*words):
    parser = argparse.ArgumentParser()
    add_options(parser, timeout_s=60.0)
    return parser.parse_args(words)


def test_what_a_process_says_comes_back_and_why_it_failed():
    done = run_apart("json.tool", "--help", (), options())
    assert "usage: python -m json.tool" in done.said.replace("__main__.py", "python -m json.tool")
    assert done.reason is None
    failed = run_apart("benchmarks.no_such", "x", (), options())
    assert list(failed.reason or ()) == ["failed"]
    assert failed.reason["failed"].endswith(": No module named benchmarks.no_such")
    assert ": No module named benchmarks.no_such" in failed.complained


def test_a_process_that_takes_too_long_is_ended():
    args = options("--timeout-s", "0.3")
    assert run_apart("timeit", "import time; time.sleep(9)", (), args).reason == {
        "failed": "not done after 0.3 s"
    }


@pytest.mark.parametrize("contender", ["modelopt"])
def test_modelopt_needs_an_interpreter_of_its_own(contender):
    reason = "no interpreter with modelopt was given (--modelopt-python)"
    assert run_apart("json.tool", contender, (), options()).reason == {"skipped": reason}
    args = options("--modelopt-python", "/bin/echo")
    assert run_apart("a.b", contender, ("x",), args).said == "-m a.b modelopt x\n"


def test_another_interpreter_is_given_words_and_input_and_its_failure_is_ours():
    assert in_torch("/bin/echo", "a.b", "x") == "-m a.b x\n"
    assert in_torch(None, "json.tool", "--compact", given='{"new": 3}') == '{"new":3}\n'
    with pytest.raises(subprocess.CalledProcessError, match="returned non-zero exit status 1") as failed:
        in_torch(None, "benchmarks.no_such")
    assert failed.value.cmd == [sys.executable, "-m", "benchmarks.no_such"]
