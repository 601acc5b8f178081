"""Tables of answers as people have them: refusals, the top few classes, a column a class, rows that were chosen."""

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import in_process
from scipy.special import expit, log_softmax

from limbeck import SoftLabelClassifier, load
from limbeck.budget import plan_budget
from limbeck.data import blocks as cut
from limbeck.labels import from_partial_log_probabilities, from_top_k
from limbeck.theory.scaling import Scaling

N, D = 240, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D)) * [1, 2, 3]
P = expit(X @ [1.0, -1, 0.5] + 0.2 + 0.3 * RNG.standard_normal(N))
SCORES = X @ RNG.standard_normal((D, 4))
HAVE = RNG.random(N) < 0.6
HAVE[0] = False
KINDS = ("csv", "tsv", "jsonl", "parquet", "npz")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: in_process(monkeypatch, capsys, *arguments)


def write(path, columns):
    """A table; NaN and None are what its format has for a cell that is empty."""
    kind = path.rsplit(".", 1)[1]
    names, rows = list(columns), [list(map(cell, row)) for row in zip(*columns.values(), strict=True)]
    if kind in ("csv", "tsv"):
        with open(path, "w", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if kind == "tsv" else ",")
            writer.writerows([names, *(["" if v is None else v for v in row] for row in rows)])
    elif kind == "jsonl":
        with open(path, "w") as file:
            file.writelines(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    elif kind == "parquet":
        pq.write_table(pa.table({n: [row[i] for row in rows] for i, n in enumerate(names)}), path)
    else:
        np.savez(path, **columns)


def cell(value):
    if isinstance(value, np.ndarray | list):
        inside = [cell(v) for v in value]
        return None if all(v is None for v in inside) else inside
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and np.isnan(value) else value


def points():
    return {f"x{j}": X[:, j] for j in range(D)}


def with_gaps(values, have=HAVE):
    return np.where(have if values.ndim == 1 else have[:, None], values, np.nan)


SELECT = (
    *("select", "pool.csv", "--features", "x*", "--budget", 3),
    *("--given", "given.csv", "--teacher-logit", "z"),
)


def flat(text):
    return " ".join(text.split())


# -- rows without an answer ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_rows_without_an_answer_are_dropped_on_request_counted_and_still_scale(run, monkeypatch, kind, how):
    monkeypatch.setattr(cut, "CELLS", 16 * D)  # many blocks, some without any answer
    have = HAVE & (np.arange(N) >= 40)
    write(f"t.{kind}", {**points(), "p": with_gaps(P, have)})
    words = ("distill", f"t.{kind}", "--features", "x*", "--teacher-probability", "p", how)
    code, out, error = run(*words, "--out", "no.json")
    assert (code, out) == (2, "")
    assert "Row 1, column 'p'" in error
    assert "--unanswered drop" in error
    wishes = ("--unanswered", "drop", "--alpha", "0.01", "--held-out", "0", "--scale", "standard")
    code, out, error = run(*words, *wishes, "--out", "s.json")
    assert code == 0, error
    assert f"{N - have.sum()} of {N} rows have no answer" in flat(out)
    scaling = Scaling.of(X, "standard")  # of all points
    wanted = SoftLabelClassifier(0.01).fit(scaling.apply(X[have]), P[have])
    coef, intercept = scaling.fold(wanted.coef_, wanted.intercept_)
    np.testing.assert_allclose(load("s.json").coef_, coef, rtol=1e-6)
    np.testing.assert_allclose(load("s.json").intercept_, intercept, rtol=1e-6)
    assert json.loads(Path("s.json").read_text())["provenance"]["answers"].startswith(
        f"{N - have.sum()} of {N}"
    )
    facts = json.loads(run(*words, *wishes, "--out", "j.json", "--json")[1])
    assert facts["unanswered"] == N - have.sum()


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "npz"])
@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_a_column_of_vectors_may_have_none_in_whole_chunks(run, monkeypatch, kind, how):
    monkeypatch.setattr(cut, "CELLS", 16 * D)
    monkeypatch.setattr("limbeck.data.tables.ROWS", 16)
    have = HAVE & (np.arange(N) >= 40)
    write(f"t.{kind}", {**points(), "z": with_gaps(SCORES, have)})
    code, out, error = run(
        "distill", f"t.{kind}", "--features", "x*", "--teacher-logit", "z", how, "--unanswered", "drop",
        "--alpha", "0.01", "--held-out", "0", "--out", "s.json",
    )  # fmt: skip
    assert code == 0, error
    wanted = SoftLabelClassifier(0.01).fit(X[have], teacher_logits=SCORES[have])
    np.testing.assert_allclose(load("s.json").coef_, wanted.coef_, rtol=1e-5, atol=1e-7)
    assert f"{N - have.sum()} of {N} rows have no answer" in flat(out)


