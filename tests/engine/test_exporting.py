import numpy as np
import pytest

from trtforge.engine import build
from trtforge.engine.exporting import export_module, is_module
from trtforge.errors import ConfigError, ModelError
from trtforge.model import model_inputs, model_outputs
from trtforge.profiles import OptimizationProfile

torch = pytest.importorskip("torch")
PROFILE = OptimizationProfile({"mel": ((1, 4, 8), (2, 4, 32), (4, 4, 64))})
MEL = np.random.default_rng(0).standard_normal((1, 4, 16)).astype(np.float32)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(4, 5, 3, padding=1)
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, mel, gain=None):
        logits = self.drop(self.conv(mel))
        return logits if gain is None else (logits * gain, logits)


def run(model, **feeds):
    session = pytest.importorskip("onnxruntime").InferenceSession(model.SerializeToString())
    return session.run(None, feeds)


def test_axes_that_profiles_vary_become_dynamic_and_the_numbers_agree():
    net = Net().train()
    model = export_module(net, {"mel": MEL}, profiles=[PROFILE], output_names=["logits"])
    assert [str(spec) for spec in model_inputs(model)] == ["mel: float32 [batch, 4, mel_2]"]
    assert model_outputs(model)[0].name == "logits"
    assert net.training
    assert net.drop.training
    mel = np.random.default_rng(1).standard_normal((3, 4, 50)).astype(np.float32)
    with torch.no_grad():
        wanted = net.eval()(torch.from_numpy(mel)).numpy()
    np.testing.assert_allclose(run(model, mel=mel)[0], wanted, atol=1e-5)


def test_examples_by_position_and_several_results():
    model = export_module(Net(), (MEL, np.float32([2.0])))
    assert [spec.name for spec in model_inputs(model)] == ["mel", "gain"]
    assert [spec.name for spec in model_outputs(model)] == ["output_0", "output_1"]
    assert model_inputs(model)[0].shape == (1, 4, 16)
    loud, plain = run(model, mel=MEL, gain=np.float32([2.0]))
    np.testing.assert_allclose(loud, 2 * plain, rtol=1e-6)


def test_inputs_of_any_number_are_named_by_the_example():
    class Sum(torch.nn.Module):
        def forward(self, *parts):
            return sum(parts[1:], parts[0])

    values = {name: np.full((1, 2), index, np.float32) for index, name in enumerate(["a", "b", "c"])}
    profile = OptimizationProfile({"b": ((1, 2), (1, 2), (4, 2))})
    model = export_module(Sum(), values, profiles=[profile], output_names=["total"])
    assert [str(spec) for spec in model_inputs(model)] == [
        "a: float32 [1, 2]", "b: float32 [batch, 2]", "c: float32 [1, 2]",
    ]  # fmt: skip
    assert run(model, **values)[0].tolist() == [[3.0, 3.0]]


def test_arguments_by_keyword_alone_keep_their_defaults():
    class Switched(torch.nn.Module):
        def forward(self, mel, length, scale=2.0, *, shifted=True):
            return mel * scale * length[:, None] + (1.0 if shifted else 0.0)

    model = export_module(Switched(), {"mel": np.ones((2, 3), np.float32), "length": np.array([1, 5])})
    assert [str(spec) for spec in model_inputs(model)] == ["mel: float32 [2, 3]", "length: int64 [2]"]
    given = {"mel": np.ones((2, 3), np.float32), "length": np.array([1, 5])}
    assert run(model, **given)[0].tolist() == [[3.0] * 3, [11.0] * 3]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "Odd returns nothing; networks give tensors"),
        ("text", "Odd returns str; networks give tensors"),
    ],
)
def test_results_that_are_no_tensors_are_refused(result, message):
    class Odd(torch.nn.Module):
        def forward(self, mel):
            return result

    with pytest.raises(ModelError, match=message):
        export_module(Odd(), {"mel": MEL})


def test_inputs_of_any_number_want_names():
    class Sum(torch.nn.Module):
        def forward(self, *parts):
            return sum(parts)

    with pytest.raises(ConfigError, match=r"forward takes \*inputs, so that example_inputs must name them"):
        export_module(Sum(), [MEL, MEL])


@pytest.mark.parametrize(
    ("examples", "settings", "message"),
    [
        (None, {}, "traced with an example, and none was given"),
        ({"gain": MEL}, {}, "example_inputs names gain; forward begins with mel"),
        ((MEL, MEL, MEL), {}, "has 3 inputs, forward takes 2"),
        ({"mel": MEL[:, :3]}, {}, r"Net cannot run on example_inputs mel torch.float32 \(1, 3, 16\): "),
        ({"mel": MEL.astype(np.float64)}, {}, "Net cannot run on example_inputs mel torch.float64 "),
        ({}, {}, "Net cannot run on example_inputs : TypeError: .*'mel'"),
        ({"mel": None}, {}, "example_inputs: 'mel' is no array: "),
        ("mel", {}, "example_inputs must be arrays by name or in order, got 'mel'"),
        (5, {}, "example_inputs must be arrays by name or in order, got 5"),
        ({"mel": MEL}, {"output_names": ["a", "b"]}, "output_names wants 1 names"),
        ({"mel": MEL[0]}, {"profiles": [PROFILE]}, r"a profile names input 'mel' of shape \(1, 4, 8\)"),
    ],
)
def test_an_example_that_does_not_fit_is_refused(examples, settings, message):
    with pytest.raises(ConfigError, match=message):
        export_module(Net(), examples, **settings)


def test_what_pytorch_says_is_in_the_error():
    class Odd(torch.nn.Module):
        def forward(self, mel):
            return torch.linalg.eigvals(mel)

    with pytest.raises(ModelError, match=r"PyTorch cannot export Odd: .*eigvals"):
        export_module(Odd(), {"mel": torch.eye(4)})


def test_a_module_becomes_an_engine():
    pytest.importorskip("tensorrt_rtx")
    net = Net()
    assert is_module(net)
    engine = build(net, profiles=[PROFILE], flavor="tensorrt_rtx", example_inputs={"mel": MEL})
    made = engine.manifest
    assert made.name == "Net"
    assert str(made.inputs[0]) == "mel: float32 [batch, 4, mel_2]"
    assert made.outputs[0].shape[0] == "batch"
    with pytest.raises(ConfigError, match="example_inputs was given for a network that is ONNX already"):
        build(export_module(net, {"mel": MEL}), flavor="tensorrt_rtx", example_inputs={"mel": MEL})
