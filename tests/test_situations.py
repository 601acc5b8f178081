"""Input as people bring it, one row per situation: what works gives the right student, what cannot work is refused.

All files hold the same points and the answers of the same linear teacher unless a row changes them.
"""

import gzip
import json
import sys
from csv import DictWriter
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import in_process
from scipy.special import expit, softmax

from limbeck import DistilledClassifier, SoftLabelClassifier, load
from limbeck.budget.loop import BudgetedDistillation
from limbeck.budget.teachers import CallableTeacher
from limbeck.students.metrics import agreement, soft_cross_entropy

N, W = 60, np.array([1.0, -2.0, 0.5])
X = np.random.default_rng(0).standard_normal((N, 3))
Z = X @ W
P = expit(Z)
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
    works(
        "plain CSV", {"t.csv": csv(columns())}, output=["Features: 3 columns, 'x0' to 'x2'.", "'z' (answers)"]
    ),
    works("byte-order mark", {"t.csv": "\ufeff" + csv(columns())}),
    works("byte-order mark in JSON lines", {"t.jsonl": "\ufeff" + jsonl(columns())}, *distilled("t.jsonl")),
    works("semicolons", {"t.csv": csv(columns(), ";")}),
    works("semicolons and decimal commas", {"t.csv": csv(columns(), ";", ",")}),
    works("tabs in a file named .csv", {"t.csv": csv(columns(), "\t")}),
    works("blanks after the separators", {"t.csv": csv(columns(), ", ")}),
    works("compressed CSV", {"t.csv.gz": GZIPPED}, *distilled("t.csv.gz")),
    works(
        "compressed JSON lines",
        {"t.jsonl.gz": gzip.compress(jsonl(columns()).encode())},
        *distilled("t.jsonl.gz"),
    ),
    works("answers as lists in CSV cells", {"t.csv": csv(columns(v=LISTS))}, *distilled("t.csv", "v")),
    works(
        "some lists are empty",
        {"t.csv": csv(columns(v=["", *LISTS[1:]]))},
        *distilled("t.csv", "v", "--unanswered", "drop"),
        output=["1 of 60 rows has no answer"],
    ),
    works("True and False in CSV", {"t.csv": csv(FLAGGED)}),
    works("true and false in JSON lines", {"t.jsonl": jsonl(FLAGGED)}, *distilled("t.jsonl")),
    refused(
        "one column has commas and points",
        {"t.csv": csv(columns(), ";", ",").replace(",", ".", 1)},
        error=["Column 'x0'", "row 1", "row 2", "thousands"],
    ),
    refused(
        "decimal commas between commas",
        {"t.csv": csv(columns(), ",", ",")},
        error=["Row #2", "Expected 4 columns, got 8", "separated by ','"],
    ),
    refused(
        "thousands in quotes",
        {"t.csv": broken(columns(), "x0", '"1,234"')},
        error=["Row 1, column 'x0'", "'1,234'", "decimal point"],
    ),
    refused(
        "True among numbers",
        {"t.csv": broken(columns(), "x0", "True")},
        error=["Row 1, column 'x0'", "'True'"],
    ),
    refused("damaged gzip", {"t.csv.gz": GZIPPED[:400]}, *distilled("t.csv.gz"), error=["t.csv.gz"]),
]

BIG = 10**17 + 16 * np.arange(N)
ANSWERS = {"id": BIG, "z": Z}
JOINED = ("--answers", "a.parquet")
GIVEN = ("select", "t.parquet", "--features", "x*", "--budget", 3, "--given", "a.parquet", "--out", "p.csv")
MIXED = [json.dumps({"id": v, "x0": 1.0, "z": 1}) for v in (float(2**53), 2**53 + 1)]