@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_labels_that_are_missing_and_the_default_ridge(run, monkeypatch, how):
    monkeypatch.setattr(cut, "CELLS", 16 * D)
    labels = [("yes" if p > 0.5 else "no") if h else None for p, h in zip(P, HAVE, strict=True)]
    write("t.csv", {**points(), "y": labels})
    code, out, error = run(
        "distill", "t.csv", "--features", "x*", "--teacher-label", "y", "--classes", "no,yes", how, "--unanswered",
        "drop", "--out", "s.json",
    )  # fmt: skip
    assert code == 0, error
    assert f"{N - HAVE.sum()} of {N} rows have no answer" in flat(out)
    assert (load("s.json").predict(X) == np.where(P > 0.5, "yes", "no")).mean() > 0.9


def test_held_out_rows_have_an_answer_and_the_page_counts_the_others(run):
    write("t.csv", {**points(), "p": with_gaps(P)})
    code, out, error = run(
        "distill", "t.csv", "--features", "x*", "--teacher-probability", "p", "--unanswered", "drop", "--held-out",
        "0.5", "--report", "r.html", "--repeats", 2, "--out", "s.json",
    )  # fmt: skip
    assert code == 0, error
    assert f"of {round(0.5 * HAVE.sum())} held-out rows" in flat(out)
    assert f"{N - HAVE.sum()} of {N} rows have no answer" in Path("r.html").read_text()


def test_answers_of_a_second_table_may_be_refusals_and_are_counted(run):
    write("pool.csv", {"id": np.arange(N), **points()})
    order = RNG.permutation(N)[:100]
    write("said.csv", {"id": order, "p": with_gaps(P)[order]})
    words = ("distill", "pool.csv", "--features", "x*", "--answers", "said.csv", "--teacher-probability", "p")
    code, out, error = run(
        *words, "--unanswered", "drop", "--alpha", "0.1", "--held-out", "0", "--out", "s.json"
    )
    assert code == 0, error
    rows = np.sort(order[HAVE[order]])
    assert f"{100 - len(rows)} of 100 rows have no answer" in flat(out)
    np.testing.assert_allclose(
        load("s.json").coef_, SoftLabelClassifier(0.1).fit(X[rows], P[rows]).coef_, rtol=1e-7
    )
    write("given.csv", {"id": order, "z": with_gaps(X @ [1.0, -1, 0.5])[order]})
    assert "--unanswered drop" in flat(run(*SELECT, "--out", "no.csv")[2])
    code, out, error = run(*SELECT, "--unanswered", "drop", "--out", "picks.csv")
    assert code == 0, error
    assert f"{100 - len(rows)} of 100 rows have no answer" in flat(out)


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        (
            "1,,\n2,0.4,0.6\n3,0.5,\n",
            ["--unanswered", "drop"],
            "Row 3, column 'p_b' is empty, and the row's other",
        ),
        ("1,,\n2,0.4,0.6\n", [], "Row 1, column 'p_a' is empty: the row has no answer"),
        ("1, ,\n2,,\n", ["--unanswered", "drop"], "No row has an answer in p_a, p_b"),
        ("1,,\n2,0.4,0.6\n3,0.4,0.7\n", ["--unanswered", "drop"], "Row 3 of the probabilities sums to 1.1"),
        ("1,,\n2,0.4,0.6\n", ["--unanswered", "skip"], "--unanswered skip: error or drop"),
    ],
)
@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_what_is_no_answer_is_named_by_the_row_of_the_table(run, rows, more, said, how):
    with open("t.csv", "w") as file:
        file.write("x,p_a,p_b\n" + rows)
    code, out, error = run(
        "distill", "t.csv", "--features", "x", "--teacher-probability", "p_*", "--out", "s.json", how, *more
    )
    assert (code, out) == (2, "")
    assert said.replace(" in p_a, p_b", "" if how == "--stream" else " in p_a, p_b") in flat(error)
    assert not os.path.exists("s.json")


# -- the top few classes ---------------------------------------------------------------------------


