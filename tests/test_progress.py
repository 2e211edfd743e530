"""Stages tell how far they are, on a terminal and elsewhere."""

import io
import re
import threading
import time

import pytest
from rich.console import Console

from trtforge._progress import Stages


def test_a_long_stage_speaks_where_there_is_no_terminal():
    out = io.StringIO()
    stages = Stages(Console(file=out, width=80), every_s=0.05)
    with stages.stage("calibrate") as stage:
        deadline = time.monotonic() + 10
        while out.getvalue().count("so far") < 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        stage(3, 12)
        while "3 of 12" not in out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        stage.note("12 clips")
    first, *others = out.getvalue().splitlines()
    assert re.fullmatch(r"… calibrate  \S+ s so far", first)
    assert re.fullmatch(r"… calibrate  3 of 12, \S+ s so far", others[-2])
    assert re.fullmatch(r"✓ calibrate  12 clips  \S+ s", others[-1])
    assert not any(thread.name == "trtforge-progress" for thread in threading.enumerate())


def test_a_short_stage_says_its_outcome_alone():
    out = io.StringIO()
    with Stages(Console(file=out, width=80)).stage("load") as stage:
        stage(1, 1)
        stage.note("20 clips")
    assert re.fullmatch(r"✓ load       20 clips  \S+ s\n", out.getvalue())


def test_a_stage_that_fails_falls_silent():
    out = io.StringIO()
    stages = Stages(Console(file=out, width=80), every_s=0.05)
    with pytest.raises(ValueError, match="no such clip"), stages.stage("calibrate"):
        raise ValueError("no such clip")
    assert not any(thread.name == "trtforge-progress" for thread in threading.enumerate())
    assert "✓" not in out.getvalue()
    assert stages.seconds == {}