IDS = [
    works(
        "whole ids of 64 bits",
        {"t.parquet": parquet(columns(id=BIG)), "a.parquet": parquet(ANSWERS)},
        *distilled("t.parquet", "z", *JOINED),
    ),
    works(
        "small ids as floats",
        {"t.csv": csv(columns(id=range(N))), "a.parquet": parquet({"id": np.arange(N) * 1.0, "z": Z})},
        *distilled("t.csv", "z", *JOINED),
    ),
    refused(
        "large ids as floats in Parquet",
        {"t.parquet": parquet(columns(id=BIG)), "a.parquet": parquet({**ANSWERS, "id": BIG * 1.0})},
        *distilled("t.parquet", "z", *JOINED),
        error=["Row 1, column 'id'", "100000000000000000"],
    ),
    refused(
        "large ids as floats in JSON lines",
        {"t.jsonl": jsonl(columns(id=2.0**53 - 2 + np.arange(N)))},
        *distilled("t.jsonl", "z", "--stream"),
        error=["Row 3, column 'id'", str(2**53)],
    ),
    refused(
        "floats of 32 bits as ids",
        {"t.parquet": parquet(columns(id=(2**24 + 2 * np.arange(N)).astype(np.float32)))},
        *distilled("t.parquet"),
        error=["Row 1, column 'id'", str(2**24), "32-bit"],
    ),
    refused(
        "large ids as floats in a table of given points",
        {"t.parquet": parquet(columns(id=BIG)), "a.parquet": parquet({"id": BIG[5:] * 1.0})},
        *GIVEN,
        error=["Row 1, column 'id'"],
    ),
    refused(
        "whole numbers and floats as ids",
        {"t.jsonl": "\n".join(MIXED)},
        *distilled("t.jsonl", "z", "--held-out", 0),
        error=["Row 2, column 'id'", str(2**53 + 1)],
    ),
]

SHORT = {"X": X, "id": np.arange(N), "z": Z}
ARRAYS = ("distill", "t.npz", "--teacher-logit", "z", *DISTILL[-3:])
PLAN = ("plan", "t.npz", "--teacher-logit", "z", "--target-risk", "0.1", "--orders", 2)
SEND = (
    "label",
    "t.npz",
    "--send",
    "s",
    "--teacher-command",
    "true",
    "--budget",
    9,
    "--target-risk",
    "0.3",
    "--out",
    "o",
)
ROWS = [
    works(
        "other arrays of any length",
        {"t.npz": npz(**SHORT, names=np.array(["a", "b"]), scale=np.float64(2))},
        *ARRAYS,
    ),
    refused(
        "answers for fewer points",
        {"t.npz": npz(**{**SHORT, "z": Z[:50]})},
        *ARRAYS,
        error=["'z' has 50", "has 60"],
    ),
    refused(
        "answers for more points",
        {"t.npz": npz(**{**SHORT, "X": X[:50]})},
        *ARRAYS,
        error=["has 50", "has 60"],
    ),
    refused(
        "ids for fewer points",
        {"t.npz": npz(**{**SHORT, "id": np.arange(50)})},
        *ARRAYS,
        error=["'id' has 50", "has 60"],
    ),
    refused(
        "audit marks for fewer points",
        {"t.npz": npz(**SHORT, audit=np.ones(50))},
        *ARRAYS,
        error=["'audit' has 50", "60"],
    ),
    refused(
        "weights for fewer points",
        {"t.npz": npz(**SHORT, w=np.ones(50))},
        *ARRAYS,
        "--weight",
        "w",
        error=["'w' has 50", "has 60"],
    ),
    refused(
        "plan with fewer answers",
        {"t.npz": npz(**{**SHORT, "z": Z[:50]})},
        *PLAN,
        error=["'z' has 50", "has 60"],
    ),
    refused(
        "texts to send for fewer points",
        {"t.npz": npz(**SHORT, s=np.ones(50))},
        *SEND,
        error=["'s' has 50", "has 60"],
    ),
]