def top(k=2):
    """Log-probabilities of the two likeliest of four classes, and which they are."""
    logs = log_softmax(SCORES, axis=1)
    which = np.argsort(-logs, axis=1)[:, :k]
    table = np.full(logs.shape, np.nan)
    np.put_along_axis(table, which, np.take_along_axis(logs, which, axis=1), axis=1)
    return table, which, np.take_along_axis(logs, which, axis=1)


@pytest.mark.parametrize("tail", ["uniform", "zero"])
@pytest.mark.parametrize(
    ("kind", "how"), [("csv", "--at-once"), ("parquet", "--stream"), ("jsonl", "--at-once")]
)
def test_top_k_columns_are_read_as_from_top_k_reads_them(run, monkeypatch, tail, kind, how):
    monkeypatch.setattr(cut, "CELLS", 16 * D)
    table, which, logs = top()
    names = ["lp_ham", "lp_spam", "lp_other", "lp_odd"]
    write(f"t.{kind}", {**points(), **dict(zip(names, with_gaps(table).T, strict=True))})
    words = (
        "distill",
        f"t.{kind}",
        "--features",
        "x*",
        "--teacher-log-probability",
        "lp_*",
        how,
        "--unanswered",
        "drop",
    )
    code, _, error = run(*words, "--out", "no.json")
    assert code == 2
    assert "--top-k" in error
    code, _, error = run(*words, "--top-k", tail, "--alpha", "0.01", "--held-out", "0", "--out", "s.json")
    assert code == 0, error
    said = from_top_k(which[HAVE], logs[HAVE], 4, tail=tail).probabilities
    student = load("s.json")
    np.testing.assert_allclose(
        student.coef_, SoftLabelClassifier(0.01).fit(X[HAVE], said).coef_, rtol=1e-5, atol=1e-7
    )
    assert student.classes_.tolist() == ["ham", "spam", "other", "odd"]
    code, _, error = run(*words, "--top-k", "raise", "--out", "no.json")
    assert code == 2
    assert "of its mass" in error


@pytest.mark.parametrize("decimals", [2, 3, 4])
@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_a_linear_teacher_of_rounded_log_probabilities_is_not_called_nonlinear(run, decimals, how):
    logs = np.round(log_softmax(SCORES, axis=1), decimals)
    write("t.csv", {**points(), **{f"lp_{k}": logs[:, k] for k in range(4)}})
    words = ("distill", "t.csv", "--features", "x*", "--teacher-log-probability", "lp_*", "--alpha", "0", how)
    code, out, error = run(*words, "--out", "s.json", "--held-out", "0")
    assert code == 0, error
    assert "linear here" in flat(out)
    assert "not linear" not in flat(out)


def test_a_partial_table_is_from_top_k_and_rows_may_name_different_numbers_of_classes():
    table, which, logs = top()
    for tail in ("uniform", "zero"):
        ours, theirs = from_partial_log_probabilities(table, tail=tail), from_top_k(which, logs, 4, tail=tail)
        for name in ("probabilities", "logits", "error", "saturated"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    mixed = from_partial_log_probabilities(
        np.log([[0.7, np.nan, np.nan, np.nan], [0.5, 0.2, np.nan, 0.1], [0.1, 0.2, 0.3, 0.4]]), tail="uniform"
    )
    np.testing.assert_allclose(
        mixed.probabilities, [[0.7, 0.1, 0.1, 0.1], [0.5, 0.2, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]
    )
    for table, said in (
        ([[np.nan] * 3], "names no class"),
        ([[0.0, -1.0]], "from 3"),
        ([[1e4, 0, 0]], "more than 1"),
    ):
        with pytest.raises(ValueError, match=said):
            from_partial_log_probabilities(table, tail="uniform")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--teacher-logit", "x*", "--top-k", "zero"], "--top-k reads log-probabilities"),
        (["--teacher-log-probability", "x*", "--top-k", "rest"], "One of uniform, zero, raise"),
    ],
)
def test_top_k_says_what_it_needs(run, words, said):
    write("t.csv", points())
    code, _, error = run("distill", "t.csv", "--features", "x*", *words, "--out", "s.json")
    assert code == 2
    assert said in flat(error)


