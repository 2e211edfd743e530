import numpy as np
import pytest

from tests.calibration.test_collect import ClipFeeds, observed
from trtforge.calibration import choose, collect_torch
from trtforge.errors import CalibrationError, InputError
from trtforge.feeds import ArrayFeeds, Feed

torch = pytest.importorskip("torch")


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(4, 6, 3, padding=1, bias=False)
        self.heads = torch.nn.ModuleList([torch.nn.Linear(6, 2), torch.nn.Linear(6, 2)])
        self.drop = torch.nn.Dropout(0.5)
        with torch.no_grad():
            self.conv.weight.copy_(torch.arange(72).reshape(6, 4, 3) % 5 - 2)

    def forward(self, mel):
        rows = self.drop(torch.relu(self.conv(mel))).transpose(1, 2)
        return [head(rows) for head in self.heads]


def clips(count=6):
    rng = np.random.default_rng(0)
    return {f"clip-{i}": rng.integers(-8, 9, size=(4, 5 + 3 * i)).astype(np.float32) for i in range(count)}


def by_hand(values):
    weight = np.arange(72).reshape(6, 4, 3) % 5 - 2
    padded = np.pad(values, ((0, 0), (1, 1)))
    frames = np.stack([padded[:, at : at + 3] for at in range(values.shape[1])])
    return np.maximum(np.einsum("tck,ock->to", frames, weight), 0).astype(np.float32)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_counts_are_those_of_the_clips_alone(batch_size):
    some = clips()
    observations = collect_torch(Block(), ClipFeeds(some, batch_size))
    assert list(observations.tensors) == ["conv", "heads.0", "heads.1"]
    assert observations.tensors["conv"] == observed(*some.values())
    assert observations.tensors["heads.0"] == observed(*map(by_hand, some.values()))
    assert observations.tensors["heads.1"] == observations.tensors["heads.0"]
    assert observations.num_clips == 6
    assert choose(observations, "max")["conv"].amax == 8


def test_module_is_left_as_it_was():
    block = Block()
    block.heads.eval()
    collect_torch(block, ClipFeeds(clips(1)))
    assert (block.training, block.drop.training, block.heads.training) == (True, True, False)
    assert not block.conv._forward_pre_hooks


def test_digest_follows_the_weights():
    block, feeds = Block(), ClipFeeds(clips(1))
    first = collect_torch(block, feeds).model_sha256
    assert collect_torch(block, feeds).model_sha256 == first
    with torch.no_grad():
        block.heads[0].bias += 1
    assert collect_torch(block, feeds).model_sha256 != first
    assert collect_torch(block, feeds, module_sha256="e" * 64).model_sha256 == "e" * 64


