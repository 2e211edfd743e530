import subprocess
from pathlib import Path

from benchmarks.environment import describe_run, git_commit


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_a_run_is_described_by_command_machine_and_versions() -> None:
    run = describe_run(
        "benchmarks.some", ["--limit", "3", "--output", "a b.json"], packages=("numpy", "no-such")
    )
    assert run["command"] == "python -m benchmarks.some --limit 3 --output 'a b.json'"
    assert sorted(run["versions"]) == ["numpy", "python"]
    assert run["machine"]["num_cpus"] >= 1
    assert run["machine"]["memory_gib"] >= 1


def test_a_commit_says_when_files_differ_from_it(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None
    git(tmp_path, "init")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-m", "a")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(tmp_path) == head
    (tmp_path / "a").write_text("2")
    assert git_commit(tmp_path) == head + "+"


def test_paths_of_the_machine_stay_out_of_the_command(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    arguments = ["--output", f"{root}/out/a.json", "--cache", str(tmp_path / "timing.cache"), "--quick"]
    run = describe_run("benchmarks.bench_x", arguments)
    assert run["command"] == "python -m benchmarks.bench_x --output out/a.json --cache timing.cache --quick"