@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_top_k_of_fewer_than_three_classes_is_said_in_options(run, how):
    write("t.csv", {**points(), "lp_a": np.log(P), "lp_b": np.log1p(-P)})
    words = ("distill", "t.csv", "--features", "x*", "--top-k", "zero", how, "--out", "s.json")
    for names, said in (("lp_a", "lp_a holds one"), ("lp_*", "lp_a, lp_b hold 2")):
        code, _, error = run(*words, "--teacher-log-probability", names)
        assert code == 2
        assert f"three classes or more, a column a class; {said}. With two classes" in flat(error)


@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_what_a_row_lacks_is_said_in_options(run, how):
    logs = log_softmax(SCORES, axis=1)
    logs[6] += 0.1
    write("t.csv", {**points(), **{f"lp_{k}": logs[:, k] for k in range(4)}})
    words = (
        "distill",
        "t.csv",
        "--features",
        "x*",
        "--teacher-log-probability",
        "lp_*",
        how,
        "--out",
        "s.json",
    )
    error = flat(run(*words)[2])
    assert (
        "The teacher's answers (lp_0, lp_1, lp_2, lp_3): Row 7 of the log-probabilities sums to 1.1" in error
    )
    assert "--top-k reads" in error
    assert "from_top_k" not in error
    write("t.csv", {**points(), **{f"lp_{k}": with_gaps(top()[0], HAVE | True)[:, k] for k in range(4)}})
    error = flat(run(*words, "--top-k", "raise")[2])
    assert "Row 1 lacks" in error
    assert "--top-k uniform shares it" in error
    assert "tail=" not in error
    logs[6, 2] = 0.5
    write("t.csv", {**points(), **{f"lp_{k}": logs[:, k] for k in range(4)}})
    assert "0.5 in row 7, column 'lp_2' is not a log-probability" in flat(run(*words)[2])


def test_a_class_that_no_row_names_has_no_share(run):
    table = top()[0]
    table[:, 1] = np.nan
    table[np.isnan(table).all(axis=1), 0] = -0.1
    write("t.csv", {**points(), **{f"lp_{k}": table[:, k] for k in range(4)}})
    words = ("distill", "t.csv", "--features", "x*", "--teacher-log-probability", "lp_*", "--out", "s.json")
    code, _, error = run(*words, "--top-k", "zero")
    assert code == 2
    assert "No row names the class '1' (column 'lp_1')" in flat(error)
    assert run(*words, "--top-k", "uniform", "--alpha", "0.1")[0] == 0


def test_answers_of_which_some_are_none_are_not_called_hard(run):
    write("t.csv", {**points(), **{f"lp_{k}": top()[0][:, k] for k in range(4)}})
    words = ("distill", "t.csv", "--features", "x*", "--teacher-log-probability", "lp_*", "--top-k", "zero")
    code, out, error = run(*words, "--alpha", "0.1", "--out", "s.json")
    assert code == 0, error
    assert "hard labels" not in flat(out)
    assert "a probability of 0 or 1 as stored" in flat(out)


@pytest.mark.parametrize(
    ("command", "bad", "said"),
    [
        ("plan", "", "is empty"),
        ("plan", "spam", "is not a number"),
        ("plan", "1.5", "in row 7"),
        ("distill", "", "is empty"),
        ("distill", "spam", "is not a number"),
    ],
)
def test_a_row_of_a_folder_is_named_by_its_file(run, command, bad, said):
    os.mkdir("parts")
    for k in range(3):
        rows = slice(80 * k, 80 * (k + 1))
        cells = P[rows].tolist()
        if k == 1:
            cells[6] = bad
        write(f"parts/{k}.csv", {**{name: v[rows] for name, v in points().items()}, "p": cells})
    options = {"plan": ("--target-risk", "0.1"), "distill": ("--alpha", "0.1", "--out", "s.json")}[command]
    code, _, error = run(command, "parts", "--features", "x*", "--teacher-probability", "p", *options)
    assert code == 2
    assert "parts/1.csv: " in error.replace("\n", "")  # a long path is broken anywhere
    assert said in flat(error)
    assert "ow 7" in flat(error)


