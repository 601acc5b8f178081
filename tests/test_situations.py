"""Input as people bring it, one row per situation: what works gives the right student, what cannot work is refused.

All files hold the same points and the answers of the same linear teacher unless a row changes them.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import in_process

from limbeck import load

N, W = 60, np.array([1.0, -2.0, 0.5])
X = np.random.default_rng(0).standard_normal((N, 3))
Z = X @ W
DISTILL = ("distill", "t.csv", "--features", "*", "--teacher-logit", "z", "--alpha", 0, "--no-intercept")


def columns(**more):
    """The points, the teacher's logits, and other columns in front."""
    return {**more, "x0": X[:, 0], "x1": X[:, 1], "x2": X[:, 2], "z": Z}


def csv(table, separator=",", decimal="."):
    def cell(value):
        return repr(float(value)).replace(".", decimal) if isinstance(value, float) else str(value)

    rows = [separator.join(map(cell, row)) for row in zip(*table.values(), strict=True)]
    return "\n".join([separator.join(table), *rows]) + "\n"


def works(name, files, *words, output=()):
    """A command that learns the teacher's weights W and prints what ``output`` lists."""
    return pytest.param(files, words or DISTILL, None, output, id=name)


def refused(name, files, *words, error):
    """A command that ends with exit code 2 and an error that holds all of ``error``."""
    return pytest.param(files, words or DISTILL, error, (), id=name)


def distilled(table, answers="z", *more, features="x*"):
    """A command on a table of another name, or with other answers."""
    return (*("distill", table, "--features", features, "--teacher-logit", answers), *DISTILL[-3:], *more)


def jsonl(table):
    rows = zip(*(np.asarray(v).tolist() for v in table.values()), strict=True)
    return "".join(json.dumps(dict(zip(table, row, strict=True))) + "\n" for row in rows)


def parquet(table):
    return lambda path: pq.write_table(pa.table(table), path)


def npz(**arrays):
    return lambda path: np.savez(path, **arrays)


def broken(table, name, cell):
    """The CSV with another first cell in a column."""
    return csv({**table, name: [cell, *table[name][1:]]})


LISTS = [f'"[0, {z!r}]"' for z in Z.tolist()]
FLAG = (X[:, 2] > 0).tolist()
FLAGGED = {**columns(), "x2": FLAG, "z": X[:, :2] @ W[:2] + W[2] * np.array(FLAG)}
GZIPPED = gzip.compress(csv(columns()).encode())

FORMS = [
    works("plain CSV", {"t.csv": csv(columns())}, output=["Features: 3 columns, 'x0' to 'x2'.", "'z' (answers)"]),
    works("byte-order mark", {"t.csv": "\ufeff" + csv(columns())}),
    works("byte-order mark in JSON lines", {"t.jsonl": "\ufeff" + jsonl(columns())}, *distilled("t.jsonl")),
    works("semicolons", {"t.csv": csv(columns(), ";")}),
    works("semicolons and decimal commas", {"t.csv": csv(columns(), ";", ",")}),
    works("tabs in a file named .csv", {"t.csv": csv(columns(), "\t")}),
    works("blanks after the separators", {"t.csv": csv(columns(), ", ")}),
    works("compressed CSV", {"t.csv.gz": GZIPPED}, *distilled("t.csv.gz")),
    works("compressed JSON lines", {"t.jsonl.gz": gzip.compress(jsonl(columns()).encode())}, *distilled("t.jsonl.gz")),
    works("answers as lists in CSV cells", {"t.csv": csv(columns(v=LISTS))}, *distilled("t.csv", "v")),
    works("some lists are empty", {"t.csv": csv(columns(v=["", *LISTS[1:]]))},
          *distilled("t.csv", "v", "--unanswered", "drop"), output=["1 of 60 rows has no answer"]),
    works("True and False in CSV", {"t.csv": csv(FLAGGED)}),
    works("true and false in JSON lines", {"t.jsonl": jsonl(FLAGGED)}, *distilled("t.jsonl")),
    refused("one column has commas and points", {"t.csv": csv(columns(), ";", ",").replace(",", ".", 1)},
            error=["Column 'x0'", "row 1", "row 2", "thousands"]),
    refused("decimal commas between commas", {"t.csv": csv(columns(), ",", ",")},
            error=["Row #2", "Expected 4 columns, got 8", "separated by ','"]),
    refused("thousands in quotes", {"t.csv": broken(columns(), "x0", '"1,234"')},
            error=["Row 1, column 'x0'", "'1,234'", "decimal point"]),
    refused("True among numbers", {"t.csv": broken(columns(), "x0", "True")}, error=["Row 1, column 'x0'", "'True'"]),
    refused("damaged gzip", {"t.csv.gz": GZIPPED[:400]}, *distilled("t.csv.gz"), error=["t.csv.gz"]),
]  # fmt: skip

