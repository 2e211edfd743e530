import json
import re
import shutil
import subprocess

import pytest

from trtforge.cli import main
from trtforge.errors import ConfigError
from trtforge.serving.metrics import METRICS, PROCESS_ENDS
from trtforge.serving.monitoring import PANELS, dashboard, export


@pytest.fixture
def promtool():
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("Prometheus' promtool is not installed")
    return program


def test_the_command_writes_files_that_prometheus_accepts(tmp_path, promtool, capsys):
    assert main(["monitoring", "--export", str(tmp_path), "--deadline", "1.5", "--target", "worker:80"]) == 0
    assert "alerts.yaml" in capsys.readouterr().out
    said = subprocess.run([promtool, "check", "rules", "alerts.yaml"], cwd=tmp_path, capture_output=True)
    assert (said.returncode, b"7 rules found" in said.stdout) == (0, True)
    said = subprocess.run([promtool, "check", "config", "prometheus.yaml"], cwd=tmp_path, capture_output=True)
    assert said.returncode == 0, said
    assert "> 1.5\n        for: 2m" in (tmp_path / "alerts.yaml").read_text()
    assert 'targets: ["worker:80"]' in (tmp_path / "prometheus.yaml").read_text()
    assert json.loads((tmp_path / "dashboard.json").read_text()) == dashboard()


ALERT_TEST = """\
rule_files: [alerts.yaml]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - {series: 'trtforge_ready{pipeline="a"}', values: '1+0x4 0+0x20'}
      - {series: 'trtforge_ready{pipeline="b",job="j",instance="w:3"}', values: '1+0x4 stale'}
      - {series: 'up{job="j",instance="w:3"}', values: '1+0x4 0+0x20'}
      - {series: 'up{job="j",instance="db:1"}', values: '0+0x20'}
      - {series: 'trtforge_queue_oldest_age_seconds{pipeline="a",priority="standard"}', values: '3+0x30'}
      - {series: 'trtforge_queue_oldest_age_seconds{pipeline="a",priority="batch"}', values: '900+0x30'}
      - {series: 'trtforge_degrade_tier{pipeline="a"}', values: '1+0x80'}
      - {series: 'trtforge_requests_total{instance="w:1",outcome="device_lost"}', values: '_x8 1+0x20'}
      - {series: 'trtforge_process_ends_total{instance="w:2",reason="device_lost"}', values: '0+0x8 1+0x20'}
      - {series: 'trtforge_process_ends_total{instance="w:2",reason="killed"}', values: '0+9x20'}
      - series: 'trtforge_process_ends_total{instance="w:2",reason="corrupt_engine"}'
        values: '0+0x8 1+0x20'
      - {series: 'trtforge_engine_cache_requests_total{result="corrupt"}', values: '0+0x8 1+0x20'}
      - {series: 'trtforge_gpu_memory_used_bytes{gpu="0"}', values: '96+0x80'}
      - {series: 'trtforge_gpu_memory_total_bytes{gpu="0"}', values: '100+0x80'}
    alert_rule_test:
      - {eval_time: 1m, alertname: TrtforgeNotReady, exp_alerts: []}
      - eval_time: 3m
        alertname: TrtforgeNotReady
        exp_alerts: [{exp_labels: {severity: page, pipeline: a},
                      exp_annotations: {summary: 'pipeline a takes no requests'}}]
      - {eval_time: 1m, alertname: TrtforgeUnreachable, exp_alerts: []}
      - eval_time: 3m
        alertname: TrtforgeUnreachable
        exp_alerts: [{exp_labels: {severity: page, job: j, instance: 'w:3'},
                      exp_annotations: {summary: 'w:3 does not answer'}}]
      - {eval_time: 1m, alertname: TrtforgeQueueTooOld, exp_alerts: []}
      - eval_time: 3m
        alertname: TrtforgeQueueTooOld
        exp_alerts: [{exp_labels: {severity: page, pipeline: a},
                      exp_annotations: {summary: 'a request of a has waited 3s'}}]
      - {eval_time: 14m, alertname: TrtforgeDegraded, exp_alerts: []}
      - eval_time: 16m
        alertname: TrtforgeDegraded
        exp_alerts: [{exp_labels: {severity: ticket, pipeline: a},
                      exp_annotations: {summary: 'a has run its lighter model for a quarter of an hour'}}]
      - {eval_time: 1m, alertname: TrtforgeDeviceLost, exp_alerts: []}
      - eval_time: 2m15s
        alertname: TrtforgeDeviceLost
        exp_alerts: [{exp_labels: {severity: page, instance: 'w:1'},
                      exp_annotations: {summary: 'a process of w:1 lost its GPU'}},
                     {exp_labels: {severity: page, instance: 'w:2'},
                      exp_annotations: {summary: 'a process of w:2 lost its GPU'}}]
      - {eval_time: 1m, alertname: TrtforgeCorruptEngine, exp_alerts: []}
      - eval_time: 3m
        alertname: TrtforgeCorruptEngine
        exp_alerts: [{exp_labels: {severity: page, result: corrupt},
                      exp_annotations: {summary: 'an engine file was altered: find out by whom'}},
                     {exp_labels: {severity: page, reason: corrupt_engine, instance: 'w:2'},
                      exp_annotations: {summary: 'an engine file was altered: find out by whom'}}]
      - eval_time: 6m
        alertname: TrtforgeGpuMemory
        exp_alerts: [{exp_labels: {severity: ticket, gpu: "0"},
                      exp_annotations: {summary: 'GPU 0 is nearly full'}}]
"""


def test_alerts_fire_when_they_should_and_not_before(tmp_path, promtool):
    export(tmp_path)
    (tmp_path / "test.yaml").write_text(ALERT_TEST)
    said = subprocess.run(
        [promtool, "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stdout + said.stderr


def test_panels_ask_for_metrics_and_labels_that_there_are():
    known = {**METRICS, PROCESS_ENDS.name: PROCESS_ENDS}
    asked = set()
    for panel in PANELS:
        for query in panel.queries:
            for name in re.findall(r"trtforge_(\w+)", query.expression):
                base = re.sub(r"_(bucket|sum|count)$", "", name)
                metric = known.get(name) or known[base]
                asked.add(metric.name)
            for label in re.findall(r"{{(\w+)}}", query.legend):
                assert label in {each for metric in METRICS.values() for each in metric.labels} | {
                    "le",
                    "deployment",
                    "model",
                }
    assert asked == set(known)


def test_no_two_panels_of_the_dashboard_lie_on_each_other():
    made = dashboard()
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in made["panels"]]
    assert len(places) == len(set(places)) == len(PANELS) == 20
    assert {panel["gridPos"]["x"] + panel["gridPos"]["w"] for panel in made["panels"]} == {12, 24}
    assert [panel["id"] for panel in made["panels"]] == list(range(1, 21))


def test_what_cannot_be_watched_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="deadline must be positive, got 0"):
        export(tmp_path, deadline=0)
    with pytest.raises(ConfigError, match="target must be HOST:PORT, got 'worker'"):
        export(tmp_path, target="worker")
    for target in (
        "a b:80",
        'a"b:80',
        "worker:65536",
        "worker:0",
        "worker:\uff18\uff10",
        "::1:80",
        ":80",
        "http://worker:80",
    ):
        with pytest.raises(ConfigError, match="target must be HOST:PORT, got"):
            export(tmp_path, target=target)
    for target in ("worker:65535", "[::1]:80", "10.0.0.1:80"):
        export(tmp_path, target=target)
        assert f'targets: ["{target}"]' in (tmp_path / "prometheus.yaml").read_text()
