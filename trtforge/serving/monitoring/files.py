"""Write the dashboard for Grafana, and rules and settings for Prometheus."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from trtforge._files import write_json, write_text
from trtforge.errors import ConfigError
from trtforge.serving.http_server import whole_number
from trtforge.serving.monitoring.panels import PANELS, Panel

# A name or address, one of IPv6 in brackets.
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_COLUMNS, _WIDTH, _HEIGHT = 2, 12, 8

_RULES = """\
# What to wake somebody for. Written by trtforge monitoring; {deadline} is the deadline it was given.
groups:
  - name: trtforge
    rules:
      - alert: TrtforgeNotReady
        expr: trtforge_ready == 0 or absent(trtforge_ready)
        for: 1m
        labels: {{severity: page}}
        annotations:
          summary: "pipeline {{{{ $labels.pipeline }}}} takes no requests"
      - alert: TrtforgeUnreachable
        expr: up == 0 and on (job, instance) last_over_time(trtforge_ready[1d])
        for: 1m
        labels: {{severity: page}}
        annotations:
          summary: "{{{{ $labels.instance }}}} does not answer"
      - alert: TrtforgeQueueTooOld
        expr: max by (pipeline) (trtforge_queue_oldest_age_seconds{{priority!="batch"}}) > {seconds}
        for: 2m
        labels: {{severity: page}}
        annotations:
          summary: "a request of {{{{ $labels.pipeline }}}} has waited {{{{ $value | humanizeDuration }}}}"
      - alert: TrtforgeDegraded
        expr: trtforge_degrade_tier >= 1
        for: 15m
        labels: {{severity: ticket}}
        annotations:
          summary: "{{{{ $labels.pipeline }}}} has run its lighter model for a quarter of an hour"
      - alert: TrtforgeDeviceLost
        expr: >-
          sum by (instance) (increase(trtforge_process_ends_total{{reason="device_lost"}}[5m])) > 0
          or sum by (instance) (increase(trtforge_requests_total{{outcome="device_lost"}}[5m])) > 0
          or sum by (instance) (trtforge_requests_total{{outcome="device_lost"}}
          unless trtforge_requests_total{{outcome="device_lost"}} offset 5m) > 0
        labels: {{severity: page}}
        annotations:
          summary: "a process of {{{{ $labels.instance }}}} lost its GPU"
      - alert: TrtforgeCorruptEngine
        expr: >-
          increase(trtforge_engine_cache_requests_total{{result="corrupt"}}[1h]) > 0
          or (trtforge_engine_cache_requests_total{{result="corrupt"}}
          unless trtforge_engine_cache_requests_total{{result="corrupt"}} offset 1h) > 0
          or increase(trtforge_process_ends_total{{reason="corrupt_engine"}}[1h]) > 0
        labels: {{severity: page}}
        annotations:
          summary: "an engine file was altered: find out by whom"
      - alert: TrtforgeGpuMemory
        expr: trtforge_gpu_memory_used_bytes / trtforge_gpu_memory_total_bytes > 0.95
        for: 5m
        labels: {{severity: ticket}}
        annotations:
          summary: "GPU {{{{ $labels.gpu }}}} is nearly full"
"""

_SCRAPE = """\
# A Prometheus beside one worker. Written by trtforge monitoring.
global:
  scrape_interval: 15s
rule_files:
  - alerts.yaml
scrape_configs:
  - job_name: trtforge
    static_configs:
      - targets: ["{target}"]
"""


def export(folder: Path, *, deadline: float = 2.0, target: str = "127.0.0.1:8080") -> tuple[Path, ...]:
    """Write ``dashboard.json``, ``alerts.yaml`` and ``prometheus.yaml``; return their paths.

    Parameters
    ----------
    folder : where; it is made if need be.
    deadline : of requests, in seconds: nothing should wait for longer.
    target : host and port of the worker.

    Raises
    ------
    ConfigError : ``deadline`` is not positive, or ``target`` is no host and port.
    """
    host, separator, port = target.rpartition(":")
    if not 0 < deadline < math.inf:
        raise ConfigError(f"deadline must be positive, got {deadline}", settings=("deadline",))
    number = whole_number(port)
    if not separator or not _HOST.fullmatch(host) or number is None or not 0 < number < 1 << 16:
        raise ConfigError(f"target must be HOST:PORT, got {target!r}", settings=("target",))
    paths = tuple(folder / name for name in ("dashboard.json", "alerts.yaml", "prometheus.yaml"))
    write_json(paths[0], dashboard())
    write_text(paths[1], _RULES.format(deadline=f"{deadline:g} s", seconds=f"{deadline:g}"))
    write_text(paths[2], _SCRAPE.format(target=target))
    return paths


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it; which Prometheus it asks is chosen there."""
    return {
        "uid": "trtforge",
        "title": "trtforge",
        "tags": ["trtforge"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
                {
                    "name": "pipeline",
                    "type": "query",
                    "datasource": _DATASOURCE,
                    "query": "label_values(trtforge_ready, pipeline)",
                    "includeAll": True,
                    "allValue": ".*",
                    "multi": True,
                    "current": {"text": "All", "value": "$__all"},
                    "refresh": 2,
                },
            ]
        },
        "panels": [_panel(index, panel) for index, panel in enumerate(PANELS)],
    }


_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _panel(index: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(index, _COLUMNS)
    custom = {"stacking": {"mode": "normal"}, "fillOpacity": 25} if panel.is_stacked else {}
    return {
        "id": index + 1,
        "title": panel.title,
        "description": panel.meaning,
        "type": panel.kind,
        "datasource": _DATASOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": custom}, "overrides": []},
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _DATASOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "format": {"heatmap": "heatmap", "table": "table"}.get(panel.kind, "time_series"),
                "instant": panel.kind == "table",
            }
            for place, query in enumerate(panel.queries)
        ],
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "heatmap":
        # The buckets come from Prometheus, and are named by their upper bounds.
        return {"calculate": False, "yAxis": {"unit": panel.unit}, "color": {"scheme": "Oranges"}}
    return {}