SELECT = ("select", "t.csv", "--features", "*", "--budget", 3, "--out", "p.csv")
TEXT = {"t.csv": "id,note\n" + "".join(f"{i},good {i % 7} film\n" for i in range(N))}
FEATURES = [
    *(
        works(
            f"an index column {name!r}",
            {"t.csv": csv(columns(**{name: range(N)}))},
            output=[f"{name!r} (index)", "3 columns, 'x0' to 'x2'"],
        )
        for name in ("", "Unnamed: 0", "__index_level_0__", "index")
    ),
    works(
        "a column named index that does not count",
        {"t.csv": csv({"index": X[:, 0], "b": X[:, 1], "c": X[:, 2], "z": Z})},
        output=["3 columns, 'index' to 'c'"],
    ),
    works(
        "an index that is named is a feature",
        {"t.csv": csv(columns(index=range(N)))},
        *SELECT,
        "--features",
        "index",
        output=["5 columns, 'index' to 'z'"],
    ),
    works(
        "the other class's probability",
        {"t.csv": csv(columns(p_no=1 - P, p_yes=P))},
        "plan",
        "t.csv",
        "--features",
        "*",
        "--teacher-probability",
        "p_yes",
        "--target-risk",
        "0.1",
        "--orders",
        2,
        output=["Warning: feature 'p_no' alone (and 1 others) determines the decisions of all 60 answers"],
    ),
    works(
        "the given answers are also in the pool",
        {"t.csv": csv(columns(id=range(N))), "a.csv": csv({"id": range(9), "z": Z[:9]})},
        *SELECT,
        "--given",
        "a.csv",
        "--teacher-logit",
        "z",
        output=["3 columns, 'x0' to 'x2'", "'id' (ids)", "'z' (answers)"],
    ),
    works(
        "a plan's answers are also in the pool",
        {"t.csv": csv(columns(id=range(N))), "a.csv": csv({"id": range(30), "z": Z[:30]})},
        "plan",
        "t.csv",
        "--features",
        "*",
        "--target-risk",
        "0.1",
        "--orders",
        2,
        "--answers",
        "a.csv",
        "--teacher-logit",
        "z",
        output=["3 columns, 'x0' to 'x2'", "'z' (answers)"],
    ),
    works(
        "answers under a usual name",
        {"t.csv": csv({**columns(), "p_yes": P})},
        *SELECT,
        output=["5 columns, 'x0' to 'p_yes'", "named like answers: 'p_yes'"],
    ),
    works(
        "text",
        TEXT,
        "select",
        "t.csv",
        "--text",
        "note",
        "--budget",
        3,
        "--out",
        "p.csv",
        output=["the words of 'note'"],
    ),
]

WEIGHTED = np.where(np.arange(N) % 3 == 0, 0, 2)
NOISE = np.where(WEIGHTED == 0, 5.0, 0.0)
WEIGHTS = [
    works(
        "rows of weight 0 do not count",
        {"t.csv": csv({**columns(w=WEIGHTED), "z": Z + NOISE})},
        *DISTILL,
        "--weight",
        "w",
        "--held-out",
        0,
        output=["'w' (weights)", "60 rows count as 80"],
    ),
    works(
        "weights beside the answers",
        {"t.csv": csv(columns(id=range(N))), "a.csv": csv({"id": range(N), "w": WEIGHTED, "z": Z + NOISE})},
        *distilled("t.csv"),
        "--answers",
        "a.csv",
        "--weight",
        "w",
        "--held-out",
        0,
    ),
    refused(
        "a negative weight",
        {"t.csv": csv(columns(w=[1, -2, *[1] * 58]))},
        *DISTILL,
        "--weight",
        "w",
        error=["Row 2, column 'w'", "-2"],
    ),
    refused(
        "no row counts",
        {"t.csv": csv(columns(w=[0] * N))},
        *DISTILL,
        "--weight",
        "w",
        error=["--weight w", "weight 0"],
    ),
    refused(
        "no column of weights", {"t.csv": csv(columns())}, *DISTILL, "--weight", "w", error=["no column 'w'"]
    ),
    refused(
        "weights in blocks",
        {"t.csv": csv(columns(w=[1] * N))},
        *DISTILL,
        "--weight",
        "w",
        "--stream",
        error=["--weight", "--at-once"],
    ),
]

SITUATIONS = [*FORMS, *IDS, *ROWS, *FEATURES, *WEIGHTS]


# -- answers: what cells hold, and how they are scaled ---------------------------------------------