# -- which columns, which names --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "named", "classes"),
    [
        (["p_spam", "p_ham"], ["p_*"], ["spam", "ham"]),  # in the table's order
        (["p_spam", "p_ham"], ["p_ham", "p_spam"], ["ham", "spam"]),  # one by one, in that order
        (["p_spam", "p_spoof"], ["p_spam", "p_spoof"], ["spam", "spoof"]),  # no prefix inside a word
        (["spam_p", "ham_p"], ["*_p"], ["spam", "ham"]),
        (["yes", "yeah"], ["yes", "yeah"], ["yes", "yeah"]),  # no prefix
        (["p_", "p_ham"], ["p_*"], ["p_", "p_ham"]),  # one would have no name
        (["p_*", "p_ham"], ["p_*", "p_ham"], ["*", "ham"]),  # a column's own name comes first
        (["p[0]", "p0", "p[1]"], ["p[0]", "p[1]"], ["p[0]", "p[1]"]),
        (["a.x", "b.x"], ["a.*", "b.*"], ["a.x", "b.x"]),  # what * matched is not two names
    ],
)
@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_columns_by_pattern_and_what_their_classes_are_called(run, columns, named, classes, how):
    said = dict(zip(columns, [P, 1 - P, P], strict=False))
    if "p0" in said:
        said |= {"p0": P, "p[1]": 1 - P}
    write("t.csv", {**points(), **said})
    options = [word for name in named for word in ("--teacher-probability", name)]
    code, _, error = run(
        "distill", "t.csv", "--features", "x*", *options, "--out", "s.json", "--alpha", "0.1", how
    )
    assert code == 0, error
    assert load("s.json").classes_.tolist() == classes
    assert run("predict", "s.json", "t.csv", "--out", "a.csv")[0] == 0
    with open("a.csv") as file:
        assert next(csv.reader(file))[2:] == [f"probability_{name}" for name in classes]


def test_columns_that_are_not_there_or_twice_are_named_and_classes_may_be_given(run):
    write("t.csv", {**points(), "p_a": P, "p_b": 1 - P})
    words = ("distill", "t.csv", "--features", "x*", "--out", "s.json", "--teacher-probability")
    assert "no column 'q_*', and none that matches" in flat(run(*words, "q_*")[2])
    assert "names the column 'p_a' twice" in flat(run(*words, "p_a", "--teacher-probability", "p_*")[2])
    assert run(*words, "p_*", "--classes", "no,yes")[0] == 0
    assert load("s.json").classes_.tolist() == ["no", "yes"]
    write("t.csv", {**points(), "teacher_probability_a": P, "teacher_probability_b": 1 - P})
    assert run(*words[:-1], "--overwrite")[0] == 0
    assert load("s.json").classes_.tolist() == ["a", "b"]


# -- a pilot beside its pool -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_plan_takes_answers_beside_the_points(run, how):
    os.mkdir("parts")
    for k in range(3):  # a folder is numbered through
        rows = slice(80 * k, 80 * (k + 1))
        write(f"parts/{k}.csv", {name: v[rows] for name, v in {**points(), "p": with_gaps(P)}.items()})
    write("t.csv", {**points(), "p": with_gaps(P)})
    where = "parts" if how == "--stream" else "t.csv"
    words = ("plan", where, "--features", "*", "--teacher-probability", "p", "--target-risk", "0.2", how)
    code, _, error = run(*words)
    assert code == 2
    assert "--unanswered drop" in error
    code, out, error = run(*words, "--unanswered", "drop", "--json", "--report", "r.html")
    assert code == 0, error
    found = json.loads(out)
    wanted = plan_budget(
        X, logits(P[HAVE]), rows=np.flatnonzero(HAVE), target_risk=0.2, rng=np.random.default_rng(0)
    )
    assert found["unanswered"] == N - HAVE.sum()
    assert found["pilot"]["answers"] == HAVE.sum()
    assert found["coverage"]["points"] == N
    assert found["verdict"] == wanted.verdict
    np.testing.assert_allclose(
        found["pilot"]["curve"]["disagreement"], wanted.pilot.curve.disagreement, rtol=1e-9
    )
    assert f"{N - HAVE.sum()} of {N} rows have no answer" in Path("r.html").read_text()


def logits(p):
    return np.log(p) - np.log1p(-p)


# -- rows that were chosen -------------------------------------------------------------------------

CHOSEN = (np.abs(X[:, 2]) > 2.5).astype(int)


@pytest.fixture
def bought():
    """As limbeck label leaves it: 40 rows drawn at random, and the others chosen far out."""
    random = RNG.permutation(np.flatnonzero(CHOSEN == 0))[:40]
    rows = np.concatenate([random, np.flatnonzero(CHOSEN)])
    write("pool.csv", {"id": np.arange(N), **points()})
    write(
        "answers.csv",
        {"id": rows, "audit": (np.arange(len(rows)) < 40).astype(int), "teacher_probability": P[rows]},
    )
    return random, rows