def test_bfloat16():
    linear = torch.nn.Sequential(torch.nn.Linear(2, 2)).to(torch.bfloat16)

    class Cast(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = linear

        def forward(self, x):
            return self.inner(x.to(torch.bfloat16))

    observations = collect_torch(Cast(), ArrayFeeds([{"x": np.float32([[1, -0.5]])}]))
    assert observations.tensors["inner.0"] == observed(np.float32([1, -0.5]))


def test_non_finite_clip_is_left_out():
    some = clips(4)
    some["clip-2"][1, 1] = np.nan
    observations = collect_torch(Block(), ClipFeeds(some, 4), max_nonfinite_share=0.3)
    assert observations.num_clips == 3
    assert observations.rejected == {"clip-2": "1 of 44 values read by 'conv' are not finite"}
    with pytest.raises(CalibrationError, match="1 of 4 clips gave non-finite activations, more than the 1 %"):
        collect_torch(Block(), ClipFeeds(some, 4))


def test_refusals():
    feeds = ClipFeeds(clips(1))
    with pytest.raises(CalibrationError, match="ReLU has no layer to observe: Conv1d, "):
        collect_torch(torch.nn.ReLU(), feeds)
    with pytest.raises(InputError, match="an input 'wave', and forward takes mel"):
        collect_torch(Block(), ArrayFeeds([{"wave": np.ones((1, 4, 9), np.float32)}]))
    with pytest.raises(CalibrationError, match="the module fails on clip batch-0: "):
        collect_torch(Block(), ArrayFeeds([{"mel": np.ones((1, 5, 9), np.float32)}]))
    square = {"a": np.ones((4, 4), np.float32), "b": np.ones((4, 2), np.float32)}
    with pytest.raises(InputError, match=r"no axis of the inputs is certain .*: mel \[2, 4, 4\]"):
        collect_torch(Block(), ClipFeeds(square, 2))
    with pytest.raises(InputError, match="a PyTorch module was wanted, got str"):
        collect_torch("asr.pt", feeds)
    with pytest.raises(CalibrationError, match="the module fails on clip batch-0: can't convert"):
        collect_torch(Block(), [{"mel": np.array(["a"])}])


def test_attention_whose_projections_are_no_calls_is_warned_of():
    class Attending(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(4, 2, batch_first=True)
            self.last = torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.last(self.attention(x, x, x)[0])

    feeds = [{"x": np.ones((1, 3, 4), np.float32)}]
    missed = r"1 of 2 layers were not called, 'attention\.out_proj' first: .* with trtforge\.collect"
    with pytest.warns(RuntimeWarning, match=missed):
        assert list(collect_torch(Attending(), feeds).tensors) == ["last"]
    alone = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 1)
    with pytest.warns(RuntimeWarning, match=r"1 of 3 layers .* 'layers\.0\.self_attn\.out_proj' first"):
        collect_torch(alone, [{"src": feeds[0]["x"]}])
    only = Attending()
    only.last = torch.nn.Identity()
    with pytest.raises(CalibrationError, match=r"none of the module's layers ran.*\n.*trtforge\.collect"):
        collect_torch(only, feeds)


class Rows(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.project = torch.nn.Linear(4, 2)
        self.again = torch.nn.Linear(4, 2)

    def forward(self, rows, speaker=None):
        return {"first": self.project(input=rows), "both": (self.again(rows),)}


def test_layers_called_by_keyword_and_modules_that_give_dicts():
    values = np.float32([[1, 0, -3, 2]])
    observations = collect_torch(Rows(), [{"rows": values}])
    assert observations.tensors == {"project": observed(values), "again": observed(values)}


def test_inference_mode_inside_the_module():
    class Guarded(Rows):
        @torch.inference_mode()
        def forward(self, rows):
            doubled = rows * 2
            self.project(doubled)
            self.again(doubled.add_(1))

    observations = collect_torch(Guarded(), [{"rows": np.float32([[1, 0, -3, 2]])}])
    assert observations.tensors["project"] == observed(np.float32([2, 0, -6, 4]))
    assert observations.tensors["again"] == observed(np.float32([3, 1, -5, 5]))


def test_of_a_compiled_module_the_one_inside_runs():
    module, feeds = Rows(), [{"rows": np.float32([[1, 0, -3, 2]])}]
    compiled = torch.compile(module, backend="eager")
    assert collect_torch(compiled, feeds) == collect_torch(module, feeds)


def test_time_on_the_second_axis_and_inputs_without_time():
    # A clip as long as the last axis, which is no time, is cut like any other.
    rows = np.zeros((2, 9, 4), np.float32)
    rows[0, :, 0], rows[1, :4, 0] = 3, 5
    rows[1, 4:] = 100
    feeds = Batch(Feed({"rows": rows, "speaker": np.ones((2, 30), np.float32)}, ("a", "b"), (9, 4)))
    observations = collect_torch(Rows(), feeds)
    assert observations.tensors["project"] == observed(rows[0], rows[1, :4])


def test_clips_as_long_as_every_axis_are_not_padded():
    rows = np.ones((2, 4, 4), np.float32)
    observations = collect_torch(Rows(), Batch(Feed({"rows": rows}, ("a", "b"), (4, 4))))
    assert observations.tensors["project"] == observed(rows)


class Batch:
    digest = "0" * 64

    def __init__(self, feed):
        self.feed = feed

    def __len__(self):
        return len(self.feed.clip_ids)

    def __iter__(self):
        return iter([self.feed])
