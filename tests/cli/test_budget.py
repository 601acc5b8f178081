import csv
import datetime
import html
import json
import re
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import in_process, limbeck
from messages import messages
from scipy.special import expit

import limbeck as package
from limbeck import SpanSelection
from limbeck.data.features import choose
from limbeck.data.pool import read_pool
from limbeck.data.tables import open_table
from limbeck.students import save
from limbeck.theory.scaling import Scaling

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
        "--alpha", "0", "--backoff", "0", "--anyway", "--out", folder / "bought", "--teacher-command",
        command(folder, how), *extra,
    )  # fmt: skip


def test_label_buys_learns_saves_and_goes_on_without_asking_again(pool, run):
    code, out, err = run(*label(pool, "named", "--repeat", "5"))
    assert code == 0, err
    assert "look 1: " in err
    assert "spent " in err
    assert "left " in err
    assert "at most 15.00" in out
    assert re.search(r'by class  "no" \d+ of \d+, "yes" \d+ of \d+', out)
    assert re.search(r'constant  always "(yes|no)", the commonest of these rows, agrees on \d\d\.', out)
    calls = (pool / "calls.txt").read_text().split()
    rows = answers(pool)
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


@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_plan_in_a_metric_is_that_of_the_scaled_table(pool, run, how):
    with (pool / "pool.csv").open(newline="") as file:
        names, *rows = list(csv.reader(file))
    X = np.array([row[1:5] for row in rows], dtype=float)
    rough = X * [1.0, 100.0, 0.01, 5.0]
    for name, values in (("rough.csv", rough), ("done.csv", Scaling.of(rough, "standard").apply(rough))):
        with (pool / name).open("w", newline="") as file:
            csv.writer(file).writerows(
                [
                    names,
                    *([row[0], *map(repr, map(float, x)), ""] for row, x in zip(rows, values, strict=True)),
                ]
            )

    def planned(name, *more):
        words = (
            "--features",
            "x*",
            "--answers",
            pool / "pilot.csv",
            "--teacher-logit",
            "z",
            "--audit",
            "random",
        )
        code, said, error = run("plan", pool / name, *words, "--target-risk", "0.1", "--json", how, *more)
        assert code == 0, error
        return json.loads(said)

    scaled, plain = planned("rough.csv", "--scale", "standard"), planned("done.csv")
    assert scaled["decision"] == plain["decision"]
    np.testing.assert_allclose(scaled["coverage"]["residual"], plain["coverage"]["residual"], rtol=1e-9)
    np.testing.assert_allclose(
        scaled["pilot"]["curve"]["disagreement"], plain["pilot"]["curve"]["disagreement"], rtol=1e-9
    )
    assert planned("rough.csv")["pilot"]["curve"] != scaled["pilot"]["curve"]
    code, _, error = run(
        "plan", pool / "pool.csv", "--text", "said", "--target-risk", "0.1", "--scale", "standard"
    )
    assert (code, "taken as given" in " ".join(error.split())) == (2, True)


def test_label_asks_about_the_points_as_given_and_saves_a_student_of_them(pool, run):
    code, _, error = run(*label(pool, "named", "--scale", "standard"))
    assert code == 0, error
    assert "standard" in (pool / "bought" / "report.html").read_text()
    student = package.load(pool / "bought" / "student.json")
    np.testing.assert_allclose(
        student.coef_[0], [-1, 1, -1, 1], atol=1e-6
    )  # as the teacher's on the points as given
    assert abs(student.intercept_[0]) < 1e-6
    code, _, error = run(*label(pool, "named"))
    assert (code, "scale = standard" in " ".join(error.split())) == (2, True)


def test_label_sends_other_columns_and_says_when_the_audit_sample_is_too_small(pool, run):
    code, _, err = run(*label(pool, "", "--send", "sa*", "--target-risk", "0.001"))
    assert code == 0, err
    code, _, other = run(*label(pool, "", "--send", "*", "--target-risk", "0.001"))
    assert (code, "sent other columns or texts" in " ".join(other.split())) == (2, True)
    assert "buying will not stop before the budget is spent" in " ".join(err.split())


