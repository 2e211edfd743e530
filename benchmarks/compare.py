"""Set two results of ``trtforge bench`` side by side: ``python -m benchmarks.compare A.json B.json``.

It is ``trtforge bench --compare A.json B.json``: unlike machines, versions and networks are refused, unless
``--anyway`` is given.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from trtforge.cli import main as run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return run_command(
        [
            "bench",
            *(word for word in given if word == "--anyway"),
            "--compare",
            *(word for word in given if word != "--anyway"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
