import json
import threading
from dataclasses import replace

import pytest

from benchmarks import bench_serving
from benchmarks.serving.load import Sent, send
from trtforge.model import load_model, model_inputs, model_outputs
from trtforge.serving.http_server import HttpServer, json_response

# Ticks come fast and holds are short, so that a run of seconds goes through all that one of minutes does.
QUICK = {"tick_seconds": 0.2, "dwell_seconds": 0.5, "hold_seconds": 1.0}


@pytest.fixture(scope="module")
def audio():
    return bench_serving.bodies(4)


def test_overload_loses_no_request_and_calm_brings_the_full_model_back(tmp_path, audio):
    settings = replace(bench_serving.settings_in(tmp_path, degrade=QUICK), max_batch=2)
    found = bench_serving.overload(settings, audio, rate=100.0, seconds=3.0, calm_rate=2.0, calm_seconds=40.0)
    sent = found["overload"]
    assert sent["sent"] == (
        sent["answered_full"] + sent["answered_lighter"] + sent["refused"] + sent["missed_deadline"]
    )
    assert (sent["lost"], sent["other"]) == (0, 0)
    assert sent["answered_lighter"] > 0
    assert sent["refused"] > 0
    assert found["tier_changes_under_load"][0][1] in ("lighter", "shed")
    assert found["tier_changes_afterwards"][-1][1] == "full"
    assert found["calm"]["answered_full"] > 0
    assert found["calm"]["lost"] == 0
    result = {
        "capacity_per_second": {"full": 1.0, "lighter": 2.0},
        "share_of_lighter_capacity": 0.95,
        "metrics": {"microseconds_of_calls": 9.0, "calls_percent_of_median": 0.01, "increase_percent": -0.2},
        "run": {"command": "c", "date": "d", "machine": {"processor": "p", "num_cpus": 2}},
        **found,
    }
    lines = bench_serving.summary(result).splitlines()
    assert "| share of the lighter model's capacity | 95.0 % |" in lines
    assert f"| sent under load | {sent['sent']} |" in lines
    assert lines[-1].startswith("3 seconds of load and ")
    assert "of calm, deadline 2 s, by `c` on p, 2 cores, d; the load" in lines[-1]


def test_what_metrics_add_is_measured(audio):
    found = bench_serving.metric_cost(audio[:1], rounds=2)
    assert found["requests"] == 2
    assert found["num_metrics"] == 20
    assert 0 < found["microseconds_of_calls"] < 1e6 * found["median_seconds_without"]


def test_requests_are_sent_whether_or_not_others_were_answered():
    together, most = 0, []
    open_ = threading.Event()

    def respond(request):
        nonlocal together
        together += 1
        most.append(together)
        if together >= 10:
            open_.set()
        open_.wait(5)
        return json_response(200, {"tier": "full"})

    server = HttpServer(respond, ("127.0.0.1", 0))
    server.start()
    sent = send(server.address[1], "/", [b"x"], rate=200.0, seconds=0.5)
    server.close()
    assert max(most) >= 10
    assert {(each.status, each.tier) for each in sent} == {(200, "full")}
    assert len(sent) == len(most)


def test_ends_of_requests_are_told_apart():
    ends = [(200, "full", False), (200, "lighter", False), (503, "", True), (504, "", True), (0, "", False)]
    sent = [Sent(1.0, 1.5, *end) for end in ends]
    found = bench_serving._counts([*sent, Sent(1.0, 3.0, 503, "", False)])
    assert found == {
        "sent": 6,
        "answered_full": 1,
        "answered_lighter": 1,
        "refused": 1,
        "missed_deadline": 1,
        "lost": 1,
        "other": 0,
        "answer_seconds_p50": 0.5,
        "answer_seconds_p99": 0.5,
        "answer_seconds_max": 0.5,
        "refusal_seconds_p50": 0.5,
        "refusal_seconds_p99": 0.5,
    }


def test_the_stand_in_has_the_interface_of_the_recogniser(tmp_path):
    settings = bench_serving.settings_in(tmp_path)
    lighter, full = load_model(settings.lighter), load_model(settings.model)
    assert model_inputs(lighter) == model_inputs(full)
    [mine], [theirs] = model_outputs(lighter), model_outputs(full)
    assert (mine.name, mine.dtype, mine.shape[2]) == (theirs.name, theirs.dtype, theirs.shape[2])
    assert json.dumps(settings.degrade) == "{}"
