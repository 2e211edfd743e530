import threading

import numpy as np
import onnx.parser
import pytest

from trtforge.errors import DeviceLostError, ExecutionError, InputError, ProfileError
from trtforge.runtime import Batcher, BatchingRule, Bucket, OnnxRunner

RULE = BatchingRule((Bucket(8, 4), Bucket(16, 2)), max_wait=0.01)


class Doubler:
    """Gives twice its input, time on axis 1; refuses rows with a -13 in them."""

    def __init__(self, error=ExecutionError):
        self.shapes, self.error = [], error

    def __call__(self, arrays):
        x = arrays["x"]
        self.shapes.append(x.shape)
        if (x == -13).any():
            raise self.error("thirteen")
        return {"y": 2 * x.swapaxes(1, 2), "sum": x.sum(axis=(1, 2))[:, None]}


def lengths(name, frames):
    return list(frames) if name == "y" else None


def row(length, value):
    return np.full((3, length), value, np.float32)


def test_results_come_in_order_of_submission_cut_to_their_length():
    runner = Doubler()
    sizes = np.random.default_rng(0).integers(1, 17, 50).tolist()
    with Batcher(runner, RULE, input_name="x", output_lengths=lengths) as batcher:
        results = list(batcher.map(row(size, index) for index, size in enumerate(sizes)))
        counts = batcher.counts
    for index, (size, result) in enumerate(zip(sizes, results, strict=True)):
        np.testing.assert_array_equal(result["y"], np.full((1, size, 3), 2 * index))
        assert result["sum"].tolist() == [[3 * size * index]]
    assert set(runner.shapes) <= {(n, 3, 8) for n in range(1, 5)} | {(n, 3, 16) for n in (1, 2)}
    assert (counts["rows"], counts["frames"]) == (50, sum(sizes))
    run = sum(shape[0] * shape[2] for shape in runner.shapes)
    assert counts["padded_frames"] == run - sum(sizes)
    assert counts["batches"] == len(runner.shapes) < 50


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_a_network_that_takes_lengths_gets_those_of_the_rows(dtype):
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        net (float[batch, 3, frames] x, {dtype}[batch] n) => (float[batch, frames] y, {dtype}[batch] m)
        <int64[1] axis = {{1}}> {{ y = ReduceSum<keepdims = 0>(x, axis)
                                   m = Identity(n) }}
    """)
    rule = BatchingRule((Bucket(8, 4),), max_wait=3600)
    with OnnxRunner(model) as runner, Batcher(runner, rule, input_name="x", lengths_name="n") as batcher:
        results = list(batcher.map(row(size, 1) for size in (3, 8, 1, 5)))
        assert batcher.counts["batches"] == 1
    assert [result["m"].tolist() for result in results] == [[3], [8], [1], [5]]
    assert results[0]["m"].dtype == dtype
    assert [result["y"].sum() for result in results] == [9, 24, 3, 15]


def test_a_lone_request_does_not_wait_for_others():
    with Batcher(Doubler(), RULE, input_name="x") as batcher:
        assert batcher.submit(row(5, 1)).result(timeout=10)["y"].shape == (1, 8, 3)


def test_closing_runs_what_waits_and_refuses_more():
    rule = BatchingRule(RULE.buckets, max_wait=3600)
    batcher = Batcher(Doubler(), rule, input_name="x")
    futures = [batcher.submit(row(5, value)) for value in (1, 2)]
    batcher.close()
    batcher.close()
    assert [future.result(timeout=0)["y"][0, 0, 0] for future in futures] == [2, 4]
    with pytest.raises(ExecutionError, match="closed"):
        batcher.submit(row(5, 1))


def test_a_row_that_fails_takes_no_other_with_it():
    rule = BatchingRule(RULE.buckets, max_wait=3600)
    with Batcher(Doubler(), rule, input_name="x") as batcher:
        futures = [batcher.submit(row(5, value)) for value in (1, -13, 2, 3)]
        with pytest.raises(ExecutionError, match="thirteen"):
            futures[1].result(timeout=10)
        assert [futures[index].result(timeout=10)["y"][0, 0, 0] for index in (0, 2, 3)] == [2, 4, 6]
        assert batcher.counts["rows_run_alone"] == 4


def test_a_lost_gpu_is_not_tried_again():
    runner = Doubler(DeviceLostError)
    with Batcher(runner, BatchingRule(RULE.buckets, max_wait=3600), input_name="x") as batcher:
        futures = [batcher.submit(row(5, value)) for value in (1, -13, 2, 3)]
        for future in futures:
            with pytest.raises(DeviceLostError):
                future.result(timeout=10)
    assert len(runner.shapes) == 1


def test_cancelled_requests_are_not_run():
    runner = Doubler()
    batcher = Batcher(runner, BatchingRule(RULE.buckets, max_wait=3600), input_name="x")
    futures = [batcher.submit(row(5, value)) for value in (1, 2)]
    assert futures[0].cancel()
    batcher.close()
    assert runner.shapes == [(1, 3, 8)]
    assert futures[1].result(timeout=0)["y"][0, 0, 0] == 4


def test_what_cannot_be_run_is_refused_when_it_is_submitted():
    with Batcher(Doubler(), RULE, input_name="x") as batcher:
        with pytest.raises(ProfileError, match="17 frames is longer than the longest bucket, 16"):
            batcher.submit(row(17, 1))
        with pytest.raises(InputError, match=r"1 frame or more, got ndarray \[3, 0\]"):
            batcher.submit(row(0, 1))


def test_outputs_without_rows_are_refused():
    with (
        Batcher(lambda _: {"y": np.zeros(())}, RULE, input_name="x") as batcher,
        pytest.raises(ExecutionError, match=r"output 'y' has shape \[\] for a batch of 1 rows"),
    ):
        batcher.submit(row(5, 1)).result(timeout=10)


def test_threads_may_share_it():
    results = {}
    with Batcher(Doubler(), RULE, input_name="x", output_lengths=lengths) as batcher:

        def ask(value):
            results[value] = [
                batcher.submit(row(5, value)).result(timeout=30)["y"][0, 0, 0] for _ in range(20)
            ]

        threads = [threading.Thread(target=ask, args=(value,)) for value in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {value: [2 * value] * 20 for value in range(6)}


def test_another_rule_holds_from_the_next_batch_on():
    sizes = []

    def run(arrays):
        sizes.append(len(arrays["x"]))
        return {"y": arrays["x"]}

    rule = BatchingRule((Bucket(8, 4),), max_wait=0.0)
    with Batcher(run, rule, input_name="x") as batcher:
        batcher.rule = BatchingRule((Bucket(8, 2),), max_wait=60.0)
        futures = [batcher.submit(np.ones((1, 3), np.float32)) for _ in range(4)]
        for future in futures:
            future.result(5)
        assert sizes == [2, 2]
        with pytest.raises(ProfileError, match="would become 4 frames, and requests of up to 8 may wait"):
            batcher.rule = BatchingRule((Bucket(4, 2),))
        assert batcher.rule.buckets == (Bucket(8, 2),)
