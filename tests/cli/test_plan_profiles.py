import io

import pytest

from tests.bundled import CALIBRATION_SET, MODEL
from trtforge.cli import main
from trtforge.profiles import ProfilePlan


def run(capsys, *words):
    status = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return status, " ".join(out.split()), " ".join(err.split())


def test_a_clip_set_becomes_a_plan_a_table_and_a_plot(capsys, tmp_path):
    plan, plot = tmp_path / "profiles.json", tmp_path / "waste.svg"
    words = [
        "plan-profiles",
        CALIBRATION_SET,
        "-o",
        plan,
        "--plot",
        plot,
        "--max-profiles",
        6,
        "--model",
        MODEL,
    ]
    status, out, err = run(capsys, *words)
    assert (status, err) == (0, "")
    assert "Profiles, for batches of 1 to 8" in out
    assert "coverage all 192 lengths lie inside" in out
    found = ProfilePlan.load(plan)
    assert len(found.buckets) == 6
    assert found.waste < 0.1
    assert ">planned</text>" in plot.read_text()
    status, explained, _ = run(capsys, "inspect", plan)
    assert status == 0
    assert "Profiles, for batches of 1 to 8" in explained
    assert "Least padding" in explained
    assert all(f" {bucket.frames[1]} " in explained for bucket in found.buckets)
    assert f"padding {100 * found.waste:.2f} % of the exact cost" in explained
    assert "coverage all 192 lengths lie inside" in explained


def test_a_csv_column(capsys, tmp_path):
    table = tmp_path / "log.csv"
    table.write_text("id,seconds\na,1.0\nb,2.5\n")
    words = ["plan-profiles", table, "-o", tmp_path / "p.json", "--column", "seconds", "--unit", "seconds"]
    assert run(capsys, *words)[0] == 0
    # One second is 101 frames of 10 ms: one before the first hop, and one for each.
    assert [bucket.frames for bucket in ProfilePlan.load(tmp_path / "p.json").buckets] == [
        (96, 104, 104),
        (105, 256, 256),
    ]
    words[5:6] = ["minutes"]
    assert "has no column 'minutes', only ['id', 'seconds']" in run(capsys, *words)[2]
    assert (
        "name the column of a CSV file with --column NAME"
        in run(capsys, "plan-profiles", table, "-o", tmp_path / "p.json")[2]
    )


def test_cells_of_a_csv_column_that_hold_no_length(capsys, tmp_path):
    table = tmp_path / "log.csv"
    table.write_text("id,frames\na,100\nb,\nc,300\nd\n")
    words = ["plan-profiles", table, "-o", tmp_path / "p.json", "--column", "frames"]
    status, out, _ = run(capsys, *words)
    assert status == 0
    assert f"empty 2 rows of {table} left out: nothing in column 'frames'" in out
    assert "coverage all 2 lengths lie inside" in out
    for cell in ("abc", "-1", "1;5"):
        table.write_text(f'id,frames\n"a\nb",100\n\nc,{cell}\n')
        status, _, err = run(capsys, *words)
        assert status == 2
        assert f"column 'frames' of {table}, line 5, holds '{cell}', which is no positive number" in err


def test_a_csv_of_another_encoding_is_named(capsys, tmp_path):
    table = tmp_path / "log.csv"
    words = ["plan-profiles", table, "-o", tmp_path / "p.json", "--column", "dur\u00e9e"]
    table.write_bytes("id,dur\u00e9e\na,100\n".encode("latin-1"))
    status, _, err = run(capsys, *words)
    assert status == 2
    assert f"{table} is no CSV file in UTF-8" in err
    table.write_bytes("\ufeffid,dur\u00e9e\na,100\n".encode())
    assert run(capsys, *words)[0] == 0
    table.write_bytes(b"id,dur\xc3\xa9e\na," + b"1" * 200_000)
    assert "field larger than field limit" in run(capsys, *words)[2]


def test_numbers_on_standard_input(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("100 200\n300, 1000\n"))
    words = ["plan-profiles", "-", "-o", tmp_path / "p.json", "--max-frames", 300, "--outside", "cut"]
    status, out, _ = run(capsys, *words, "--measured", "100=1", "--measured", "300=2", "--multiple-of", 4)
    assert status == 0
    assert "1 of 4 lengths (25 %, 62.5 % of the frames) are longer than planned for: cut" in out
    assert "exact and padded in ms" in out
    for text, message in (
        ("1\nx", "standard input, line 2, holds 'x', which is no positive number"),
        ("", "standard input holds no lengths"),
        ("1.5", "standard input holds fractions of frames"),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        status, _, err = run(capsys, *words)
        assert status == 2
        assert message in err


def test_errors_name_the_options(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("100"))
    words = ["plan-profiles", "-", "-o", tmp_path / "p.json", "--coverage", 2]
    assert "option coverage: --coverage" in run(capsys, *words)[2]
    assert not (tmp_path / "p.json").exists()


def test_build_takes_the_plan(capsys, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    from trtforge.engine import load_manifest

    plan = tmp_path / "p.json"
    assert run(capsys, "plan-profiles", CALIBRATION_SET, "-o", plan, "--max-profiles", 3)[0] == 0
    words = ["build", MODEL, "--profiles", plan, "-o", tmp_path / "asr.engine", "--precision", "float16"]
    status, _, err = run(capsys, *words, "--flavor", "tensorrt_rtx")
    assert (status, err) == (0, "")
    profiles = load_manifest(tmp_path / "asr.engine").profiles
    wanted = [bucket.frames for bucket in ProfilePlan.load(plan).buckets]
    assert [tuple(shape[2] for shape in vars(p.shapes["mel"]).values()) for p in profiles] == wanted


@pytest.mark.parametrize("command", ["build", "compile"])
def test_a_file_that_is_no_plan_is_refused(capsys, tmp_path, command):
    (tmp_path / "p.json").write_text("{}")
    words = [command, MODEL, "--profiles", tmp_path / "p.json", "-o", tmp_path / "out"]
    status, _, err = run(capsys, *words)
    assert status == 2
    assert "a plan of profiles must say" in err
    with pytest.raises(SystemExit):
        run(capsys, *words, "--frames", 1, 2)


def test_measured_times_replace_frames(capsys, tmp_path):
    table = tmp_path / "log.csv"
    table.write_text("frames\n64\n120\n800\n")
    words = ["plan-profiles", table, "--column", "frames", "-o", tmp_path / "p.json", "--measure", MODEL]
    status, out, err = run(capsys, *words)
    assert (status, err) == (0, "")
    assert "measure 64 frames" in out
    assert "exact and padded in ms" in out
    assert len(ProfilePlan.load(tmp_path / "p.json").buckets) >= 1


@pytest.mark.parametrize(("more", "told"), [((), "--measure"), (("--max-frames", 0), "--max-frames")])
def test_what_cannot_be_timed_names_the_options(capsys, tmp_path, more, told):
    table = tmp_path / "log.csv"
    table.write_text("frames\n500\n500\n")
    words = ["plan-profiles", table, "--column", "frames", "-o", tmp_path / "p.json", "--measure", MODEL]
    status, _, err = run(capsys, *words, *more)
    assert status == 2
    assert "no option" not in err
    assert told in err.partition("longest: ")[2].partition("option")[0]
    assert ("plan without measured costs" in err) == (not more)
    assert not (tmp_path / "p.json").exists()