def answers(folder):
    with (folder / "bought" / "answers.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def wishing(folder, *extra):
    """A purchase that may not spend all on what it cannot show."""
    return [word for word in label(folder, "", *extra) if word != "--anyway"]


def test_label_does_not_spend_all_on_a_target_it_cannot_show(pool, run):
    code, out, err = run(*wishing(pool, "--audit", "20"))
    said = " ".join(err.split())
    assert (code, out) == (2, "")
    assert "An audit sample of 20 shows at best 23.27%, not 10.00%: the whole budget would be spent" in said
    assert not (pool / "bought").exists()
    audit, budget = re.search(
        r"It takes --audit (\d+) and --budget (\d+), or more; or --anyway", said
    ).groups()
    code, out, err = run(*wishing(pool, "--audit", audit, "--budget", budget))
    assert code == 0, err
    assert "the target is shown to be met" in " ".join(out.split())
    less = pool / "less"
    less.mkdir()
    code, _, err = run(*wishing(pool, "--audit", int(audit) - 6, "--budget", budget, "--out", less))
    assert code == 2


def test_label_says_what_stands_in_the_way_of_the_target(pool, run):
    code, out, _ = run(*label(pool))
    assert code == 0
    said = " ".join(out.split())
    assert (
        "0 of 30 wrong is 0.00%, below the target of 10.00%, but the audit sample is too small to show it"
        in said
    )
    assert "at this share every audit sample of 51 or more would" in said
    page = " ".join((pool / "bought" / "report.html").read_text().split())
    assert "Bounds hold for points like the pool's" in html.unescape(page)
    assert "at this share every audit sample of 51 or more would" in page


def test_label_names_half_likely_only_beyond_what_it_learned_from(capsys):
    from limbeck.cli.label import _watch

    look = {"number": 1, "wrong": 1, "size": 9, "upper": 0.5}
    for likely, named in ((None, False), (14, False), (15, False), (16, True)):
        _watch("look", {"look": look, "learned": 15, "likely": likely, "spent": 24})
        said = " ".join(capsys.readouterr().err.split())
        assert ("half likely at 16 answers" in said) is named
        assert said.count("likely") == named


def test_each_look_has_its_own_numbers_when_a_finished_run_is_run_again(pool, run):
    _, _, before = run(*label(pool))
    _, _, after = run(*label(pool))
    assert before.count("questions sent, ") > 1
    assert after == before


def test_names_of_classes_that_the_teacher_does_not_use_are_said_and_can_be_put_right(pool, run):
    code, _, err = run(*label(pool, "named", "--classes", "a,b"))
    said = " ".join(err.split())
    assert code == 2
    assert "run the command again with --classes no,yes instead of a,b to go on" in said
    assert "same command" not in said
    assert len((pool / "calls.txt").read_text().split()) == 5
    code, _, err = run(*label(pool, "named", "--classes", "no,yes"))
    assert code == 0, err
    calls = (pool / "calls.txt").read_text().split()
    assert len(calls) == len(set(calls)) == len(answers(pool))


def test_help_on_classes_is_of_answers_and_not_of_columns(run):
    code, out, _ = run("label", "--help")
    assert code == 0
    assert "teacher's columns" not in " ".join(out.split())
    assert "the numbers of an answer" in re.sub(r"[\s│]+", " ", out)


def test_label_is_extended_by_a_larger_budget_with_a_fresh_audit_sample(pool, run):
    assert run(*label(pool))[0] == 0
    before = {row["id"] for row in answers(pool)}
    calls = (pool / "calls.txt").read_text().split()
    code, _, err = run(*wishing(pool, "--budget", "80"))
    assert code == 2
    assert "leaves 20 questions to extend the run in" in " ".join(err.split())
    code, _, err = run(*wishing(pool, "--budget", "110", "--audit", "30"))
    assert code == 2
    assert "It takes --audit 51 and --budget 121, or more; or --anyway" in " ".join(err.split())
    assert (pool / "calls.txt").read_text().split() == calls
    code, out, err = run(*wishing(pool, "--budget", "130", "--audit", "55"))
    assert code == 0, err
    assert "the target is shown to be met" in " ".join(out.split())
    rows = answers(pool)
    audit = {row["id"] for row in rows if row["audit"] == "1"}
    assert len(audit) == 55
    assert not audit & before
    assert before <= {row["id"] for row in rows} - audit  # all that was bought is learned from
    asked = (pool / "calls.txt").read_text().split()
    assert len(asked) == len(set(asked)) <= 130
    code, again, _ = run(*wishing(pool, "--budget", "130", "--audit", "55"))
    assert (code, again) == (0, out)
    assert (pool / "calls.txt").read_text().split() == asked
    page = " ".join((pool / "bought" / "report.html").read_text().split())
    assert "drawn uniformly from the pool" not in page
    assert "drawn uniformly from the rows not asked before the run was extended" in page
    assert "Bounds hold for points like those that the teacher answers" in page
    code, _, err = run(*label(pool))
    assert code == 2
    assert "holds a run with budget = 130, and 60 was asked for" in " ".join(err.split())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([datetime.date(2024, 5, i % 9 + 1) for i in range(ROWS)], "2024-05-01"),
        ([datetime.datetime(2024, 5, 1, 12, i % 60) for i in range(ROWS)], "2024-05-01T12:00:00"),
        ([Decimal("1.50")] * ROWS, "1.50"),
        ([{"when": datetime.date(2024, 5, 1)}] * ROWS, "2024-05-01"),
        ([b"ab", *[b"\xff"] * (ROWS - 1)], None),
        ([1.0] * (ROWS - 1) + [float("nan")], None),
    ],
    ids=["dates", "timestamps", "decimals", "structs", "bytes", "nan"],
)
def test_label_sends_what_json_can_say_and_refuses_the_rest_before_a_question(
    pool, run, monkeypatch, values, said
):
    monkeypatch.chdir(pool)
    table = pa.table({"id": [f"r{i}" for i in range(ROWS)], "x0": np.arange(ROWS) / ROWS, "more": values})
    pq.write_table(table, pool / "pool.parquet")
    (pool / "teacher.py").write_text(
        "import json, sys\nfor line in sys.stdin:\n    q = json.loads(line)\n    open('seen.txt', 'a').write(line)\n"
        "    print(json.dumps({'id': q['id'], 'probabilities': 0.25 + q['x'][0] / 2}), flush=True)\n"
    )
    words = [word if str(word) != str(pool / "pool.csv") else pool / "pool.parquet" for word in label(pool)]
    teacher = f"{sys.executable} -S -E teacher.py"
    code, _, err = run(*words, "--send", "more", "--teacher-command", teacher)
    if said is None:
        row = 1 if values[0] == b"ab" else ROWS
        assert code == 2
        assert f"Column 'more', row {row} holds" in " ".join(err.split())
        assert not (pool / "seen.txt").exists()
        assert not (pool / "bought" / "asked.jsonl").exists()
    else:
        assert code == 0, err
        lines = {q["id"]: q for q in map(json.loads, (pool / "seen.txt").read_text().splitlines())}
        assert len(lines) == 60
        assert any(said in str(q["more"]) for q in lines.values())


