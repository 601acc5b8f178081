import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from command import in_process, limbeck
from scipy.special import expit

import limbeck as package
from limbeck.students import save

TELLING = Path(__file__).parents[1] / "budget" / "telling.py"
ROWS = 150


@pytest.fixture
def run(monkeypatch, capsys):
    return lambda *arguments: in_process(monkeypatch, capsys, *arguments)


@pytest.fixture
def pool(tmp_path):
    """A pool of points, and a pilot of 60 random answers of a linear teacher, 40 of them marked as random."""
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((ROWS, 4)), np.array([1.0, -1, 2, 0.5])
    with (tmp_path / "pool.csv").open("w", newline="") as file:
        rows = ([f"r{i}", *map(repr, map(float, x)), "text"] for i, x in enumerate(X))
        csv.writer(file).writerows([["id", "x0", "x1", "x2", "x3", "said"], *rows])
    with (tmp_path / "pilot.csv").open("w", newline="") as file:
        rows = ([f"r{i}", repr(float(X[i] @ w)), int(i < 40)] for i in rng.permutation(60))
        csv.writer(file).writerows([["id", "z", "random"], *rows])
    return tmp_path


def points(folder):
    return folder / "pool.csv", "--features", "x*"


def test_plan_before_any_answer_names_the_rank(pool):
    wishes = ("--target-risk", "0.01", "--price", "0.5", "--report", "r.html")
    done = limbeck("plan", "pool.csv", "--features", "x*", *wishes, cwd=pool)
    assert done.returncode == 0, done.stderr
    assert "rank      5 of 5 features" in done.stdout
    assert "5 answers are exact if the teacher is linear" in done.stdout
    assert "buy 100 more, then look again, for at most 50.00" in done.stdout
    page = (pool / "r.html").read_text()
    assert "What was known before any answer?" in page
    assert "exact if your teacher is linear" in page


@pytest.mark.parametrize("marked", [True, False])
def test_plan_after_a_pilot_says_stop_and_shows_why(pool, run, marked):
    extra = ["--audit", "random"] if marked else []
    code, out, err = run(
        "plan", *points(pool), "--answers", pool / "pilot.csv", "--teacher-logit", "z", "--target-risk", "0.1",
        "--alpha", "0", "--report", pool / "r.html", *extra,
    )  # fmt: skip
    assert code == 0, err
    assert "teacher   linear here" in out
    assert "decision  stop" in out
    measured = re.search(
        r"disagrees on ([\d.]+)% \(95 % interval ([\d.]+)% to ([\d.]+)%\)", " ".join(out.split())
    )
    assert measured is not None
    assert float(measured[2]) <= float(measured[1]) < float(measured[3])
    page = (pool / "r.html").read_text()
    for said in (
        "What to do?",
        "Clopper and Pearson",
        "How are the points aligned",
        "Theorem 3",
        "p(θ)",
        "SHA-256",
    ):
        assert said in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target-risk", "0"], "--target-risk 0: a share between 0 and 1"),
        (["--target-risk", "1.5"], "--target-risk 1.5"),
        (["--target-risk", "0.1", "--confidence", "1"], "--confidence 1: a probability between 0 and 1"),
        (["--target-risk", "0.1", "--price", "0"], "--price 0: the price of one answer must be positive"),
        (["--target-risk", "0.1", "--alpha", "x"], "--alpha x"),
        (["--target-risk", "0.1", "--teacher-logit", "z"], "without --answers"),
        (["--target-risk", "0.1", "--answers", "pilot.csv", "--teacher-logit", "q"], "no column 'q'"),
        (["--target-risk", "0.1", "--answers", "pilot.csv", "--teacher-logit", "id"], "holds 'r"),
        (
            ["--target-risk", "0.1", "--answers", "pilot.csv", "--teacher-logit", "z", "--audit", "z"],
            "0 or 1 is needed",
        ),
        (["--target-risk", "0.1", "--report", "r.txt"], "must end in .html"),
    ],
)
def test_plan_refuses_bad_input_before_any_work(pool, run, monkeypatch, arguments, said):
    monkeypatch.chdir(pool)
    code, out, err = run("plan", "pool.csv", "--features", "x*", *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def command(folder, how=""):
    return f"{sys.executable} -S -E '{TELLING}' '{folder / 'calls.txt'}' 0 {how}"


def label(folder, how="", *extra):
    return (
        "label", *points(folder), "--budget", "60", "--target-risk", "0.1", "--price", "0.25", "--audit", "30",
        "--alpha", "0", "--backoff", "0", "--out", folder / "bought", "--teacher-command", command(folder, how), *extra,
    )  # fmt: skip


def test_label_buys_learns_saves_and_goes_on_without_asking_again(pool, run):
    code, out, err = run(*label(pool, "named", "--repeat", "5"))
    assert code == 0, err
    assert "look 1: " in err
    assert "spent " in err
    assert "left " in err
    assert "at most 15.00" in out
    calls = (pool / "calls.txt").read_text().split()
    with (pool / "bought" / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(set(calls))
    assert set(rows[0]) == {"id", "audit", "teacher_probability_no", "teacher_probability_yes"}
    assert sum(int(row["audit"]) for row in rows) == 30
    student = package.load(pool / "bought" / "student.json")
    assert student.classes_.tolist() == ["no", "yes"]
    np.testing.assert_allclose(student.coef_[0], [-1, 1, -1, 1], atol=1e-6)
    page = (pool / "bought" / "report.html").read_text()
    for said in ("Is the student good enough?", "What did it cost?", "Does the teacher agree with itself?"):
        assert said in page
    code, again, _ = run(*label(pool, "named", "--repeat", "5"))
    assert (code, again) == (0, out)
    assert (pool / "calls.txt").read_text().split() == calls
    code, out, err = run(
        "plan", *points(pool), "--answers", pool / "bought" / "answers.csv", "--audit", "audit", "--target-risk", "0.1",
        "--teacher-probability", "teacher_probability_no", "--teacher-probability", "teacher_probability_yes",
    )  # fmt: skip
    assert code == 0, err
    assert "linear here" in out


def test_label_sends_other_columns_and_says_when_the_audit_sample_is_too_small(pool, run):
    code, _, err = run(*label(pool, "", "--send", "said", "--target-risk", "0.001"))
    assert code == 0, err
    assert "buying will not stop before the budget is spent" in " ".join(err.split())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--teacher-command", "/no/such/teacher"], "does not start"),
        (["--teacher-command", "'"], "cannot be split"),
        (["--select", "best"], "--select best: span or random"),
        (["--send", "nothing"], "no column 'nothing'"),
        (["--audit", "60"], "leaves nothing to learn from"),
        (["--price", "-1"], "--price -1"),
        (["--classes", "a"], "at least two different names"),
    ],
)
def test_label_refuses_bad_input(pool, run, change, said):
    code, out, err = run(*label(pool), *change)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def test_label_keeps_what_was_bought_when_the_teacher_fails_for_good(pool, run):
    code, _, err = run(*label(pool, "garbage", "--timeout", "0.2", "--retries", "9"))
    assert code == 2
    assert "kept in" in " ".join(err.split())
    assert (pool / "bought" / "replies.jsonl").stat().st_size > 0