def test_plan_measures_with_the_rows_that_label_drew_at_random(run, bought):
    _, rows = bought
    words = ("plan", "pool.csv", "--features", "x*", "--answers", "answers.csv", "--target-risk", "0.1")
    code, out, error = run(*words)
    assert code == 0, error
    assert f"40 of {len(rows)} answers were drawn at random, says column 'audit'" in flat(out)
    found = {
        key: json.loads(run(*words, *more, "--json")[1])
        for key, more in {"unasked": [], "asked": ["--audit", "audit"], "none": ["--audit", ""]}.items()
    }
    assert found["unasked"]["pilot"]["audit"] == found["asked"]["pilot"]["audit"] == 40
    assert found["unasked"] == found["asked"]
    assert found["none"]["pilot"]["audit"] == len(rows)
    assert "unasked" not in run(*words, "--audit", "audit")[1]


def test_distill_holds_out_none_but_rows_drawn_at_random(run, bought):
    random, rows = bought
    words = (
        "distill",
        "pool.csv",
        "--features",
        "x*",
        "--answers",
        "answers.csv",
        "--held-out",
        "0.9",
        "--alpha",
        "0.1",
    )
    code, out, error = run(*words, "--out", "s.json")
    assert code == 0, error
    assert "of 40 held-out rows, all drawn at random" in flat(out)
    learned = np.sort(np.setdiff1d(rows, random))
    np.testing.assert_allclose(
        load("s.json").coef_, SoftLabelClassifier(0.1).fit(X[learned], P[learned]).coef_, rtol=1e-7
    )
    code, out, _ = run(*words, "--out", "all.json", "--audit", "")
    assert f"of {round(0.9 * len(rows))} held-out rows, " in flat(out)
    assert "drawn at random" not in out


def test_a_column_of_another_meaning_is_not_taken_for_labels(run, bought):
    _, rows = bought
    write("answers.csv", {"id": rows, "audit": [f"by {r}" for r in rows], "teacher_probability": P[rows]})
    words = ("distill", "pool.csv", "--features", "x*", "--answers", "answers.csv", "--out", "s.json")
    code, out, error = run(*words)
    assert code == 0, error
    assert "drawn at random" not in out
    assert "not a number" in run(*words, "--overwrite", "--audit", "audit")[2]
    write("answers.csv", {"id": rows, "audit": 0 * rows, "teacher_probability": P[rows]})
    assert "marks no answer as drawn at random" in flat(run(*words, "--overwrite")[2])


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_flags_of_true_and_false_are_taken_unasked(run, kind):
    write(f"t.{kind}", {**points(), "audit": CHOSEN == 1, "p": P})
    words = ("distill", f"t.{kind}", "--features", "*", "--teacher-probability", "p", "--out", "s.json")
    code, out, error = run(*words, "--alpha", "0.1")
    assert code == 0, error
    assert f"{CHOSEN.sum()} of {N} answers were drawn at random, says column 'audit'" in flat(out)
    assert load("s.json").coef_.shape == (1, D)


@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_a_class_that_the_first_json_line_lacks_does_not_vanish(run, how):
    with open("t.jsonl", "w") as file:
        for x, said in zip(X.tolist(), top()[0], strict=True):
            lp = {f"lp_{k}": v for k, v in enumerate(said.tolist()) if not np.isnan(v)}
            file.write(json.dumps({"x0": x[0], "x1": x[1], **lp}) + "\n")
    words = ("distill", "t.jsonl", "--features", "x*", "--teacher-log-probability", "lp_*", "--top-k", "zero")
    code, out, error = run(*words, how, "--out", "s.json")
    assert (code, out) == (2, "")
    assert ", line 2: the key 'lp_" in flat(error)
    assert "null where it has none" in flat(error)


def test_read_in_blocks_a_column_of_audit_rows_refuses_an_agreement(run):
    write("t.csv", {**points(), "audit": CHOSEN, "p": P})
    words = (
        "distill",
        "t.csv",
        "--features",
        "*",
        "--teacher-probability",
        "p",
        "--stream",
        "--out",
        "s.json",
    )
    assert "rows are held out at random, and column 'audit' says" in flat(run(*words)[2])
    assert run(*words, "--held-out", "0")[0] == 0
    assert load("s.json").coef_.shape == (1, D)
    assert run(*words, "--overwrite", "--audit", "")[0] == 0


# -- what select and label write, joined again -----------------------------------------------------