def test_label_names_a_feature_that_alone_decides(pool, run, monkeypatch):
    monkeypatch.chdir(pool)
    columns = {"id": [f"r{i}" for i in range(ROWS)], "x0": np.arange(ROWS) % 7, "x1": np.arange(ROWS) / ROWS}
    pq.write_table(pa.table(columns), pool / "pool.parquet")
    (pool / "teacher.py").write_text(
        "import json, sys\nfor line in sys.stdin:\n    q = json.loads(line)\n"
        "    print(json.dumps({'id': q['id'], 'probabilities': 0.25 + q['x'][1] / 2}), flush=True)\n"
    )
    words = [word if str(word) != str(pool / "pool.csv") else pool / "pool.parquet" for word in label(pool)]
    code, _, err = run(*words, "--teacher-command", f"{sys.executable} -S -E teacher.py")
    assert code == 0, err
    assert "feature 'x1' alone determines the decisions of all 60 answers" in " ".join(err.split())


def test_label_refuses_outputs_that_are_folders_before_a_question(pool, run):
    for name in ("answers.csv", "student.json", "report.html"):
        (pool / "bought" / name).mkdir(parents=True)
        code, _, err = run(*label(pool))
        assert code == 2
        assert "is a folder, where a file is to be written" in " ".join(err.split())
        (pool / "bought" / name).rmdir()
    assert not (pool / "calls.txt").exists()


@pytest.mark.parametrize("name", ["answers.csv", "student.json", "report.html"])
def test_label_overwrites_no_file_of_another_origin(pool, run, name):
    (pool / "bought").mkdir()
    (pool / "bought" / name).write_text("precious")
    code, _, err = run(*label(pool))
    assert (code, (pool / "bought" / name).read_text()) == (2, "precious")
    assert "was not written by a purchase in" in " ".join(err.split())
    assert not (pool / "calls.txt").exists()


