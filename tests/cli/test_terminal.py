"""What every command says: examples that parse, errors at 80 columns without colour, one JSON object for scripts."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import in_process
from typer.main import get_command

from limbeck.cli import app

COMMANDS = get_command(app).commands  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture
def run(monkeypatch, capsys):
    return lambda *words: in_process(monkeypatch, capsys, *words)


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((200, 5)), rng.standard_normal(5)
    np.savez("pool.npz", X=X, id=np.arange(200).astype(str), teacher_logit=X @ w)
    drawn = rng.permutation(200)[:60]
    np.savez("pilot.npz", id=drawn.astype(str), teacher_logit=(X @ w)[drawn])
    return tmp_path


def examples(name):
    text = re.sub(r"\\\n\s*", "", COMMANDS[name].epilog)
    return [shlex.split(line)[1:] for line in text.splitlines() if line.strip().startswith("limbeck ")]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_the_help_are_commands_that_parse(name, run):
    found = examples(name)
    assert found, f"limbeck {name} --help has no example"
    for words in found:
        command = COMMANDS[words[0]]
        command.make_context(words[0], words[1:])  # raises for an unknown option, or one that is missing


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_eighty_columns(name, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, said, _ = run(name, "--help")
    assert code == 0
    assert max(map(len, said.splitlines())) <= 80
    assert "\x1b" not in said


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_paragraph_without_the_place_in_the_code(pool, run, monkeypatch):
    from limbeck.students import _learn

    def stopped(*args, **options):
        return replace(minimise(*args, **options), converged=False)

    minimise = _learn.minimise
    monkeypatch.setattr(_learn, "minimise", stopped)
    np.savez(
        "noisy.npz",
        X=np.random.default_rng(0).standard_normal((60, 5)),
        teacher_logit=np.arange(60) % 7 - 3.0,
    )
    code, said, errors = run("distill", "noisy.npz", "--alpha", "0.01", "--out", "s.json")
    assert code == 0
    assert "agreement" in said
    assert errors.count("Warning: ") == 1
    assert "relative gradient" in " ".join(errors.split())
    assert ".py" not in errors
    assert max(map(len, errors.splitlines())) <= 80


def test_an_error_fits_eighty_columns_and_has_no_colour_where_there_is_no_terminal(pool, run):
    code, said, error = run("distill", "pool.npz", "--out", "s.json", "--alpha", "-1")
    assert (code, said) == (2, "")
    assert error.startswith("Error: --alpha -1: a number >= 0")
    assert max(map(len, error.splitlines())) <= 80
    assert "\x1b" not in error


def test_a_long_explanation_is_wrapped_under_itself(pool, run):
    code, said, _ = run("plan", "pool.npz", "--target-risk", "0.01", "--id", "id")
    assert code == 0
    lines = said.splitlines()
    assert max(map(len, lines)) <= 80
    after = lines[next(i for i, line in enumerate(lines) if line.startswith("decision")) + 1 :]
    assert len(after) > 1
    assert all(line.startswith(" " * 10) for line in after)


def test_json_is_one_object_of_what_was_found(pool, run):
    def told(*words):
        code, said, error = run(*words, "--json")
        assert code == 0, error
        return json.loads(said)

    found = told("distill", "pool.npz", "--alpha", "0", "--out", "s.json")
    assert found["student"] == "s.json"
    assert found["alpha"] == 0
    assert found["agreement"]["estimate"] == 1
    assert found["linearity"]["verdict"] == "linear"
    assert told("distill", "pool.npz", "--alpha", "0", "--out", "b.json", "--stream")["passes"] == 3
    assert told("predict", "s.json", "pool.npz", "--out", "a.csv") == {
        "rows": 200,
        "answers": "a.csv",
        "proved_if": [],
    }
    found = told("select", "pool.npz", "--budget", "3", "--out", "p.csv")
    assert len(found["ids"]) == len(found["energy_left"]) == 3
    found = told(
        "plan", "pool.npz", "--target-risk", "0.01", "--answers", "pilot.npz", "--id", "id", "--price", "2"
    )
    # So few answers only look linear: nothing shows the target without assuming it.
    assert found["decision"] == "look again"
    assert found["cost"] == 2 * found["buy"]
    assert found["pilot"]["linearity"]["verdict"] == "linear"
    found = told("audit", "s.json", "pool.npz", "--repeats", "1", "--decimals", "3")
    assert found["equations"] == 6
    assert {leak["answers"] for leak in found["leaks"]} >= {"exact", "3 decimals"}
    found = told("reproduce", "figure-1", "--out", "report", "--quick")
    assert found["report"] == "report/report.html"
    assert found["findings"][0]["verdict"] == "agrees"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell):
    command = Path(sys.executable).with_name("limbeck")
    env = {**os.environ, "_LIMBECK_COMPLETE": f"source_{shell}"}
    done = subprocess.run([command], env=env, capture_output=True, text=True, check=False)
    assert "_LIMBECK_COMPLETE" in done.stdout


LIMBECK = [sys.executable, "-m", "limbeck"]
FEATURES = f"Features: the numbers of 'X'.{os.linesep}"


@pytest.mark.parametrize(
    ("encoding", "name"), [("ascii", "\u00e9\u20ac"), ("latin-1", "\u20ac"), ("utf-8", "\u20ac")]
)
def test_json_is_said_in_any_encoding(pool, encoding, name):
    np.savez("names.npz", X=np.eye(3), id=np.array([name, "b", "c"]))
    words = ["select", "names.npz", "--budget", "3", "--out", "picks.csv", "--json"]
    done = subprocess.run(
        [*LIMBECK, *words], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}
    )
    assert (done.returncode, done.stderr) == (0, FEATURES.encode())
    assert name in json.loads(done.stdout.decode(encoding))["ids"]


@pytest.mark.parametrize("how", [(), ("--json",)])
def test_where_nobody_listens_the_files_are_written_all_the_same(pool, how):
    words = shlex.join(
        [*LIMBECK, "select", "pool.npz", "--budget", "3", "--out", "picks.csv", "--overwrite", *how]
    )
    closed = subprocess.run(f"{words} >&-", shell=True, capture_output=True, text=True)
    assert (closed.returncode, closed.stderr) == (0, FEATURES)
    whole = Path("picks.csv").read_text()
    Path("picks.csv").unlink()
    full = subprocess.run(f"{words} > /dev/full", shell=True, capture_output=True, text=True)
    assert full.returncode == 2
    assert "Standard output could not be written: No space left on device" in " ".join(full.stderr.split())
    assert "Traceback" not in full.stderr
    assert Path("picks.csv").read_text() == whole


@pytest.mark.parametrize(
    "words",
    [
        ("select", "pool.npz", "--budget", "3", "--out", b"a\xff.csv"),
        ("select", "pool.npz", "--budget", "3", "--out", b"a\xff.parquet"),
        ("distill", "pool.npz", "--out", b"a\xff.json"),
    ],
)
def test_an_output_name_that_is_no_text_is_refused_before_any_work(pool, words):
    done = subprocess.run([*LIMBECK, *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the name holds bytes that are no UTF-8" in " ".join(done.stderr.split())
    assert sorted(os.listdir(b".")) == [b"pilot.npz", b"pool.npz"]
