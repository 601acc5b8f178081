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
    names = list(table)
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows_of(table))


def rows_of(table):
    return list(zip(*(np.asarray(v).tolist() for v in table.values()), strict=True))


def parquet(table):
    return lambda path: pq.write_table(pa.table(table), path)


def npz(**arrays):
    return lambda path: np.savez(path, **arrays)


LISTS = [json.dumps([a, b]) for a, b in zip(np.zeros(N).tolist(), Z.tolist(), strict=True)]
FLAG = (X[:, 2] > 0).tolist()
BIG = 10**17 + np.arange(N)
JOIN = ("--answers", "a.parquet")

FORMS = [
    works("plain CSV", {"t.csv": csv(columns())}),
    works("byte-order mark", {"t.csv": "\ufeff" + csv(columns())}),
    works("byte-order mark in JSON lines", {"t.jsonl": "\ufeff" + jsonl(columns())}, *distilled("t.jsonl")),
    works("semicolons", {"t.csv": csv(columns(), ";")}),
    works("semicolons and decimal commas", {"t.csv": csv(columns(), ";", ",")}),
    works("tabs in a file named .csv", {"t.csv": csv(columns(), "\t")}),
    works("blanks after the separators", {"t.csv": csv(columns(), ", ")}),
    works("compressed CSV", {"t.csv.gz": gzip.compress(csv(columns()).encode())}, *distilled("t.csv.gz")),
    works("compressed JSON lines", {"t.jsonl.gz": gzip.compress(jsonl(columns()).encode())}, *distilled("t.jsonl.gz")),
    works("answers as lists in CSV cells", {"t.csv": csv(columns(l=[f'"{v}"' for v in LISTS]))}, *distilled("t.csv", "l")),
    works(
        "some lists are empty", {"t.csv": csv(columns(l=["", *(f'"{v}"' for v in LISTS[1:])]))},
        *distilled("t.csv", "l", "--unanswered", "drop"), output=["1 of 60 rows has no answer"],
    ),
    works("True and False in CSV", {"t.csv": csv({**columns(), "x2": FLAG, "z": X[:, :2] @ W[:2] + 0.5 * np.array(FLAG)})}),
    works("true and false in JSON lines",
        {"t.jsonl": jsonl({**columns(), "x2": FLAG, "z": X[:, :2] @ W[:2] + 0.5 * np.array(FLAG)})}, *distilled("t.jsonl"),
    ),
    refused("one column has commas and points",
        {"t.csv": csv(columns(), ";", ",").replace(",", ".", 1)}, error=["Column 'x0'", "row 1", "row 2", "thousands"],
    ),
    refused("decimal commas between commas",
        {"t.csv": csv(columns(), ",", ",")}, error=["Row #2", "Expected 4 columns, got 8", "separated by ','"],
    ),
    refused("thousands in quotes", {"t.csv": 'x0,z\n"1,234",1\n'}, error=["Row 1, column 'x0'", "'1,234'", "decimal point"]),
    refused("True among numbers", {"t.csv": "x0,z\n0.5,1\nTrue,1\n"}, error=["Row 2, column 'x0'", "'True'"]),
    refused("damaged gzip", {"t.csv.gz": gzip.compress(csv(columns()).encode())[:400]}, *distilled("t.csv.gz"), error=["t.csv.gz"]),
]  # fmt: skip

FLOATS = [
    refused(f"float ids, {name}", files, *words, error=["column 'id'", "row 1 " if lower else "Row 1,", "1000000000000000"])
    for lower, name, files, words in [
        (False, "Parquet", {"t.parquet": parquet(columns(id=BIG.astype(float)))}, distilled("t.parquet")),
    ]
]

SITUATIONS = [*FORMS]


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