TEACHER = """import json, math, sys
for line in sys.stdin:
    q = json.loads(line)
    if q["id"].endswith("7"):
        said = {"refusal": "no"}
    else:
        z = sum(a * b for a, b in zip(q["x"], (1.0, -1, 0.5)))
        said = {"probabilities": {"no": 1 / (1 + math.exp(z)), "yes": 1 / (1 + math.exp(-z))}}
    print(json.dumps({"id": q["id"], **said}), flush=True)
"""


def buy(run, points, *more):
    Path("teacher.py").write_text(TEACHER)
    code, _, error = run(
        "label", points, "--features", "x*", *more, "--budget", 80, "--audit", 40, "--target-risk", "0.01", "--anyway",
        "--teacher-command", f"{sys.executable} teacher.py", "--out", "bought",
    )  # fmt: skip
    assert code == 0, error
    with open("bought/answers.csv") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("ids", "more"),
    [({"id": np.arange(N) + 5}, []), ({"doc": [f"=r{i}" for i in range(N)]}, ["--id", "doc"]), ({}, [])],
)
@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_what_label_bought_is_distilled_planned_with_and_not_chosen_again_by_one_plain_command(
    run, ids, more, how
):
    write("pool.csv", {**ids, **points()})
    rows = buy(run, "pool.csv", *more)
    assert next(iter(rows[0])) == ("id" if ids else "row")
    words = ("pool.csv", "--features", "x*", *more, how)
    code, out, error = run(
        "distill", *words, "--answers", "bought/answers.csv", "--alpha", "0", "--out", "s.json"
    )
    assert code == 0, error
    assert "all drawn at random" in flat(out)
    assert ("joined by row number" in flat(out)) == (not ids)
    student = load("s.json")
    np.testing.assert_allclose(student.coef_, [[1, -1, 0.5]], atol=1e-7)
    assert student.classes_.tolist() == ["no", "yes"]
    saved = json.loads(Path("s.json").read_text())["provenance"]
    assert ("ids" in saved) == (not ids)
    assert "column 'audit' of answers.csv" in saved["audit"]
    code, out, error = run("plan", *words, "--answers", "bought/answers.csv", "--target-risk", "0.1")
    assert code == 0, error
    assert ("joined by row number" in flat(out)) == (not ids)
    code, out, error = run(
        "select", *words, "--given", "bought/answers.csv", "--budget", 9, "--out", "picks.csv", "--report", "r.html"
    )  # fmt: skip
    assert code == 0, error
    assert ("joined by row number" in flat(out)) == (not ids)
    assert ("by row number" in Path("r.html").read_text()) == (not ids)
    with open("picks.csv") as file:
        picks = list(csv.DictReader(file))
    name = "id" if ids else "row"
    assert not {row[name] for row in picks} & {row[name] for row in rows}


def test_row_numbers_count_through_a_folder(run):
    os.mkdir("parts")
    for k in range(3):
        write(f"parts/{k}.csv", {name: values[80 * k : 80 * (k + 1)] for name, values in points().items()})
    rows = RNG.permutation(N)[:60]
    write("said.csv", {"row": rows + 1, "z": X[rows] @ [1.0, -1, 0.5]})
    words = ("parts", "--features", "x*", "--answers", "said.csv", "--teacher-logit", "z", "--alpha", "0")
    code, out, error = run("distill", *words, "--out", "s.json")
    assert code == 0, error
    np.testing.assert_allclose(load("s.json").coef_, [[1, -1, 0.5]], atol=1e-7)
    code, out, error = run("plan", *words, "--target-risk", "0.1")
    assert code == 0, error
    assert "linear here" in out


