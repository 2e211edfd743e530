"""Join Ray where it runs, or start it on this machine."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from trtforge._optional import require
from trtforge.errors import ConfigError
from trtforge.serving.http_server import whole_number

_ANSWER_SECONDS = 10.0


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
    ConfigError : nothing answers at ``address``.
    MissingExtraError : Ray is not installed.
    """
    ray = require("ray", purpose)
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address:
            _look_for(address)
            ray.init(address=address, **quiet)
        else:
            ray.init(include_dashboard=False, **quiet)
        logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def _look_for(address: str) -> None:
    """Refuse a host and port where nothing listens, as Ray itself would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    number = whole_number(port)
    if not host or number is None:  # as "auto": Ray knows what it means
        return
    try:
        socket.create_connection((host.strip("[]"), number), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"no Ray cluster answers at {address}: {error}",
            hint="ray status says where one runs; leave the address out to start Ray on this machine",
            settings=("address",),
        ) from error
