import numpy as np
import pytest
import soundfile

from tests.bundled import MODEL, TEST_SET, some_clips
from tests.graph.test_receptive_field import convolutions
from trtforge.audio import LogMel, decode_audio
from trtforge.errors import ClipError, ConfigError, InputError
from trtforge.graph import receptive_field
from trtforge.runtime import OnnxRunner
from trtforge.speech import CtcDecoder, WindowPlan, framewise, stitch, transcribe_long

FEATURES, DECODER, FIELD = LogMel.for_model(MODEL), CtcDecoder.for_model(MODEL), receptive_field(MODEL)


@pytest.fixture(scope="module")
def runner():
    with OnnxRunner(MODEL) as runner:
        yield runner


@pytest.fixture(scope="module")
def minute(tmp_path_factory):
    """About a minute of bundled clips in one file, and its samples."""
    clips, pieces, total = some_clips(TEST_SET, 24), [], 0
    for clip in clips:
        pieces.append(decode_audio(TEST_SET / clip.path, sampling_rate=16_000))
        total += len(pieces[-1])
        if total > 60 * 16_000:
            break
    path = tmp_path_factory.mktemp("long") / "minute.wav"
    soundfile.write(path, np.concatenate(pieces), 16_000, subtype="FLOAT")
    return path


@pytest.fixture(scope="module")
def whole(runner, minute):
    mel = FEATURES(decode_audio(minute, sampling_rate=16_000))
    return runner.run({"mel": mel[None]})["logits"][0]


@pytest.mark.parametrize(("window_seconds", "max_batch"), [(30, 1), (7.77, 3)])
def test_stitched_logits_are_those_of_the_uncut_network(runner, minute, whole, window_seconds, max_batch):
    blocks = list(
        framewise(
            runner, minute, FEATURES, output="logits", stride=2, field=FIELD,
            window_seconds=window_seconds, max_batch=max_batch,
        )
    )  # fmt: skip
    assert len(blocks) > 2
    stitched = np.concatenate(blocks)
    assert stitched.shape == whole.shape
    np.testing.assert_allclose(stitched, whole, atol=1e-4, rtol=0)


def test_without_margins_they_are_not(runner, minute, whole):
    blocks = framewise(
        runner, minute, FEATURES, output="logits", stride=2, margin_seconds=0, window_seconds=10
    )
    assert np.abs(np.concatenate(list(blocks)) - whole).max() > 0.1


def test_the_transcript_is_that_of_the_uncut_network(runner, minute, whole):
    transcript = transcribe_long(runner, minute, FEATURES, DECODER, window_seconds=10, field=FIELD)
    assert transcript.text == DECODER.decode({"logits": whole[None]})[0]
    assert transcript.duration == soundfile.info(minute).duration
    assert len(transcript.words) > 50
    ends = [time for word in transcript.words for time in (word.start, word.end)]
    assert ends == sorted(ends)
    assert ends[-1] <= transcript.duration


@pytest.mark.parametrize(
    ("first", "size"), [((3, 2, 2, 0, 0), 41), ((4, 1, 3, 5, 2), 60), ((3, 1, 1, 2, 0), 33)]
)
@pytest.mark.parametrize("frames", [1, 33, 160, 161, 162, 163])
def test_any_padding_and_stride_is_stitched_exactly(first, size, frames):
    model = convolutions([first, (3, 2, 1, 2, 2)])
    field = receptive_field(model)
    x = np.random.default_rng(0).normal(size=(3, frames)).astype(np.float32)
    if frames == 1 and not first[3]:
        pytest.skip("the kernel is longer than the input")
    with OnnxRunner(model, num_threads=1) as runner:
        name = runner.outputs[0].name
        whole = runner.run({"x": x[None]})[name][0]
        plan = WindowPlan(size, field.left, field.right, field.stride)
        blocks = stitch(
            runner, np.array_split(x, 7, axis=1), plan, frames, input_name="x", output=name, output_axis=2
        )
        np.testing.assert_allclose(np.concatenate(list(blocks), axis=1), whole, atol=1e-5)


def test_only_windows_and_a_block_are_held():
    seen = []

    def runner(arrays):
        seen.append(arrays["x"].shape)
        return {"y": arrays["x"].swapaxes(1, 2)}

    blocks = (np.full((2, 7), index, np.float32) for index in range(100))
    plan = WindowPlan(50, 5, 5)
    stitched = np.concatenate(
        list(stitch(runner, blocks, plan, 700, input_name="x", output="y", max_batch=4))
    )
    np.testing.assert_array_equal(stitched[:, 0], np.repeat(np.arange(100), 7))
    assert set(seen) <= {(rows, 2, 50) for rows in range(1, 5)}


def test_frames_that_were_not_announced_are_refused():
    def runner(arrays):
        return {"y": arrays["x"].swapaxes(1, 2)}

    def stitched(announced, blocks, output="y", stride=1):
        plan = WindowPlan(10, 1, 1, stride)
        return list(stitch(runner, blocks, plan, announced, input_name="x", output=output))

    blocks = [np.zeros((2, 8), np.float32)] * 2
    with pytest.raises(InputError, match="17 frames were announced, 16 came"):
        stitched(17, blocks)
    with pytest.raises(InputError, match="15 frames were announced, more came"):
        stitched(15, blocks)
    with pytest.raises(InputError, match=r"output 'z' was asked for, the network gives \['y'\]"):
        stitched(16, blocks, output="z")
    with pytest.raises(InputError, match="10 frames gave 10 output frames, which does not fit a stride of 2"):
        stitched(16, blocks, stride=2)


def test_settings_that_leave_the_margin_open_are_refused(runner, minute):
    with pytest.raises(ConfigError, match="either field or margin_seconds, got neither"):
        transcribe_long(runner, minute, FEATURES, DECODER)
    with pytest.raises(ConfigError, match="got both"):
        transcribe_long(runner, minute, FEATURES, DECODER, field=FIELD, margin_seconds=1)
    with pytest.raises(ConfigError, match="window_seconds must lie in 0 to 14400, got -1"):
        transcribe_long(runner, minute, FEATURES, DECODER, field=FIELD, window_seconds=-1)
    with pytest.raises(ConfigError, match="2 feature frames to an output frame"):
        next(framewise(runner, minute, FEATURES, output="logits", stride=4, field=FIELD))


def test_a_file_that_cannot_be_read_fails_before_the_network_runs(tmp_path, minute):
    path = tmp_path / "cut.wav"
    path.write_bytes(minute.read_bytes()[:100_000])
    with pytest.raises(ClipError, match=r"cut\.wav"):
        transcribe_long(lambda _: pytest.fail("the network ran"), path, FEATURES, DECODER, field=FIELD)