@pytest.mark.parametrize("kind", ["npz", "json"])
def test_audit_rates_a_model_of_ones_own(tmp_path, run, kind):
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((40, 5)), rng.standard_normal(5)
    if kind == "npz":
        path = tmp_path / "w.npz"
        np.savez(path, coef=w, intercept=0.3)
    else:
        path = tmp_path / "s.json"
        save(package.SoftLabelClassifier(0).fit(X, expit(X @ w + 0.3)), path)
    code, out, err = run(
        "audit", path, "--decimals", "2..3", "--repeats", "1", "--report", tmp_path / "r.html"
    )
    assert code == 0, err
    assert out.splitlines()[1].split() == ["exact", "6", "1", "6", "1"]
    for name in ("3 decimals", "2 decimals", "labels", "labels, chosen points"):
        assert name in out
    page = (tmp_path / "r.html").read_text()
    assert "after 6 exact answers" in page
    assert "rated by its owner" in page


@pytest.mark.parametrize(
    ("name", "content", "extra", "said"),
    [
        ("w.npz", b"PK nonsense", (), "damaged or not what its ending says"),
        ("w.txt", b"", (), "a student's .json or an .npz"),
        ("s.json", b"{}", (), "s.json"),
        ("w.npz", None, (), "no such file"),
        ("w.npz", b"", ("--decimals", "3..1"), "--decimals 3..1"),
        ("w.npz", b"", ("--decimals", "x"), "--decimals x"),
    ],
)
def test_audit_refuses_bad_input(tmp_path, run, name, content, extra, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    code, out, err = run("audit", tmp_path / name, *extra)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())


def test_audit_takes_the_students_own_features_of_a_pool(pool, run):
    assert run(*label(pool))[0] == 0
    student = pool / "bought" / "student.json"
    code, out, err = run("audit", student, pool / "pool.csv", "--decimals", "3", "--repeats", "1")
    assert code == 0, err
    assert out.splitlines()[1].split() == ["exact", "5", "1", "5", "1"]


def test_audit_of_a_student_of_texts_makes_a_small_pool_dense_and_says_so(tmp_path, run, monkeypatch):
    words = [
        "invoice refund please",
        "refund now",
        "hello friend",
        "meeting at noon",
        "invoice due",
        "hello again",
    ]
    rows = [
        f"{words[i % 6]} {words[(i * 7 + 1) % 6]},{0.9 if i % 6 in (0, 1, 4) else 0.1}" for i in range(60)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["text,p", *rows]) + "\n")
    student = tmp_path / "s.json"
    words = "distill", tmp_path / "t.csv", "--text", "text", "--teacher-probability", "p", "--alpha", "0.01"
    assert run(*words, "--out", student)[0] == 0
    audit = "audit", student, tmp_path / "t.csv", "--decimals", "3", "--repeats", "1"
    code, out, err = run(*audit)
    assert code == 0, err
    assert "60 x 11 are made dense" in " ".join(err.split())
    assert "always says the commonest class" in " ".join(out.split())
    monkeypatch.setattr("limbeck.cli.audit.MOST_DENSE", 100)
    code, out, err = run(*audit)
    assert (code, out) == (2, "")
    assert "Give at most 9 rows, drawn at random" in " ".join(err.split())