SHARES = softmax(np.column_stack([Z, 0.3 * X[:, 0], X[:, 2]]), axis=1)
LIKELIEST = np.argsort(-SHARES, axis=1)
ON = ("distill", "t.csv", "--features", "x?", "--alpha", 0, "--no-intercept")
BY_PROBABILITY = (*ON, "--teacher-probability", "a")


def cells(answers, form=json.dumps):
    """A CSV of the points and a column ``a`` of answers as text."""
    return {"t.csv": quoted(a=[form(answer) for answer in answers])}


def quoted(**more):
    """A CSV of the points and other columns, of which cells may hold commas."""
    table = {name: values for name, values in columns(**more).items() if name != "z"}
    file = StringIO()
    writer = DictWriter(file, list(table))
    writer.writeheader()
    writer.writerows(dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True))
    return file.getvalue()


def lines(answers, end=""):
    """JSON lines of points, with answers as they are."""
    rows = [json.dumps({"x": list(x), "a": a}) for x, a in zip(X.tolist(), answers, strict=True)]
    return {"t.jsonl": "\n".join(rows) + "\n" + end}


def nested(**more):
    """A Parquet file of the points and other columns."""
    return {"t.parquet": parquet({name: values for name, values in columns(**more).items() if name != "z"})}


def pipeline(shares, names, top=None):
    """What a text-classification pipeline returns for one row, likeliest class first."""
    order = np.argsort(-np.asarray(shares))[:top]
    return [{"label": names[k], "score": float(shares[k])} for k in order]