BIG = 10**17 + 16 * np.arange(N)
ANSWERS = {"id": BIG, "z": Z}
JOINED = ("--answers", "a.parquet")
GIVEN = ("select", "t.parquet", "--features", "x*", "--budget", 3, "--given", "a.parquet", "--out", "p.csv")
MIXED = [json.dumps({"id": v, "x0": 1.0, "z": 1}) for v in (float(2**53), 2**53 + 1)]

IDS = [
    works("whole ids of 64 bits", {"t.parquet": parquet(columns(id=BIG)), "a.parquet": parquet(ANSWERS)},
          *distilled("t.parquet", "z", *JOINED)),
    works("small ids as floats", {"t.csv": csv(columns(id=range(N))), "a.parquet": parquet({"id": np.arange(N) * 1.0, "z": Z})},
          *distilled("t.csv", "z", *JOINED)),
    refused("large ids as floats in Parquet",
            {"t.parquet": parquet(columns(id=BIG)), "a.parquet": parquet({**ANSWERS, "id": BIG * 1.0})},
            *distilled("t.parquet", "z", *JOINED), error=["Row 1, column 'id'", "100000000000000000"]),
    refused("large ids as floats in JSON lines", {"t.jsonl": jsonl(columns(id=2.0**53 - 2 + np.arange(N)))},
            *distilled("t.jsonl", "z", "--stream"), error=["Row 3, column 'id'", str(2**53)]),
    refused("floats of 32 bits as ids", {"t.parquet": parquet(columns(id=(2**24 + 2 * np.arange(N)).astype(np.float32)))},
            *distilled("t.parquet"), error=["Row 1, column 'id'", str(2**24), "32-bit"]),
    refused("large ids as floats in a table of given points",
            {"t.parquet": parquet(columns(id=BIG)), "a.parquet": parquet({"id": BIG[5:] * 1.0})},
            *GIVEN, error=["Row 1, column 'id'"]),
    refused("whole numbers and floats as ids", {"t.jsonl": "\n".join(MIXED)}, *distilled("t.jsonl", "z", "--held-out", 0),
            error=["Row 2, column 'id'", str(2**53 + 1)]),
]  # fmt: skip

SHORT = {"X": X, "id": np.arange(N), "z": Z}
ARRAYS = ("distill", "t.npz", "--teacher-logit", "z", *DISTILL[-3:])
PLAN = ("plan", "t.npz", "--teacher-logit", "z", "--target-risk", "0.1", "--orders", 2)
LABEL = ("label", "t.npz", "--send", "s", "--teacher-command", "true", "--budget", 9, "--target-risk", "0.3", "--out", "o")
ROWS = [
    works("other arrays of any length", {"t.npz": npz(**SHORT, names=np.array(["a", "b"]), scale=np.float64(2))}, *ARRAYS),
    refused("answers for fewer points", {"t.npz": npz(**{**SHORT, "z": Z[:50]})}, *ARRAYS, error=["'z' has 50", "has 60"]),
    refused("answers for more points", {"t.npz": npz(**{**SHORT, "X": X[:50]})}, *ARRAYS, error=["has 50", "has 60"]),
    refused("ids for fewer points", {"t.npz": npz(**{**SHORT, "id": np.arange(50)})}, *ARRAYS, error=["'id' has 50", "has 60"]),
    refused("audit marks for fewer points", {"t.npz": npz(**SHORT, audit=np.ones(50))}, *ARRAYS, error=["'audit' has 50", "60"]),
    refused("weights for fewer points", {"t.npz": npz(**SHORT, w=np.ones(50))}, *ARRAYS, "--weight", "w",
            error=["'w' has 50", "has 60"]),
    refused("plan with fewer answers", {"t.npz": npz(**{**SHORT, "z": Z[:50]})}, *PLAN, error=["'z' has 50", "has 60"]),
    refused("texts to send for fewer points", {"t.npz": npz(**SHORT, s=np.ones(50))}, *LABEL, error=["'s' has 50", "has 60"]),
]  # fmt: skip

