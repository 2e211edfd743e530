"""Join Ray where it runs, or start it on this machine."""

from __future__ import annotations

import logging
import os
from typing import Any

from trtforge._optional import require


def ray_here(purpose: str, *, address: str | None = None) -> Any:
    """Return the ``ray`` module, joined to a cluster.

    Where this process has not joined one, it starts Ray on this machine alone, quietly and without the usage
    reports that Ray sends by default, or joins the cluster at ``address``.

    Parameters
    ----------
    purpose : what needs it, as the end of the sentence "ray is needed to ...".
    address : of a cluster.

    Raises
    ------
    MissingExtraError : Ray is not installed.
    """
    ray = require("ray", purpose)
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address:
            ray.init(address=address, **quiet)
        else:
            ray.init(include_dashboard=False, **quiet)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