BOTH = [{"no": 1 - p, "yes": p} for p in P.tolist()]
PIPELINE = [pipeline([1 - p, p], ["no", "yes"]) for p in P]
DECIDED = {"a": np.maximum(P, 1 - P), "b": np.where(P > 0.5, "yes", "no")}
JSONL = (
    "distill",
    "t.jsonl",
    "--embedding",
    "x",
    "--alpha",
    0,
    "--no-intercept",
    "--teacher-probability",
    "a",
)
LOG = {f"lp_{name}": np.log(0.97 * p) for name, p in (("no", 1 - P), ("yes", P))}
SUM98 = {f"p_{k}": 0.98 * SHARES[:, k] for k in range(3)}
SIGMOIDS = {f"p_{k}": expit(X[:, k]) for k in range(3)}
GAPS = [("NA", "NaN", "null", "None")[i // 15] if i % 15 == 3 else p for i, p in enumerate(P.tolist())]

PROGRAM = """import json, math, sys
for line in sys.stdin:
    row = json.loads(line)
    z = row["x"][0] - 2 * row["x"][1] + row["x"][2] / 2
    p = 1 / (1 + math.exp(-z))
    three = sorted([math.exp(z), math.exp(row["x"][0]), 1], reverse=True)
    print(json.dumps({"id": row["id"], KIND: ANSWER}), flush=True)
"""


def sent(kind, answer):
    """A pool, and a program that answers its rows."""
    program = PROGRAM.replace("KIND", repr(kind)).replace("ANSWER", answer)
    return {"t.csv": csv(columns()), "teacher.py": program}


YES_NO = '{"no": math.log(0.97 * (1 - p)), "yes": math.log(0.97 * p)}'
LABEL = (
    "label",
    "t.csv",
    "--features",
    "x?",
    "--teacher-command",
    f"{sys.executable} teacher.py",
    "--out",
    "bought",
)
LABEL += ("--budget", 40, "--target-risk", 0.4, "--audit", 20, "--batch", 20)

SITUATIONS += [
    refused(
        "yes and no with a mass of .97, sent",
        sent("log_probabilities", YES_NO),
        *LABEL,
        error=("0.97", 'Send them as "logits"'),
    ),
    works("its cure, sent", sent("logits", YES_NO), *LABEL, output=("target is shown to be met",)),
    refused(
        "probabilities sent as logits", sent("logits", "p"), *LABEL, error=("0 and 1", 'as "probabilities"')
    ),
    refused(
        "sorted scores, sent",
        sent("probabilities", "[v / sum(three) for v in three]"),
        *LABEL,
        error=("descending order", '{"yes": 0.7, "no": 0.3}'),
    ),
    works("class dictionaries in CSV", cells(BOTH), *BY_PROBABILITY),
    works("class dictionaries as Python writes them", cells(BOTH, repr), *BY_PROBABILITY),
    works(
        "NumPy numbers in dictionaries", cells([{"no": 1 - p, "yes": p} for p in P], repr), *BY_PROBABILITY
    ),
    works("class dictionaries in JSON lines", lines(BOTH), *JSONL),
    works("blank last line", lines(BOTH, "\n"), *JSONL),
    works(
        "one class of two in a dictionary",
        cells([{"yes": p} for p in P]),
        *BY_PROBABILITY,
        "--classes",
        "no,yes",
    ),
    works("classes in another order", cells(BOTH), *BY_PROBABILITY, "--classes", "no,yes"),
    works("labels with scores, sorted", cells(PIPELINE), *BY_PROBABILITY),
    works("labels with scores in Parquet", nested(a=PIPELINE), *ON[:1], "t.parquet", *BY_PROBABILITY[2:]),
    works("the top label with its score", cells([answer[:1] for answer in PIPELINE]), *BY_PROBABILITY),
    works(
        "a zero-shot pipeline's labels and scores",
        cells(
            [{"labels": [one["label"] for one in a], "scores": [one["score"] for one in a]} for a in PIPELINE]
        ),
        *BY_PROBABILITY,
    ),
    works(
        "a label and its probability", {"t.csv": quoted(**DECIDED)}, *BY_PROBABILITY, "--teacher-label", "b"
    ),
    works("lists in CSV", cells([[1 - p, p] for p in P]), *BY_PROBABILITY),
    works(
        "words for missing answers",
        {"t.csv": quoted(a=GAPS)},
        *BY_PROBABILITY,
        "--unanswered",
        "drop",
        output=("4 of 60 rows have no answer",),
    ),
    refused(
        "words for missing answers, not dropped",
        {"t.csv": quoted(a=GAPS)},
        *BY_PROBABILITY,
        error=("Row 4", "'a'", "'NA'", "--unanswered drop"),
    ),
    refused(
        "NA as a class",
        {"t.csv": quoted(a=np.where(P > 0.9, "NA", np.where(P > 0.4, "yes", "no")))},
        *ON,
        "--teacher-label",
        "a",
        error=("'a'", "'NA'"),
    ),
    refused(
        "sorted scores",
        cells([sorted(p.tolist(), reverse=True) for p in SHARES]),
        *BY_PROBABILITY,
        error=("60 rows", "descending order", '{"yes": 0.7, "no": 0.3}'),
    ),
    refused(
        "part of the classes",
        cells([pipeline(p, "abc", 1) for p in SHARES]),
        *BY_PROBABILITY,
        error=("Row 1", f"{1 - SHARES[0].max():.3g}", "--top-k uniform"),
    ),
    refused(
        "a number in place of a dictionary",
        cells([*BOTH[:9], 0.5, *BOTH[10:]]),
        *BY_PROBABILITY,
        error=("Row 10", "'a'"),
    ),
    refused(
        "yes and no with a mass of .97",
        {"t.csv": quoted(**LOG)},
        *ON,
        "--teacher-log-probability",
        "lp_*",
        error=("0.97", "--teacher-logit"),
    ),
    works("its cure", {"t.csv": quoted(**LOG)}, *ON, "--teacher-logit", "lp_*"),
    refused(
        "sums of .98",
        {"t.csv": quoted(**SUM98)},
        *ON,
        "--teacher-probability",
        "p_*",
        error=("Row 1", "0.98", "--top-k zero"),
    ),
    refused(
        "sums of .98 as logits",
        {"t.csv": quoted(**SUM98)},
        *ON,
        "--teacher-logit",
        "p_*",
        error=("between 0 and 1", "--teacher-probability"),
    ),
    refused(
        "sums of 1.0000012",
        {"t.csv": quoted(**{n: p * 1.0000012 / 0.98 for n, p in SUM98.items()})},
        *ON,
        "--teacher-probability",
        "p_*",
        error=("sums to 1.000001",),
    ),
    refused(
        "a probability above 1 by rounding",
        {"t.csv": quoted(a=[*P[:5], 1.0000001, *P[6:]])},
        *BY_PROBABILITY,
        error=("1.0000001 in row 6",),
    ),
    refused(
        "independent sigmoids",
        {"t.csv": quoted(**SIGMOIDS)},
        *ON,
        "--teacher-probability",
        "p_*",
        error=("Row 1", f"{expit(X[0]).sum():.6g}", "one student for each column", "--teacher-probability"),
    ),
    refused(
        "independent sigmoids as logits",
        {"t.csv": quoted(**SIGMOIDS)},
        *ON,
        "--teacher-logit",
        "p_*",
        error=("between 0 and 1", "one student for each column"),
    ),
    refused(
        "probabilities as logits",
        {"t.csv": quoted(a=P)},
        *ON,
        "--teacher-logit",
        "a",
        error=("between 0 and 1", "--teacher-probability"),
    ),
    refused(
        "probabilities as logarithms",
        {"t.csv": quoted(a=P)},
        *ON,
        "--teacher-log-probability",
        "a",
        error=(f"{P[0]:.6g}", "--teacher-probability"),
    ),
    refused("logits as probabilities", {"t.csv": quoted(a=Z)}, *BY_PROBABILITY, error=("--teacher-logit",)),
    refused("percentages", {"t.csv": quoted(a=100 * P)}, *BY_PROBABILITY, error=(f"{100 * P[0]:.6g}", "100")),
    refused(
        "percentages as logits",
        {"t.csv": quoted(a=100 * P)},
        *ON,
        "--teacher-logit",
        "a",
        error=("between 0 and 100",),
    ),
    refused(
        "percentages as labels",
        {"t.csv": quoted(a=np.round(100 * P))},
        *ON,
        "--teacher-label",
        "a",
        error=("'a'", f"{len(np.unique(np.round(100 * P)))} distinct", "--teacher-probability"),
    ),
    refused(
        "probabilities as labels",
        {"t.csv": quoted(a=P)},
        *ON,
        "--teacher-label",
        "a",
        error=("'a'", "60 distinct", "--teacher-probability"),
    ),
    refused(
        "many classes",
        {"t.csv": quoted(a=np.arange(N) % 51)},
        *ON,
        "--teacher-label",
        "a",
        "--held-out",
        0.99,
        error=("51 classes", "--teacher-probability"),
    ),
    refused(
        "-1 for a missing answer",
        {"t.csv": quoted(a=[*P[:5], -1.0, *P[6:]])},
        *BY_PROBABILITY,
        error=("-1 in row 6", "--unanswered drop"),
    ),
    refused(
        "a saturated answer",
        {"t.csv": quoted(a=[*P[:5], 1.0, *P[6:]])},
        *BY_PROBABILITY,
        "--held-out",
        0,
        error=("row 6", "--saturated drop", "--saturated bound", "--alpha"),
    ),
    works(
        "its cure by --saturated",
        {"t.csv": quoted(a=[*P[:5], 1.0, *P[6:]])},
        *BY_PROBABILITY,
        "--saturated",
        "drop",
    ),
    works(
        "-9999 as a log-probability",
        {"t.csv": quoted(a=[*np.log(P[:5]), -9999.0, *np.log(P[6:])])},
        *ON,
        "--teacher-log-probability",
        "a",
        "--saturated",
        "drop",
    ),
    refused(
        "-9999 is a probability of 0",
        {"t.csv": quoted(a=[*np.log(P[:5]), -9999.0, *np.log(P[6:])])},
        *ON,
        "--teacher-log-probability",
        "a",
        "--held-out",
        0,
        error=("1 of 60 rows", "row 6", "--saturated drop"),
    ),
]


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


@pytest.mark.parametrize("how", ["--at-once", "--stream"])
@pytest.mark.parametrize(
    "files",
    [
        nested(a=P.astype(np.float16)),
        nested(a=list(np.column_stack([1 - P, P]).astype(np.float16))),
        {"t.npz": npz(X=X, a=np.column_stack([1 - P, P]).astype(np.float16))},
    ],
    ids=["Parquet", "Parquet lists", "NPZ"],
)
def test_half_floats_keep_their_precision(monkeypatch, capsys, tmp_path, files, how):
    """Read as float32, a linear teacher's answers would not be linear: half floats are off by up to 2^-12."""
    monkeypatch.chdir(tmp_path)
    ((name, write),) = files.items()
    write(name)
    points = ("--embedding", "X") if name == "t.npz" else ("--features", "x?")
    words = ("distill", name, *points, "--teacher-probability", "a", "--alpha", 0.1, "--out", "s.json", how)
    code, out, said = in_process(monkeypatch, capsys, *words)
    assert code == 0, said
    assert "rounding explains" in out
    assert "not linear" not in out


def test_an_empty_text_has_no_words_and_ties_are_counted(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = ["" if i == 2 else "good" if p > 0.5 else "bad" for i, p in enumerate(P)]
    Path("t.csv").write_text(quoted(t=text, a=np.where(np.arange(N) % 2, 0.5, P)))
    words = ("distill", "t.csv", "--text", "t", "--teacher-probability", "a", "--out", "s.json", "--json")
    code, out, said = in_process(monkeypatch, capsys, *words)
    assert code == 0, said
    facts = json.loads(out)
    assert (facts["unanswered"], facts["without_words"]) == (0, 1)
    ties, rated = facts["ties"], facts["agreement"]["size"]
    assert 0 < ties["rows"] < rated == 12
    assert ties["agreement"]["size"] == rated - ties["rows"]
    assert in_process(monkeypatch, capsys, "predict", "s.json", "t.csv", "--out", "p.csv")[0] == 0
    assert len(Path("p.csv").read_text().splitlines()) == N + 1


FRAME = pd.DataFrame({"yes": P, "no": 1 - P})
THREE = [pipeline(p, "abc") for p in SHARES]


@pytest.mark.parametrize(
    ("answers", "classes"),
    [
        (FRAME.convert_dtypes(), ["no", "yes"]),
        (FRAME.convert_dtypes(dtype_backend="pyarrow"), ["no", "yes"]),
        (FRAME.astype("Float32"), ["no", "yes"]),
        (BOTH, None),
        (pd.Series(BOTH), None),
        ([{"yes": p} for p in P], ["no", "yes"]),
        (PIPELINE, None),
        (
            [
                {"labels": [one["label"] for one in a], "scores": [one["score"] for one in a]}
                for a in PIPELINE
            ],
            None,
        ),
    ],
    ids=["nullable", "Arrow", "Float32", "dictionaries", "a Series", "one of two", "pipeline", "zero-shot"],
)
def test_answers_with_names_in_python(answers, classes):
    student = SoftLabelClassifier(alpha=0, fit_intercept=False, classes=classes)
    student.fit(X, teacher_proba=answers)
    assert student.classes_.tolist() == ["no", "yes"]
    np.testing.assert_allclose(
        student.coef_, W[None], rtol=1e-3 if classes and "Float32" in str(answers) else 1e-4
    )
    assert student.score(X, answers) == 1


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({"teacher_logits": P}, ("row 0", "between 0 and 1", "teacher_proba=")),
        ({"teacher_logits": SHARES}, ("between 0 and 1", "teacher_proba=")),
        ({"teacher_logits": 100 * SHARES}, ("between 0 and 100",)),
        ({"teacher_proba": -np.sort(-SHARES, axis=1)}, ("60 rows", "row 0", "descending")),
        ({"y": -np.sort(-SHARES, axis=1)}, ("60 rows", "row 0", "descending")),
        ({"y": 0.98 * SHARES}, ("Row 0", "0.98", "p / p.sum(axis=1, keepdims=True)")),
        ({"y": 1.0000012 * SHARES}, ("Row 0", "1.0000012")),
        ({"y": expit(X)}, ("Row 0", "one student for each column", "y=p[:, k]")),
        ({"y": 100 * P}, ("Row 0", f"{100 * P[0]:.6g}", "100 for percentages")),
        ({"y": np.append(P[1:], 1.0000001)}, ("Row 59", "1.0000001")),
        ({"y": np.round(100 * P)}, ("distinct numbers", "probabilities", "classes=")),
        ({"y": np.array([*DECIDED["b"][1:], np.nan])}, ("Row 59", "'nan'", "classes=")),
        ({"y": np.array([*DECIDED["b"][1:], None])}, ("Row 59", "None", "classes=")),
        (
            {"teacher_proba": [one[:1] for one in THREE]},
            ("Row 0 lacks", f"{1 - SHARES[0].max():.3g}", "from_partial_probabilities"),
        ),
        ({"teacher_proba": [*BOTH[1:], {"yes": "0.5"}]}, ("Row 59", "'0.5'")),
    ],
)
def test_answers_of_another_kind_in_python(given, facts):
    with pytest.raises(ValueError, match=r".") as found:
        SoftLabelClassifier(alpha=0.1).fit(X, **given)
    assert [fact for fact in facts if fact not in str(found.value)] == [], found.value


def frames(kind):
    """Teachers that return data frames, whose columns are not in the order of the classes."""

    def teacher(points, order=("yes", "no")):
        p = expit(points @ W)
        table = pd.DataFrame({"yes": p, "no": 1 - p})[list(order)]
        return table.convert_dtypes(dtype_backend=kind) if kind else table

    return teacher


@pytest.mark.parametrize("kind", [None, "numpy_nullable", "pyarrow"])
def test_a_teacher_that_returns_a_data_frame(kind):
    teacher = frames(kind)
    other = partial(teacher, order=("no", "yes"))
    for given, classes in (
        (teacher, ["no", "yes"]),
        (other, None),
        ([("a", teacher), ("b", other)], ["no", "yes"]),
    ):
        student = SoftLabelClassifier(alpha=0, fit_intercept=False)
        found = DistilledClassifier(given, student=student, classes=classes).fit(X)
        assert found.classes_.tolist() == ["no", "yes"]
        np.testing.assert_allclose(found.student_.coef_, W[None], rtol=1e-6)
        assert found.score(X) == 1
    with pytest.raises(ValueError, match=r"'yes', 'no'.*'a', 'b'"):
        DistilledClassifier(teacher, classes=["a", "b"]).fit(X)


def test_points_and_weights_of_nullable_and_arrow_dtypes():
    for kind in ("numpy_nullable", "pyarrow"):
        points = pd.DataFrame(X).convert_dtypes(dtype_backend=kind)
        weights = pd.Series(np.arange(N) + 1).convert_dtypes(dtype_backend=kind)
        student = SoftLabelClassifier(alpha=0, fit_intercept=False)
        student.fit(
            points, teacher_logits=pd.Series(Z).convert_dtypes(dtype_backend=kind), sample_weight=weights
        )
        np.testing.assert_allclose(student.coef_, W[None], rtol=1e-6)


def test_metrics_match_the_columns_of_data_frames_by_name():
    assert agreement(FRAME, FRAME[["no", "yes"]].convert_dtypes()) == 1
    turned = pd.DataFrame({"no": 0 * Z, "yes": Z})
    assert soft_cross_entropy(FRAME, turned) == pytest.approx(soft_cross_entropy(P, Z))


def test_answers_in_a_data_frame_are_bought_by_name(tmp_path):
    teacher = CallableTeacher(frames(None))
    buy = BudgetedDistillation(teacher, budget=20, target_risk=0.4, audit=10, classes=["no", "yes"])
    bought = buy.run(X, folder=tmp_path)
    assert tuple(bought.classes) == ("no", "yes")
    np.testing.assert_allclose(
        bought.student.coef_[0] / np.linalg.norm(bought.student.coef_), W / np.linalg.norm(W), atol=0.2
    )
