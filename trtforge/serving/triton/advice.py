"""What Triton would take, and what would hurt later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trtforge.serving.triton.findings import Finding


def check_advice(config: Any) -> tuple[Finding, ...]:
    """Return what of a configuration Triton takes, and ought not to be served."""
    return tuple(_advice(config))


def _advice(config: Any) -> Iterator[Finding]:
    if config.HasField("dynamic_batching"):
        batching = config.dynamic_batching
        for policy in (batching.default_queue_policy, *batching.priority_queue_policy.values()):
            if not policy.max_queue_size:
                yield Finding(
                    "queue-size", "max_queue_size is 0, so the queue grows without limit", "trtforge"
                )
    elif config.max_batch_size > 0:
        yield Finding(
            "queue-size", "there is no dynamic_batching, so the queue grows without limit", "trtforge"
        )
    if not config.model_warmup:
        yield Finding(
            "warm-up", "there is no model_warmup, so the first requests wait for lazy loading", "trtforge"
        )
    if any(graph.HasField("graph_lower_bound") for graph in config.optimization.cuda.graph_spec):
        yield Finding(
            "graph-lower-bound",
            "graph_lower_bound replays a graph over memory that was not filled, which can change results",
            "trtforge",
        )