def test_no_file_of_a_purchase_holds_the_command_which_may_hold_a_key(pool, run):
    code, out, err = run(*label(pool), "--teacher-command", f"env KEY=sk-123 {command(pool)}")
    assert code == 0, err
    files = {path.name: path.read_bytes() for path in (pool / "bought").iterdir()}
    assert {"run.json", "student.json", "report.html"} <= files.keys()
    assert [name for name, data in files.items() if b"sk-123" in data] == []
    assert "sk-123" not in out + err
    (fingerprint,) = {json.loads(files["run.json"])["teacher"]}
    assert fingerprint.encode() in files["student.json"]
    code, _, err = run(*label(pool), "--teacher-command", "env KEY='sk-123", "--out", pool / "other")
    assert (code, "sk-123" in err) == (2, False)


def test_no_failure_of_a_judgement_or_page_ends_a_run_that_is_paid_for(pool, run, monkeypatch):
    def fails(*_, **__):
        raise ZeroDivisionError("float division by zero")

    for name in (
        "limbeck.budget.purchase.measure",
        "limbeck.budget.purchase.linearity",
        "limbeck.pages.label.page",
    ):
        monkeypatch.setattr(name, fails)
    code, _, err = run(*label(pool, "named"))
    said = " ".join(err.split())
    assert code == 0, err
    assert "No forecast could be made: ZeroDivisionError: float division by zero" in said
    assert "report.html could not be made: ZeroDivisionError" in said
    assert len(answers(pool)) == len((pool / "calls.txt").read_text().split())
    monkeypatch.setattr("limbeck.budget.purchase.taught", fails)
    (pool / "bought" / "looks.jsonl").unlink()
    code, _, err = run(*label(pool, "named"))
    assert (code, "The student could not be judged" in " ".join(err.split())) == (0, True), err
    assert len(answers(pool)) == 60


@pytest.mark.parametrize("after", [22, 47], ids=["in the audit sample", "in a batch"])
def test_answers_are_written_when_the_teacher_fails_for_good(pool, run, after):
    once = pool / "once.py"
    once.write_text(
        "import json, sys\ncalls = open(sys.argv[1], 'a')\nfor line in sys.stdin:\n"
        "    n = len(open(sys.argv[1]).read().split())\n"
        f"    print(json.dumps({{'id': json.loads(line)['id'], **({{'probabilities': .5}} if n < {after} else "
        "{'error': 'no credit'})}), flush=True)\n    print(n, file=calls, flush=True)\n"
    )
    code, _, err = run(
        *label(pool), "--teacher-command", f"{sys.executable} -S -E '{once}' '{pool / 'calls.txt'}'"
    )
    assert (code, "no credit" in err) == (2, True)
    rows = answers(pool)
    assert len(rows) == after
    assert sum(int(row["audit"]) for row in rows) == min(after, 30)


def test_rows_that_the_bound_does_not_cover_are_named(pool, run):
    code, out, err = run(*label(pool, "refuses", "--json"))
    facts = json.loads(out)
    assert (code, len(facts["audit"]), len(facts["uncovered"])) == (0, 30, 10)
    assert "(10 audit rows without an answer not covered)" in " ".join(err.split())
    code, out, _ = run(*label(pool, "refuses"))
    first, second = (f"r{row}" for row in facts["uncovered"][:2])
    said = "10 of 40 rows drawn for the audit sample have no usable answer"
    assert f"{said} ({first}, {second}, " in " ".join(out.split())
    assert said in " ".join((pool / "bought" / "report.html").read_text().split())


def test_label_says_what_could_not_be_written_at_the_end(pool, run, monkeypatch):
    def full(*_, **__):
        raise OSError(5, "Input/output error", "student.json")

    monkeypatch.setattr("limbeck.students.save", full)
    code, _, err = run(*label(pool))
    assert code == 2
    assert "student.json: Input/output error. What was bought is kept in" in " ".join(err.split())


def test_label_promises_nothing_kept_where_nothing_is(pool, run):
    for change in (["--audit", "60"], ["--price", "1e308"]):
        code, _, err = run(*label(pool), *change)
        assert code == 2
        assert "kept" not in err
        assert not (pool / "bought").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--teacher-command", "/no/such/teacher"], "does not start"),
        (["--teacher-command", "'"], "cannot be split"),
        (["--select", "best"], "--select best: span or random"),
        (["--send", "nothing"], "no column 'nothing'"),
        (["--audit", "60"], "leaves nothing to learn from"),
        (["--price", "-1"], "--price -1"),
        (["--price", "1e308"], "price times budget"),
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


