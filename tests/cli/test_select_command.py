import csv
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import in_process

from limbeck import SpanSelection
from limbeck.budget import AnswerSelection
from limbeck.data.features import choose
from limbeck.data.pool import read_pool
from limbeck.data.tables import open_table
from limbeck.theory import Span


@pytest.fixture
def run(monkeypatch, capsys):
    return lambda *arguments: in_process(monkeypatch, capsys, *arguments)


@pytest.fixture
def pool(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 8)) * np.arange(1, 9) ** -1.0
    pq.write_table(pa.table({"doc": [f"d{i}" for i in range(120)], "v": list(X)}), tmp_path / "pool.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path, X


def picked(path):
    with path.open(newline="") as file:
        return [row["id"] for row in csv.DictReader(file)]


def test_the_ranking_is_span_selections_and_every_prefix_a_budget(pool, run):
    folder, X = pool
    words = ("select", "pool.parquet", "--embedding", "v", "--id", "doc")
    code, _, error = run(*words, "--budget", 6, "--out", "picks.csv", "--report", "r.html")
    assert code == 0, error
    expected = SpanSelection().query(np.hstack([X, np.ones((120, 1))]), 6)
    assert picked(folder / "picks.csv") == [f"d{i}" for i in expected]
    assert run(*words, "--budget", 3, "--out", "three.csv")[0] == 0
    assert picked(folder / "three.csv") == picked(folder / "picks.csv")[:3]
    page = (folder / "r.html").read_text()
    for part in (
        "6 of 6 add a direction",
        "Before any answer",
        "whitened",
        "exact if your teacher is linear",
    ):
        assert part in page, part


@pytest.mark.parametrize(("intercept", "flat"), [(True, 0), (True, 1), (False, 2)])
def test_columns_that_hold_one_value_are_counted_without_the_intercepts_own(pool, run, intercept, flat):
    folder, X = pool
    X[:, :flat] = 3.0
    pq.write_table(pa.table({"v": list(X)}), folder / "flat.parquet")
    how = "--intercept" if intercept else "--no-intercept"
    code, _, error = run(
        "select",
        "flat.parquet",
        "--embedding",
        "v",
        how,
        "--budget",
        3,
        "--out",
        "p.csv",
        "--report",
        "p.html",
    )
    assert code == 0, error
    page = (folder / "p.html").read_text()
    said = {1: "1 column holds one value only", 2: "2 columns hold one value only"}.get(flat)
    assert said is None or said in page
    assert ("one value only" in page) == (flat > 0)


def test_points_with_answers_are_not_chosen_again_and_their_answers_may_help(pool, run):
    folder, X = pool
    words = ("select", "pool.parquet", "--embedding", "v", "--id", "doc", "--no-intercept")
    assert run(*words, "--budget", 3, "--out", "first.csv")[0] == 0
    first = picked(folder / "first.csv")
    w = np.arange(8) - 3.0
    rows = "".join(
        f"{name},{X[int(name[1:])] @ w!r}\n".replace("np.float64(", "").replace(")", "") for name in first
    )
    (folder / "bought.csv").write_text("doc,z\n" + rows)
    assert run(*words, "--budget", 4, "--given", "bought.csv", "--out", "more.csv")[0] == 0
    rows = [int(name[1:]) for name in first]
    assert picked(folder / "more.csv") == [f"d{i}" for i in SpanSelection().query(X, 4, given=np.sort(rows))]
    code, _, error = run(
        *words,
        "--budget",
        4,
        "--given",
        "bought.csv",
        "--teacher-logit",
        "z",
        "--out",
        "by.csv",
        "--report",
        "by.html",
    )
    assert code == 0, error
    assert not set(picked(folder / "by.csv")) & set(first)
    with (folder / "by.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    for k in range(1, 5):  # the energy that the ids written leave, not that of a choice by geometry
        span = Span(X[[*rows, *(int(row["id"][1:]) for row in written[:k])]])
        left = np.square(span.residual(unit)).sum() / 120
        assert float(written[k - 1]["energy_left"]) == pytest.approx(left, rel=1e-9)
    assert {row["adds_direction"] for row in written} == {"1"}
    page = (folder / "by.html").read_text()
    for part in (
        "Chosen by the answers bought so far",
        "How are the points aligned?",
        "Proved, provided that the teacher",
    ):
        assert part in page, part


def test_answers_of_no_linear_teacher_prove_nothing_and_the_page_says_so(pool, run):
    folder, X = pool
    rows = "".join(f"d{i},{np.sin(5 * X[i]).sum():.17g}\n" for i in range(30))
    (folder / "bought.csv").write_text("doc,z\n" + rows)
    code, _, error = run(
        "select", "pool.parquet", "--embedding", "v", "--id", "doc", "--budget", 4, "--given", "bought.csv",
        "--teacher-logit", "z", "--out", "p.csv", "--report", "p.html",
    )  # fmt: skip
    assert code == 0, error
    page = (folder / "p.html").read_text()
    assert "No linear teacher gave these logits" in page
    assert "Proved, provided" not in page


def test_more_picks_than_directions_are_said(pool, run):
    code, said, _ = run("select", "pool.parquet", "--embedding", "v", "--budget", 20, "--out", "p.jsonl")
    assert code == 0
    assert "9 of the 20 picks add a direction" in re.sub(r"\s+", " ", said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "121"], "n = 121 picks from 120 rows"),
        (["--budget", "5", "--scale", "log"], "one of none, standard, sharpen"),
        (["--budget", "5", "--teacher-logit", "z"], "--given, which was not given"),
        (["--budget", "5", "--given", "strange.csv"], "have no id in common"),
        (["--budget", "5", "--given", "twice.csv"], "occurs in rows 1 and 2"),
        (["--budget", "5", "--id", "none"], "no column 'none'"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(pool, run, arguments, said):
    folder, _ = pool
    (folder / "strange.csv").write_text("doc\nq\n")
    (folder / "twice.csv").write_text("doc\nd1\nd1\n")
    before = sorted(folder.iterdir())
    words = ["select", "pool.parquet", "--embedding", "v", "--out", "p.csv", *arguments]
    if "--id" not in arguments:
        words += ["--id", "doc"]
    code, _, error = run(*words)
    assert code == 2
    assert said in re.sub(r"\s+", " ", error)
    assert sorted(folder.iterdir()) == before


def test_a_budget_below_one_is_refused_by_the_option(pool, run):
    code, _, error = run("select", "pool.parquet", "--embedding", "v", "--budget", 0, "--out", "p.csv")
    assert code == 2
    assert "--budget" in error


@pytest.fixture
def partly(pool):
    """Tables that name rows d0 to d7 and have an answer for the last three."""
    folder, _ = pool

    def write(name, header, answer):
        rows = "".join(f"d{i},{answer if i > 4 else ',' * answer.count(',')}\n" for i in range(8))
        (folder / name).write_text(f"doc,{header}\n{rows}")
        return name

    return write


@pytest.mark.parametrize(
    ("header", "answer", "more"),
    [
        ("z", "1.5", ["--teacher-logit", "z"]),
        ("a,b,c", "1,2,3", ["--teacher-logit", "a", "--teacher-logit", "b", "--teacher-logit", "c"]),
        ("p_a,p_b,p_c", "0.2,0.3,0.5", ["--teacher-probability", "p_*"]),
        ("l_a,l_b,l_c,l_d", "-1,-2,,", ["--teacher-log-probability", "l_*"]),
        ("said", "yes", ["--teacher-label", "said"]),
        ("teacher_probability", "0.25", []),
        ("teacher_probability_a,teacher_probability_b", "0.25,0.75", []),
    ],
)
def test_rows_without_an_answer_are_not_taken_as_answered(pool, run, partly, header, answer, more):
    folder, X = pool
    words = ("select", "pool.parquet", "--embedding", "v", "--id", "doc", "--no-intercept", "--budget", 5)
    given = ("--given", partly("given.csv", header, answer), *more, "--out", "p.csv")
    code, _, error = run(*words, *given)
    assert code == 2
    assert "--unanswered drop" in " ".join(error.split())
    code, said, error = run(*words, *given, "--unanswered", "drop", "--report", "p.html")
    assert code == 0, error
    assert "5 of 8 rows have no answer" in " ".join(said.split())
    assert "3 answered before" in (folder / "p.html").read_text()
    if more[:2] != ["--teacher-logit", "z"]:  # which chooses by the answers
        expected = SpanSelection().query(X, 5, given=np.array([5, 6, 7]))
        assert picked(folder / "p.csv") == [f"d{i}" for i in expected]


def test_a_list_of_ids_is_taken_as_answered_and_that_is_said(pool, run, partly):
    folder, X = pool
    words = ("select", "pool.parquet", "--embedding", "v", "--id", "doc", "--no-intercept", "--budget", 5)
    code, said, error = run(*words, "--given", partly("given.csv", "z", "1"), "--out", "p.csv")
    assert code == 0, error
    assert "8 rows taken as answered: given.csv has no columns of answers" in " ".join(said.split())
    assert picked(folder / "p.csv") == [f"d{i}" for i in SpanSelection().query(X, 5, given=np.arange(8))]
    code, _, error = run(*words, "--given", "given.csv", "--unanswered", "drop", "--out", "q.csv")
    assert code == 2
    assert "one kind of answer is needed, none given" in " ".join(error.split())


# -- texts -----------------------------------------------------------------------------------------


WORDS = [f"w{k}" for k in range(60)]


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """80 texts of a few words, the commoner ones more often, of which one has no words; answers of six."""
    rng = np.random.default_rng(0)
    share = np.arange(1, 61) ** -0.8
    said = [" ".join(rng.choice(WORDS, 8, p=share / share.sum())) for _ in range(80)]
    said[17] = "?"
    (tmp_path / "t.csv").write_text(
        "\n".join(["id,text", *(f"d{i},{text}" for i, text in enumerate(said))]) + "\n"
    )
    answers = [f"d{i},{z:.6f}" for i, z in enumerate(rng.standard_normal(6))]
    (tmp_path / "given.csv").write_text("\n".join(["id,z", *answers]) + "\n")
    monkeypatch.chdir(tmp_path)
    table = open_table(tmp_path / "t.csv")
    X = read_pool(table, choose(table, [], None, "text"), "id").X
    return tmp_path, X.toarray(), np.array([float(line.split(",")[1]) for line in answers])


@pytest.mark.parametrize("intercept", [True, False])
def test_texts_are_chosen_as_their_tf_idf_made_dense(texts, run, intercept):
    folder, X, _ = texts
    how = "--intercept" if intercept else "--no-intercept"
    words = ("select", "t.csv", "--text", "text", how, "--budget", 10)
    code, _, error = run(*words, "--out", "p.csv", "--report", "r.html")
    assert code == 0, error
    seen = np.hstack([X, np.ones((80, 1))]) if intercept else X
    assert picked(folder / "p.csv") == [f"d{i}" for i in SpanSelection().query(seen, 10)]
    page = (folder / "r.html").read_text()
    for part in ("10 of 10 add a direction", "Before any answer", "1 row is zero"):
        assert part in page, part
    assert "whitened" not in page  # a text's words are taken as given


def test_answers_of_texts_help_to_choose_and_prove_nothing(texts, run):
    folder, X, z = texts
    code, _, error = run(
        "select", "t.csv", "--text", "text", "--budget", 5, "--out", "p.csv", "--given", "given.csv",
        "--teacher-logit", "z", "--report", "r.html",
    )  # fmt: skip
    assert code == 0, error
    seen = np.hstack([X, np.ones((80, 1))])
    assert picked(folder / "p.csv") == [f"d{i}" for i in AnswerSelection().query(seen, 5, np.arange(6), z)]
    page = (folder / "r.html").read_text()
    assert "proved for dense points only" in page
    assert "How are the points aligned?" in page


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--stream"], "--text makes sparse points, which are read at once: leave out --stream"),
        (
            ["--scale", "standard"],
            "--scale standard: sparse features, such as a text's words, are taken as given",
        ),
    ],
)
def test_what_cannot_be_done_with_texts_is_said(texts, run, extra, said):
    folder, _, _ = texts
    code, out, error = run("select", "t.csv", "--text", "text", "--budget", 5, "--out", "p.csv", *extra)
    assert (code, out) == (2, "")
    assert said in " ".join(error.split())
    assert not (folder / "p.csv").exists()