P = 1 / (1 + np.exp(-Z))
SELECT = ("select", "t.csv", "--features", "*", "--budget", 3, "--out", "p.csv")
TEXT = {"t.csv": "id,note\n" + "".join(f"{i},good {i % 7} film\n" for i in range(N))}
FEATURES = [
    *(works(f"an index column {name!r}", {"t.csv": csv(columns(**{name: range(N)}))},
            output=[f"{name!r} (index)", "3 columns, 'x0' to 'x2'"]) for name in ("", "Unnamed: 0", "__index_level_0__", "index")),
    works("a column named index that does not count", {"t.csv": csv({"index": X[:, 0], "b": X[:, 1], "c": X[:, 2], "z": Z})},
          output=["3 columns, 'index' to 'c'"]),
    works("an index that is named is a feature", {"t.csv": csv(columns(index=range(N)))}, *SELECT, "--features", "index",
          output=["5 columns, 'index' to 'z'"]),
    works("the other class's probability", {"t.csv": csv(columns(p_no=1 - P, p_yes=P))}, "plan", "t.csv", "--features", "*",
          "--teacher-probability", "p_yes", "--target-risk", "0.1", "--orders", 2,
          output=["Warning: feature 'p_no' alone (and 1 others) determines the decisions of all 60 answers"]),
    works("the given answers are also in the pool",
          {"t.csv": csv(columns(id=range(N))), "a.csv": csv({"id": range(9), "z": Z[:9]})}, *SELECT, "--given", "a.csv",
          "--teacher-logit", "z", output=["3 columns, 'x0' to 'x2'", "'id' (ids)", "'z' (answers)"]),
    works("a plan's answers are also in the pool",
          {"t.csv": csv(columns(id=range(N))), "a.csv": csv({"id": range(30), "z": Z[:30]})},
          "plan", "t.csv", "--features", "*", "--target-risk", "0.1", "--orders", 2, "--answers", "a.csv", "--teacher-logit", "z",
          output=["3 columns, 'x0' to 'x2'", "'z' (answers)"]),
    works("answers under a usual name", {"t.csv": csv({**columns(), "p_yes": P})}, *SELECT,
          output=["5 columns, 'x0' to 'p_yes'", "'p_yes' is among the features"]),
    works("text", TEXT, "select", "t.csv", "--text", "note", "--budget", 3, "--out", "p.csv", output=["the words of 'note'"]),
]  # fmt: skip

WEIGHTED = np.where(np.arange(N) % 3 == 0, 0, 2)
NOISE = np.where(WEIGHTED == 0, 5.0, 0.0)
WEIGHTS = [
    works("rows of weight 0 do not count", {"t.csv": csv({**columns(w=WEIGHTED), "z": Z + NOISE})}, *DISTILL, "--weight", "w",
          "--held-out", 0, output=["'w' (weights)", "60 rows count as 80"]),
    works("weights beside the answers",
          {"t.csv": csv(columns(id=range(N))), "a.csv": csv({"id": range(N), "w": WEIGHTED, "z": Z + NOISE})},
          *distilled("t.csv"), "--answers", "a.csv", "--weight", "w", "--held-out", 0),
    refused("a negative weight", {"t.csv": csv(columns(w=[1, -2, *[1] * 58]))}, *DISTILL, "--weight", "w",
            error=["Row 2, column 'w'", "-2"]),
    refused("no row counts", {"t.csv": csv(columns(w=[0] * N))}, *DISTILL, "--weight", "w", error=["--weight w", "weight 0"]),
    refused("no column of weights", {"t.csv": csv(columns())}, *DISTILL, "--weight", "w", error=["no column 'w'"]),
    refused("weights in blocks", {"t.csv": csv(columns(w=[1] * N))}, *DISTILL, "--weight", "w", "--stream",
            error=["--weight", "--at-once"]),
]  # fmt: skip

SITUATIONS = [*FORMS, *IDS, *ROWS, *FEATURES, *WEIGHTS]


@pytest.mark.parametrize(("files", "words", "error", "output"), SITUATIONS)
def test_a_public_situation(monkeypatch, capsys, tmp_path, files, words, error, output):
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        if callable(content):
            content(name)
        else:
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    saves = words[0] == "distill"
    code, out, said = in_process(monkeypatch, capsys, *words, *(("--out", "s.json") if saves else ()))
    printed = " ".join((out + said).split())
    if error is not None:
        assert code == 2, printed
        assert [fact for fact in error if fact not in printed] == [], printed
        return
    assert code == 0, printed
    assert [fact for fact in output if fact not in printed] == [], printed
    if saves:
        np.testing.assert_allclose(load("s.json").coef_, W[None], rtol=1e-6)