@pytest.mark.parametrize("how", ["", "rounded", "logits", "log", "near 1"])
def test_names_of_classes_are_kept_where_the_teacher_gives_one_number(pool, run, how):
    code, _, err = run(*label(pool, f"'{how}'", "--classes", "no,yes"))
    assert code == 0, err
    (pool / "apart").mkdir()
    kind = {"logits": "logit", "log": "log_probability"}.get(how, "probability")
    names, rows = ["no", "yes"], answers(pool)
    one = f"teacher_{kind}"
    assert set(rows[0]) == {"id", "audit", f"{one}_no", f"{one}_yes"}
    with (pool / "one.csv").open("w", newline="") as file:
        table = [(row["id"], row["audit"], row[f"{one}_yes"]) for row in rows]
        csv.writer(file).writerows([("id", "audit", one), *table])
    students = []
    for table, more in (("bought/answers.csv", ()), ("one.csv", ("--classes", "no,yes"))):
        words = (
            "distill",
            *points(pool),
            "--answers",
            pool / table,
            *more,
            "--overwrite",
            "--out",
            pool / "s.json",
        )
        code, _, err = run(*words)
        assert code == 0, err
        students.append(package.load(pool / "s.json"))
        assert students[-1].classes_.tolist() == names
    np.testing.assert_allclose(students[0].coef_, students[1].coef_, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(students[0].intercept_, students[1].intercept_, rtol=1e-12, atol=1e-12)


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
    words = "audit", path, "--decimals", "2..3", "--repeats", "1", "--report", tmp_path / "r.html"
    code, out, err = run(*words)
    if kind == "json":  # its features may have any scale, so that no points but a pool's suit it
        assert (code, out) == (2, "")
        assert "limbeck audit STUDENT.json POOL" in " ".join(err.split())
        rows = [[f"x{j}" for j in range(5)], *rng.standard_normal((400, 5)).tolist()]
        with (tmp_path / "pool.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        code, out, err = run(*words, tmp_path / "pool.csv", "--features", "x*")
        assert "rows of the pool in random order, judged on 133 other rows" in " ".join(out.split())
    else:
        assert "standard normal points, because no pool was given" in " ".join(out.split())
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


def test_label_and_plan_choose_among_texts(tmp_path, run):
    said = messages(60)
    (tmp_path / "t.csv").write_text(
        "\n".join(["id,text", *(f"r{i},{text}" for i, text in enumerate(said))]) + "\n"
    )
    (tmp_path / "teacher.py").write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    x = json.loads(line)\n"
        "    p = 0.9 if x['x'][0] > 0 else 0.2\n"
        "    print(json.dumps({'id': x['id'], 'probabilities': p}), flush=True)\n"
    )
    texts = tmp_path / "t.csv", "--text", "text", "--target-risk", "0.1"
    code, _, err = run(
        "label", *texts, "--teacher-command", f"{sys.executable} {tmp_path / 'teacher.py'}", "--budget", "40",
        "--audit", "20", "--batch", "10", "--alpha", "0.01", "--anyway", "--out", tmp_path / "bought",
    )  # fmt: skip
    assert code == 0, err
    X = read_pool(
        open_table(tmp_path / "t.csv"), choose(open_table(tmp_path / "t.csv"), [], None, "text"), "id"
    ).X
    rows = [(int(row["id"][1:]), int(row["audit"])) for row in answers(tmp_path)]
    rest = np.setdiff1d(np.arange(60), [row for row, audit in rows if audit])
    best = SpanSelection().query(np.hstack([X.toarray()[rest], np.ones((40, 1))]), 40)
    assert [row for row, audit in rows if not audit] == rest[best[:20]].tolist()
    code, out, err = run("plan", *texts)
    assert code == 0, err
    assert out.startswith("rank ")


def test_audit_of_a_student_of_texts_makes_a_small_pool_dense_and_says_so(tmp_path, run, monkeypatch):
    rows = [f"{text},{0.9 if i % 6 in (0, 1, 4) else 0.1}" for i, text in enumerate(messages(60))]
    (tmp_path / "t.csv").write_text("\n".join(["text,p", *rows]) + "\n")
    student = tmp_path / "s.json"
    words = "distill", tmp_path / "t.csv", "--text", "text", "--teacher-probability", "p", "--alpha", "0.01"
    assert run(*words, "--out", student)[0] == 0
    audit = "audit", student, tmp_path / "t.csv", "--decimals", "3", "--repeats", "1"
    code, out, err = run(*audit)
    assert code == 0, err
    assert "60 x 11 are made dense" in " ".join(err.split())
    assert "Majority baseline: " in out
    monkeypatch.setattr("limbeck.cli.audit.MOST_DENSE", 100)
    code, out, err = run(*audit)
    assert (code, out) == (2, "")
    assert "Give at most 9 rows, drawn at random" in " ".join(err.split())