@pytest.mark.parametrize(
    ("pool", "said", "more", "message"),
    [
        ({"doc": np.arange(N)}, {"doc": [3]}, [], "pool.csv: answers are joined by id, and no column of ids"),
        ({}, {"id": [3]}, [], "said.csv needs a column 'row' of the points' row numbers"),
        ({"id": np.arange(N)}, {"row": [3]}, [], "said.csv: answers are joined by id, and there is no column 'id'."),
        ({"doc": np.arange(N)}, {"x": [3]}, ["--id", "doc"], "there is no column 'doc' or 'id'. There are 'x'"),
        ({}, {"row": [0, 1]}, [], "1 answers have ids that pool.csv does not; the first is '0', row 1"),
        ({}, {"row": [2, 2]}, [], "the id '2' (column 'row') occurs in rows 1 and 2"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["distill", "plan", "select"])
def test_answers_that_cannot_be_joined_are_refused_with_what_is_needed(
    run, command, pool, said, more, message
):
    write("pool.csv", {**pool, **points()})
    write("said.csv", {**said, "z": np.ones(len(next(iter(said.values()))))})
    options = {
        "distill": ("--answers", "said.csv", "--teacher-logit", "z", "--out", "s.json"),
        "plan": ("--answers", "said.csv", "--teacher-logit", "z", "--target-risk", "0.1"),
        "select": ("--given", "said.csv", "--budget", 3, "--out", "picks.csv"),
    }[command]
    code, out, error = run(command, "pool.csv", "--features", "x*", *more, *options)
    assert (code, out) == (2, "")
    assert message in flat(error)


@pytest.mark.parametrize("how", ["--at-once", "--stream"])
def test_a_column_of_audit_rows_is_a_feature_only_if_it_is_named(run, how):
    write("t.csv", {**points(), "audit": CHOSEN, "p": P})
    words = ("distill", "t.csv", "--teacher-probability", "p", "--audit", "", "--alpha", "0.1", how)
    code, _, error = run(*words, "--features", "*", "--out", "s.json")
    assert code == 0, error
    assert load("s.json").coef_.shape == (1, D)
    assert "'audit' (marks rows drawn at random)" in flat(error)
    assert "name it: --features audit." in flat(error)
    code, _, error = run(*words, "--features", "x*", "--features", "audit", "--out", "named.json")
    assert code == 0, error
    assert load("named.json").coef_.shape == (1, D + 1)
    assert f"{D + 1} columns" in flat(error)
    assert "marks rows" not in flat(error)


def test_a_column_of_audit_rows_is_no_feature_and_needed_only_to_measure(run):
    write("t.csv", {**points(), "audit": 0 * CHOSEN, "p": P})
    words = ("distill", "t.csv", "--features", "*", "--teacher-probability", "p", "--out", "s.json")
    assert "t.csv: column 'audit' marks no answer" in flat(run(*words)[2])
    code, out, error = run(*words, "--held-out", "0", "--stream")
    assert code == 0, error
    assert "Column 'audit' says which rows were drawn at random: it is no feature." in flat(error)
    code, out, error = run(*words, "--held-out", "0", "--overwrite")
    assert code == 0, error
    assert f"0 of {N} answers were drawn at random" in flat(out)
    assert load("s.json").coef_.shape == (1, D)
    write("t.csv", {**points(), "audit": [None, *CHOSEN[1:]], "p": P})
    assert "t.csv: row 1, column 'audit' is empty where there is an answer" in flat(
        run(*words, "--overwrite")[2]
    )


@pytest.mark.parametrize(
    "words",
    [
        ("select", "pool.csv", "--budget", 2, "--out", "p.csv", "--no-intercept"),
        ("plan", "pool.csv", "--target-risk", "0.1"),
    ],
    ids=lambda words: words[0],
)
def test_a_column_audit_is_no_feature_of_any_command_unless_it_is_named(run, words):
    write("pool.csv", {"id": np.arange(N), **points(), "audit": np.arange(N) % 2})
    code, _, error = run(*words, "--features", "*")
    assert (code, "'audit' (marks rows drawn at random)" in flat(error)) == (0, True)
    more = ("--features", "*", "--features", "audit", *(["--overwrite"] if words[0] == "select" else []))
    code, _, error = run(*words, *more)
    assert (code, "marks rows" in flat(error)) == (0, False)


def test_select_says_on_its_page_and_in_json_how_many_rows_have_no_answer(run):
    write("pool.csv", {"id": np.arange(N), **points()})
    write("given.csv", {"id": np.arange(9), "z": [None, *(X[1:9] @ [1.0, -1, 0.5])]})
    said = flat(run(*SELECT, "--out", "no.csv")[2])
    assert "Row 1, column 'z' is empty: the row has no answer." in said
    code, out, error = run(
        *SELECT, "--unanswered", "drop", "--out", "picks.csv", "--report", "r.html", "--json"
    )
    assert code == 0, error
    assert json.loads(out)["unanswered"] == 1
    assert "1 of 9 rows has no answer: not learned from" in Path("r.html").read_text()
    assert "one kind of answer is needed, none given" in flat(
        run(*SELECT[:-2], "--unanswered", "drop", "--out", "n.csv")[2]
    )
