"""What watches a worker: a dashboard for Grafana and rules for Prometheus."""

from trtforge.serving.monitoring.files import dashboard, export
from trtforge.serving.monitoring.panels import PANELS, Panel, Query

__all__ = ["PANELS", "Panel", "Query", "dashboard", "export"]
