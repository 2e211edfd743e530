"""Errors say what to do, in this process and from another."""

import pickle

import pytest

from trtforge.errors import ConfigError, EngineIncompatibleError, PrecisionError, TrtforgeError


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("a is wrong", hint="mend a", settings=("a",)),
        PrecisionError("not INT8", layers=("first", "last"), hint="see the log"),
        EngineIncompatibleError("another library", have="8.6.0", want="10.1"),
    ],
)
def test_an_error_comes_out_of_another_process_as_it_was(error: TrtforgeError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.args, vars(again)) == (error.args, vars(error))
