import threading

import numpy as np
import pytest

from trtforge.errors import ExecutionError, InputError, OutOfMemoryError
from trtforge.model import TensorSpec
from trtforge.runtime import TorchRunner

torch = pytest.importorskip("torch")
X = np.arange(6, dtype=np.float32).reshape(2, 3)


class Net(torch.nn.Module):
    def __init__(self, returns="tuple"):
        super().__init__()
        self.drop = torch.nn.Dropout(0.9)
        self.scale = torch.nn.Parameter(torch.tensor(2.0))
        self.returns = returns

    def forward(self, x, y):
        twice, total = self.drop(self.scale * x), x + y
        if self.returns == "dict":
            return {"total": total, "twice": twice, "other": x}
        return (twice, total) if self.returns == "tuple" else [twice]


@pytest.mark.parametrize("returns", ["tuple", "dict"])
def test_it_runs_the_module_in_evaluation_mode(returns):
    module = Net(returns)
    with TorchRunner(module, ["x", "y"], ["twice", "total"]) as runner:
        given = {"y": np.ones((2, 3), np.float32), "x": X}
        result = runner(given)
        assert list(result) == ["twice", "total"]
        np.testing.assert_array_equal(result["twice"], 2 * X)
        np.testing.assert_array_equal(result["total"], X + 1)
        result["total"][:] = 0
        np.testing.assert_array_equal(given["x"], np.arange(6, dtype=np.float32).reshape(2, 3))
        assert not module.training
    with pytest.raises(ExecutionError, match="the runner is closed"):
        runner.run(given)
    runner.close()


def test_threads_share_it():
    runner, results = TorchRunner(Net(), ["x", "y"], ["twice", "total"]), {}

    def work(seed):
        results[seed] = [float(runner.run({"x": X + seed, "y": X})["twice"][0, 0]) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {seed: [2.0 * seed] * 20 for seed in range(4)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, r"takes inputs \['x', 'y'\], got \['x'\]; missing \['y'\]"),
        ({"x": X.tolist(), "y": X}, "'x' must be a NumPy array, got list"),
        ({"x": X, "y": X.astype(np.float64)}, "input 'y' has dtype float64, wanted y: float32"),
        ({"x": X, "y": X[0]}, r"input 'y' has shape \(3,\), wanted"),
        ({"x": X.astype(">f4"), "y": X}, "input 'x' has dtype >f4, which PyTorch lacks"),
        ({"x": np.array([["a"]]), "y": X}, "input 'x' has dtype <U1, which PyTorch lacks"),
    ],
)
def test_inputs_that_do_not_fit_are_named(arrays, message):
    runner = TorchRunner(Net(), ["x", TensorSpec("y", "float32", ("batch", 3))], ["twice", "total"])
    with pytest.raises(InputError, match=message):
        runner.run(arrays)


def test_axes_of_one_name_must_agree():
    specs = [TensorSpec(name, "float32", ("batch", 3)) for name in ("x", "y")]
    with pytest.raises(InputError, match=r"axis 0 \(batch\) of input 'y' is 1, but axis 0 of 'x' has"):
        TorchRunner(Net(), specs, ["twice", "total"]).run({"x": X, "y": X[:1]})


def test_what_the_module_does_wrong_is_said():
    with pytest.raises(ExecutionError, match=r"the module failed on x \(2, 3\), y \(2, 2\): RuntimeError"):
        TorchRunner(Net(), ["x", "y"], ["twice", "total"]).run({"x": X, "y": X[:, :2]})
    with pytest.raises(ExecutionError, match=r"returned 1 values, the outputs are \['twice', 'total'\]"):
        TorchRunner(Net("list"), ["x", "y"], ["twice", "total"]).run({"x": X, "y": X})
    with pytest.raises(ExecutionError, match=r"returned \['other', 'total', 'twice'\], without \['half'\]"):
        TorchRunner(Net("dict"), ["x", "y"], ["half"]).run({"x": X, "y": X})
    with pytest.raises(InputError, match="outputs must be different names, one at least, got"):
        TorchRunner(Net(), ["x", "y"], ["twice", "twice"])


def test_no_memory_for_the_inputs_is_out_of_memory(monkeypatch):
    def refuse(self, device):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    runner = TorchRunner(Net(), ["x", "y"], ["twice", "total"])
    monkeypatch.setattr(torch.Tensor, "to", refuse)
    with pytest.raises(OutOfMemoryError, match="no GPU memory left to run the module: CUDA out of memory"):
        runner.run({"x": X, "y": X})
