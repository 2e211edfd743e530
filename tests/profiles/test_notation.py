import pytest
from hypothesis import given
from hypothesis import strategies as st

from trtforge.errors import ProfileError
from trtforge.profiles import OptimizationProfile
from trtforge.profiles.notation import from_polygraphy, from_trtexec, to_polygraphy, to_trtexec

SHORT = OptimizationProfile({"mel": ((1, 80, 64), (8, 80, 100), (8, 80, 100)), "length": ((1,), (8,), (8,))})
LONG = OptimizationProfile({"mel": ((1, 80, 101), (8, 80, 300), (8, 80, 300)), "length": ((1,), (8,), (8,))})
POLYGRAPHY = (
    "--trt-min-shapes mel:[1,80,64] length:[1] --trt-opt-shapes mel:[8,80,100] length:[8] "
    "--trt-max-shapes mel:[8,80,100] length:[8]"
)
TRTEXEC = (
    "--minShapes=mel:1x80x64,length:1 --optShapes=mel:8x80x100,length:8 --maxShapes=mel:8x80x100,length:8"
)


def test_one_profile_as_each_tool_writes_it():
    assert " ".join(to_polygraphy([SHORT])) == POLYGRAPHY
    assert " ".join(to_trtexec([SHORT])) == TRTEXEC
    assert from_polygraphy(f"convert asr.onnx {POLYGRAPHY} -o asr.engine --fp16") == (SHORT,)
    assert from_trtexec(f"trtexec --onnx=asr.onnx {TRTEXEC} --fp16") == (SHORT,)
    assert to_trtexec([SHORT, LONG])[0::4] == ["--profile=0", "--profile=1"]


names = st.text(st.characters(categories=["L", "N"], include_characters="_./:"), min_size=1, max_size=9)
shapes = st.lists(st.integers(1, 2**31 - 1), max_size=4).map(tuple)
ranges = shapes.map(lambda shape: (shape, shape, shape))
profiles = st.lists(st.dictionaries(names, ranges, min_size=1, max_size=3), min_size=1, max_size=3)


def test_values_that_decide_shapes_are_written_alike_and_read_by_name():
    profile = OptimizationProfile({"x": ((1, 8),) * 3}, values={"target": ((1, 4), (8, 4), (64, 8))})
    assert to_trtexec([profile])[2] == "--maxShapes=x:1x8,target:64x8"
    assert from_trtexec(to_trtexec([profile]), value_inputs=["target"]) == (profile,)
    assert from_polygraphy(to_polygraphy([profile]), value_inputs=["target"]) == (profile,)
    negative = OptimizationProfile({}, values={"target": ((-1, 4), (8, 4), (64, 8))})
    with pytest.raises(ProfileError, match="a command line cannot be told the negative values"):
        to_trtexec([negative])


@given(profiles)
def test_profiles_come_back_from_both_notations(found):
    made = tuple(map(OptimizationProfile, found))
    assert from_polygraphy(to_polygraphy(made)) == made
    assert from_trtexec(to_trtexec(made)) == made


def test_a_profile_of_polygraphy_is_taken_as_it_is():
    polygraphy = pytest.importorskip("polygraphy.backend.trt")
    theirs = polygraphy.Profile().add("mel", (1, 80, 64), (8, 80, 100), (8, 80, 100))
    theirs.add("length", (1,), (8,), (8,))
    assert OptimizationProfile(theirs) == SHORT


def test_polygraphys_own_parser_reads_what_is_written():
    tools = pytest.importorskip("polygraphy.tools.args.util")
    words = to_polygraphy([SHORT])
    parsed = tools.parse_arglist_to_dict(words[1:3], allow_empty_key=False)
    assert {name: list(shape) for name, shape in parsed.items()} == {"mel": [1, 80, 64], "length": [1]}


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (from_polygraphy, "--trt-min-shapes mel:1x2", "no shape as Polygraphy writes it"),
        (from_polygraphy, "--trt-min-shapes mel:[1,a]", "sizes must be whole numbers"),
        (from_polygraphy, "--trt-min-shapes mel:[1] mel:[2]", "input 'mel' is given twice"),
        (from_polygraphy, "--trt-min-shapes mel:[1]", "each profile needs its min, opt and max"),
        (from_trtexec, "--minShapes=mel:[1]", "no shape as trtexec writes it"),
        (from_trtexec, "--minShapes=", "no shape as trtexec writes it"),
        (from_trtexec, "--minShapes=a:1 --optShapes=a:1 --maxShapes=b:1", "name different inputs"),
        (from_trtexec, "--minShapes=a:2 --optShapes=a:1 --maxShapes=a:1", "exceeds opt"),
        (from_trtexec, "'", "is no command line"),
    ],
)
def test_what_is_no_profile_is_refused(read, text, message):
    with pytest.raises(ProfileError, match=message):
        read(text)
