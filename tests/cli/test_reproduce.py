import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import limbeck


def test_one_command_makes_a_page_and_completes_what_is_there(tmp_path):
    out = tmp_path / "my [folder]"
    done = limbeck("reproduce", "figure-2", "--out", out, "--quick")
    assert done.returncode == 0, done.stderr
    assert "agrees" in done.stdout
    assert str(out / "report.html") in done.stdout.replace("\n", "")
    again = limbeck("reproduce", "figure-2", "figure-1", "--out", out, "--quick", "--resume")
    assert again.returncode == 0, again.stderr
    assert "3 of 6 cells were finished before" in again.stderr
    assert (out / "figure-1.csv").exists()


def test_what_agrees_in_part_says_which_part(tmp_path):
    done = limbeck("reproduce", "theorems", "--out", tmp_path, "--quick")
    assert done.returncode == 0, done.stderr
    said, _, _ = done.stdout.partition("Report:")  # a path is printed in one piece
    assert "agrees in part: as printed, 12 are refuted" in " ".join(said.split())
    assert max(map(len, said.splitlines())) <= 80
    page = " ".join((tmp_path / "report.html").read_text().split())
    assert page.count("as printed, 12 are refuted") == 1


def test_what_if_is_a_flag_away(tmp_path):
    done = limbeck("reproduce", "figure-2", "--out", tmp_path, "--set", "points=7")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "figure-2.csv").read_text().splitlines()) == 22


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["reproduce", "figure-9"], "Valid: all, figure-1, figure-2, figure-3, figure-4, figure-5"),
        (["reproduce", "figure-2", "--set", "point=5"], "Did you mean points?"),
        (["reproduce", "figure-2", "--set", "points"], "write NAME=VALUE"),
        (["reproduce", "figure-2", "--set", "points=many"], "must be a whole number"),
        (["reproduce", "figure-4", "--digits", "nowhere"], "no such folder"),
        (["reproduce", "--ot", "x"], "--out"),
        (["reprodce"], "reproduce"),
    ],
)
def test_wrong_words_exit_with_2_and_name_the_right_ones(tmp_path, arguments, said):
    done = limbeck(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in re.sub(r"\s+", " ", done.stderr)
    assert "Traceback" not in done.stderr
    assert max(map(len, done.stderr.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []


def under_way(out, *more):
    """A long run, in a process group of its own."""
    words = "-m", "limbeck", "reproduce", "figure-3", "--out", str(out), "--repeats", "2000", *more
    return subprocess.Popen(
        [sys.executable, *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def is_worker(process):
    try:
        return b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # another child, which has ended since it was listed
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the workers in /proc")
@pytest.mark.parametrize("later", [0.0, 0.1, 0.3])
def test_workers_that_are_starting_are_interrupted_without_a_word(tmp_path, later):
    process = under_way(tmp_path, "--jobs", "2")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and not any(map(is_worker, children.read_text().split())):
        time.sleep(0.005)
    time.sleep(later)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said


def test_an_interrupt_exits_with_130_and_keeps_what_is_finished(tmp_path):
    process = under_way(tmp_path)
    records, deadline = tmp_path / "records.jsonl", time.monotonic() + 100
    while time.monotonic() < deadline and not (records.exists() and records.stat().st_size):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "--resume goes on" in re.sub(r"\s+", " ", said)
    assert "Traceback" not in said
    assert records.read_text().endswith("\n")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_run_that_started_them(tmp_path, how):
    """The signal goes to the run alone; its workers hold standard error, which ends only once they have."""
    words = ["reproduce", "figure-3", "--jobs", "2", "--out", str(tmp_path), "--repeats", "2000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "limbeck", *words], stderr=subprocess.PIPE, start_new_session=True
    )
    records, deadline = tmp_path / "records.jsonl", time.monotonic() + 100
    while time.monotonic() < deadline and not (records.exists() and records.stat().st_size):
        time.sleep(0.02)
    process.send_signal(how)
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("workers went on without the run")
    assert process.returncode == -how


def test_help_teaches_and_fits_80_columns():
    top, command = limbeck("--help"), limbeck("reproduce", "--help")
    assert top.returncode == command.returncode == 0
    assert "reproduce" in top.stdout
    assert "limbeck reproduce figure-3" in command.stdout
    assert max(map(len, (top.stdout + command.stdout).splitlines())) <= 80


def test_version_is_said():
    from limbeck import __version__

    assert limbeck("--version").stdout.strip() == f"limbeck {__version__}"


def test_help_does_not_wait_for_scipy_and_matplotlib():
    code = (
        "import sys, limbeck.cli; print([m for m in ('scipy', 'matplotlib', 'sklearn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
