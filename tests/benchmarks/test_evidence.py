import subprocess
import sys

from benchmarks.__main__ import main
from benchmarks.evidence import PAGE, PART, ROOT, benchmarks, index, machines
from benchmarks.pages import fill_between


def test_the_index_is_that_of_the_scripts_and_results():
    page = PAGE.read_text(encoding="utf-8")
    assert fill_between(page, index(), part=PART) == page, "python -m benchmarks --index"


def test_every_script_says_what_it_measures_and_its_page_exists():
    found = {benchmark.name: benchmark for benchmark in benchmarks()}
    assert len(found) == len(list((ROOT / "benchmarks").glob("bench_*.py")))
    assert all(benchmark.summary for benchmark in found.values())
    assert all((ROOT / benchmark.page).is_file() for benchmark in found.values() if benchmark.page)
    assert found["convergence"].results == (ROOT / "benchmarks/results/convergence.json",)
    assert found["convergence"].page == "docs/how-many-clips.md"
    assert machines(found["native_calibrator"].results[0])[0].startswith("NVIDIA H200")


def test_the_list_names_all_and_a_wrong_name_is_told(capsys):
    assert main([]) == 0
    told = capsys.readouterr().out
    assert all(benchmark.name in told for benchmark in benchmarks())
    assert main(["nonsense"]) == 2
    assert "no benchmark 'nonsense'; there are agreement, calibration_data" in capsys.readouterr().err


def test_one_is_run_by_its_name():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "profiles", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "python -m benchmarks.bench_profiles" in done.stdout


def test_the_folders_readme_names_every_script_and_result():
    text = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    for benchmark in benchmarks():
        assert f"`{benchmark.command}" in text, benchmark.command
        for path in benchmark.results:
            assert f"`results/{path.name}`" in text, path.name
