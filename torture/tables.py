"""Odd tables for every command that reads one: a right answer, or an error line and no file written or changed.

A table starts plain: ids, three features, the teacher's logit. What is odd about it says what must come of it:
the same answers as the plain one ("same"), a refusal ("refused"), or either, cleanly.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as arrow_parquet
from scipy.special import expit

import limbeck
from limbeck.cli import main
from torture.calls import Call
from torture.inputs import RefusalError
from torture.odd import Draws

ROWS, W = 24, np.array([1.0, -2.0, 0.5])
NAMES = ("id", "x0", "x1", "x2", "z")
SAME, REFUSED, EITHER = "same", "refused", "either"

Grid = list[list[Any]]
"""A header and rows: ids, three features, the logit."""


def _plain(rng: np.random.Generator) -> Grid:
    X = rng.standard_normal((ROWS, 3))
    return [list(NAMES), *([f"r{i}", *map(float, x), float(x @ W)] for i, x in enumerate(X))]


def _cell(value: Any, column: int = 1, row: int = 5) -> Callable[[Grid], Grid]:
    def change(grid: Grid) -> Grid:
        grid[row][column] = value
        return grid

    return change


def _named(name: str, column: int = 2) -> Callable[[Grid], Grid]:
    return _cell(name, column, 0)


# Of every format. A feature or logit that is no finite number is refused, by row and column; ids are any text.
CONTENTS: Mapping[str, tuple[Callable[[Grid], Grid], str]] = {
    "plain": (lambda g: g, SAME),
    "nan": (_cell(float("nan")), REFUSED),
    "inf": (_cell(float("inf")), REFUSED),
    "a word": (_cell("many"), REFUSED),
    "missing": (_cell(None), REFUSED),
    "no answer": (_cell(None, 4), EITHER),
    "thousands": (_cell("1,234"), REFUSED),
    "hexadecimal": (_cell("0x1p3"), REFUSED),
    "underscore": (_cell("1_0"), REFUSED),
    "full-width digits": (_cell("\uff11"), REFUSED),
    "beyond floats": (_cell(10**400), REFUSED),
    "1e200": (_cell(1e200), EITHER),
    "a billion digits": (_cell("9" * 100_000), REFUSED),
    "true": (_cell(True), EITHER),
    "a list": (_cell([1.0, 2.0]), EITHER),
    "no id": (_cell(None, 0), REFUSED),
    "an id twice": (_cell("r0", 0), EITHER),
    "formula id": (_cell("=HYPERLINK(1)", 0), SAME),
    "minus id": (_cell("-1+1", 0), SAME),
    "quoted formula id": (_cell("'=1", 0), EITHER),
    "html id": (_cell("<script>alert(1)</script>", 0), SAME),
    "escape id": (_cell("\x1b[31mred\x07", 0), SAME),
    "several lines in an id": (_cell("a\nb", 0), SAME),
    "long id": (_cell("x" * 100_000, 0), SAME),
    "path id": (_cell("../../../etc/passwd", 0), SAME),
    "half a character": (_cell("\ud800", 0), EITHER),
    "a name twice": (_named("x0"), REFUSED),
    "no name": (_named(""), EITHER),
    "html name": (_named("x<b>"), EITHER),
    "formula name": (_named("=x1"), EITHER),
    "another name": (_named("y1"), EITHER),
    "glob name": (_named("x[0]"), EITHER),
    "no rows": (lambda g: g[:1], REFUSED),
    "one row": (lambda g: g[:2], EITHER),
    "two rows": (lambda g: g[:3], EITHER),
    "rows copied": (lambda g: [g[0], *([f"r{i}", *g[1][1:]] for i in range(ROWS))], EITHER),
    "a long row": (lambda g: [*g[:5], [*g[5], 1.0], *g[6:]], EITHER),
    "a short row": (lambda g: [*g[:5], g[5][:3], *g[6:]], EITHER),
    "too many digits": (_cell("0." + "3" * 1000), EITHER),
}  # fmt: skip

# Of the bytes of a file.
BYTES: Mapping[str, tuple[Callable[[bytes], bytes], str]] = {
    "as they are": (lambda b: b, SAME),
    "empty": (lambda b: b"", REFUSED),
    "half": (lambda b: b[: len(b) // 2], EITHER),
    "one byte fewer": (lambda b: b[:-1], EITHER),
    "a zero byte": (lambda b: b[:60] + b"\0" + b[60:], EITHER),
    "a byte flipped": (lambda b: b[:70] + bytes([b[70] ^ 0x80]) + b[71:] if len(b) > 70 else b, EITHER),
    "a pickle": (lambda b: b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.", REFUSED),
    "random": (lambda b: bytes(range(256)) * 20, REFUSED),
    "a mark before": (lambda b: b"\xef\xbb\xbf" + b, EITHER),
    "twice": (lambda b: b + b, EITHER),
}

# Of text alone.
TEXTS: Mapping[str, tuple[Callable[[bytes], bytes], str]] = {
    "latin-1": (lambda b: b.replace(b"r0", "r\xe9".encode("latin-1")), EITHER),
    "utf-16": (lambda b: b.decode(errors="replace").encode("utf-16"), REFUSED),
    "crlf": (lambda b: b.replace(b"\n", b"\r\n"), EITHER),
    "a blank line": (lambda b: b + b"\n", EITHER),
    "an open quote": (lambda b: b.replace(b"r1", b'"r1', 1), EITHER),
    "semicolons": (lambda b: b.replace(b",", b";"), REFUSED),
    "deeply nested": (lambda b: b"[" * 100_000 + b"\n" + b, REFUSED),
}

FILES = (
    "points", "with space", "quo'te", 'quo"te', "new\nline", "[red]x", "\xfcn\xef \u65e5", "bad\udcff", "a;b", "{0}%s",
    "=cmd", "<script>", "x" * 180, "esc\x1b[31m", "-x", "..", "\u202egnp",
)  # fmt: skip
TEACHER = f"""import json, sys
for line in sys.stdin:
    question = json.loads(line)
    z = sum(a * b for a, b in zip(question["x"], {W.tolist()}))
    print(json.dumps({{"id": question["id"], "logits": z}}), flush=True)
"""
TEACHER_COMMAND = f"{shlex.quote(sys.executable)} -S -E teacher.py"
ASKED = "bought/asked.jsonl"
"""What was paid for is kept, whatever comes after it."""
FORMATS = ("csv", "tsv", "jsonl", "parquet", "npz", "npy")


def _written(grid: Grid, format_: str) -> bytes | None:
    """The table in this format, or None where the format cannot hold it."""
    try:
        return WRITERS[format_](grid)
    except (ValueError, TypeError, OverflowError, pa.ArrowException):
        return None


def _separated(delimiter: str) -> Callable[[Grid], bytes]:
    def write(grid: Grid) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(
            ["" if v is None else repr(v) if isinstance(v, float) else v for v in row] for row in grid
        )
        return text.getvalue().encode()

    return write


def _lines(grid: Grid) -> bytes:
    names, *rows = grid
    if len(set(names)) < len(names):
        inner = [
            ",".join(f"{json.dumps(n)}: {json.dumps(v)}" for n, v in zip(names, row, strict=False))
            for row in rows
        ]
        return "".join(f"{{{line}}}\n" for line in inner).encode()
    return "".join(json.dumps(dict(zip(names, row, strict=False))) + "\n" for row in rows).encode()


def _parquet(grid: Grid) -> bytes:
    columns = [pa.array(list(column)) for column in zip(*grid[1:], strict=True)]
    out = io.BytesIO()
    arrow_parquet.write_table(pa.table(columns, names=list(map(str, grid[0]))), out)
    return out.getvalue()


def _npz(grid: Grid) -> bytes:
    if len(set(grid[0])) < len(grid[0]):
        raise ValueError("an archive holds each name once")
    columns = [np.array(column) for column in zip(*grid[1:], strict=True)]
    out = io.BytesIO()
    np.savez(out, **{str(name): column for name, column in zip(grid[0], columns, strict=True)})
    return out.getvalue()


def _npy(grid: Grid) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([row[1:4] for row in grid[1:]]))
    return out.getvalue()


WRITERS: Mapping[str, Callable[[Grid], bytes]] = {
    "csv": _separated(","), "tsv": _separated("\t"), "jsonl": _lines, "parquet": _parquet, "npz": _npz, "npy": _npy,
}  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """What a command did in a folder of its own."""

    code: int
    """Its exit code; -1 for an exception that got out."""
    said: str
    """Standard output and standard error, or the exception."""
    new: Mapping[str, bytes]
    """Files that were not there before."""
    changed: tuple[str, ...]
    """Files that were there and are others now, or gone."""


def command(folder: Path, *words: str) -> Ran:
    """``limbeck WORDS`` in this process and folder."""
    before, where, argv = _files(folder), Path.cwd(), sys.argv
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    os.chdir(folder)
    sys.argv = ["limbeck", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    except Exception:
        code = -1
        out.write(traceback.format_exc()[-400:].encode("utf-8", "backslashreplace").decode())
    finally:
        os.chdir(where)
        sys.argv = argv
    after = _files(folder)
    changed = tuple(name for name, content in before.items() if after.get(name) != content)
    new = {name: content for name, content in after.items() if name not in before}
    return Ran(code, out.buffer.getvalue().decode(), new, changed)  # pyright: ignore[reportAttributeAccessIssue]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def unclean(ran: Ran, outputs: tuple[str, ...]) -> str | None:
    """What is wrong with how a command ended, whatever its input."""
    if ran.code not in (0, 2):
        return f"exit code {ran.code}: {ran.said[-300:]}"
    if ran.changed:
        return f"changed {ran.changed}"
    if "Traceback" in ran.said:
        return f"a traceback: {ran.said[-300:]}"
    if odd := re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", ran.said):
        return f"the control character {odd[0]!r} reaches the terminal"
    if ran.code == 2 and ran.new and ASKED not in ran.new:
        return f"refused, and left {sorted(ran.new)}"
    if ran.code == 2 and not re.search(r"Error:\s*\S|Usage: ", ran.said):
        return f"refused without a reason: {ran.said!r:.200}"
    if strangers := sorted(name for name in ran.new if not name.startswith(outputs)):
        return f"wrote {strangers} beside {outputs}"
    return None


def answered(folder: Path, words: tuple[str, ...], outputs: tuple[str, ...]) -> Ran:
    """The command, which gave an answer; `RefusalError` where it refused as it should."""
    ran = command(folder, *words)
    wrong = unclean(ran, outputs)
    if wrong is not None:
        raise AssertionError(wrong)
    if ran.code == 2:
        raise RefusalError(ran.said)
    return ran


# -- the commands ------------------------------------------------------------------------------------

JOBS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "predict": (("predict", "student.json", "TABLE", "--out", "answers.jsonl"), ("answers.jsonl",)),
    "predict to CSV": (("predict", "student.json", "TABLE", "--out", "answers.csv"), ("answers.csv",)),
    "distill": (
        ("distill", "TABLE", "--features", "x*", "--teacher-logit", "z", "--alpha", "0", "--out", "made.json"),
        ("made.json",),
    ),
    "distill in blocks": (
        (
            "distill", "TABLE", "--features", "x*", "--teacher-logit", "z", "--alpha", "0", "--stream", "--jobs", "1",
            "--out", "made.json",
        ),
        ("made.json",),
    ),
    "distill what is answered": (
        (
            "distill", "TABLE", "--features", "x*", "--teacher-logit", "z*", "--unanswered", "drop", "--alpha", "0",
            "--out", "made.json",
        ),
        ("made.json",),
    ),
    "distill what is answered in blocks": (
        (
            "distill", "TABLE", "--features", "x*", "--teacher-logit", "z*", "--unanswered", "drop", "--alpha", "0",
            "--stream", "--jobs", "1", "--out", "made.json",
        ),
        ("made.json",),
    ),
    "distill a second table": (
        (
            "distill", "TABLE", "--features", "x*", "--answers", "TABLE", "--teacher-logit", "z", "--unanswered",
            "drop", "--audit", "", "--alpha", "0", "--out", "made.json",
        ),
        ("made.json",),
    ),
    "distill in blocks, scaled": (
        (
            "distill", "TABLE", "--features", "x*", "--teacher-logit", "z", "--alpha", "0", "--stream", "--jobs", "1",
            "--scale", "standard", "--out", "made.json",
        ),
        ("made.json",),
    ),
    "select": (("select", "TABLE", "--features", "x*", "--budget", "3", "--out", "picks.csv"), ("picks.csv",)),
    "select in blocks": (
        ("select", "TABLE", "--features", "x*", "--budget", "3", "--stream", "--out", "picks.csv"), ("picks.csv",)
    ),
    "plan": (
        (
            "plan", "TABLE", "--features", "x*", "--answers", "TABLE", "--teacher-logit", "z", "--target-risk", "0.1",
            "--alpha", "0", "--orders", "2",
        ),
        (),
    ),
    "audit": (("audit", "student.json", "TABLE", "--decimals", "2", "--repeats", "1"), ()),
    "label": (
        (
            "label", "TABLE", "--features", "x*", "--teacher-command", TEACHER_COMMAND,
            "--budget", "12", "--audit", "6", "--target-risk", "0.4", "--anyway", "--alpha", "0", "--out", "bought",
        ),
        ("bought/",),
    ),
}  # fmt: skip


NEED_ANSWERS = ("distill", "distill in blocks", "distill in blocks, scaled", "plan")
"""Jobs to which a row without an answer is an error; the others drop it, or read no answers."""


def _call(job: str) -> Callable[[Draws], Call]:
    words, outputs = JOBS[job]

    def draw(g: Draws) -> Call:
        format_, content = g.pick(FORMATS), g.pick(list(CONTENTS)) if g.odd() else "plain"
        how = (
            g.pick([*BYTES, *(TEXTS if format_ in ("csv", "tsv", "jsonl") else ())])
            if g.odd()
            else "as they are"
        )
        name = g.pick(FILES) if g.odd() else "points"
        ending = g.pick(FORMATS) if g.odd() else format_
        g.kinds += [format_, content, how, repr(name)[:30], ending]
        grid = CONTENTS[content][0](_plain(g.rng))
        data = _written(grid, format_)
        expected = {CONTENTS[content][1], (BYTES | TEXTS)[how][1]}
        if (
            data is None
            or (len(expected) > 1 and EITHER in expected)
            or ending != format_
            or format_ == "npy"
            or name == "-x"
        ):
            expected = {EITHER}
        elif REFUSED in expected:
            expected = {REFUSED}
        elif content == "no answer" and how == "as they are" and format_ != "npz":
            expected = {REFUSED if job in NEED_ANSWERS else SAME}
        if job == "predict to CSV" and content == "half a character":
            expected = {EITHER}
        data = (BYTES | TEXTS)[how][0](data or b"")
        file = f"{name}.{ending}"

        def run(file: str, data: bytes) -> Ran:
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place) / "here"
                folder.mkdir()
                (folder / "student.json").write_bytes(student_file())
                (folder / "teacher.py").write_text(TEACHER)
                (folder / file).write_bytes(data)
                return answered(folder, tuple(file if word == "TABLE" else word for word in words), outputs)

        def wrong(ran: Ran, file: str, data: bytes) -> str | None:
            if REFUSED in expected:
                return f"accepted: {ran.said!r:.200}"
            return RIGHT[job](ran, grid)

        known = REFUSED in expected or (SAME in expected and job in RIGHT)
        return Call(run, (file, data), wrong if known else None)

    return draw


@cache
def student_file() -> bytes:
    """A saved student whose weights are known."""
    X = np.random.default_rng(0).standard_normal((50, 3))
    student = limbeck.SoftLabelClassifier(0).fit(X, teacher_logits=X @ W)
    columns = {
        "columns": list(NAMES[1:4]),
        "embedding": None,
        "width": 0,
        "text": None,
        "terms": [],
        "weights": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "student.json"
        limbeck.save(student, path, features={"table": columns})
        return path.read_bytes()


def _truth(grid: Grid) -> tuple[list[str], np.ndarray]:
    rows = grid[1:]
    return [str(r[0]) for r in rows], np.array([r[1:4] for r in rows], dtype=float)


def _right_answers(ran: Ran, grid: Grid) -> str | None:
    ids, X = _truth(grid)
    if "answers.csv" in ran.new:
        rows = list(csv.DictReader(io.StringIO(ran.new["answers.csv"].decode(), newline="")))
        found = [re.sub(r"^'(?=[=+\-@\t\r'])", "", row["id"]) for row in rows]
    else:
        rows = [json.loads(line) for line in ran.new["answers.jsonl"].decode().splitlines()]
        found = [row["id"] for row in rows]
    if found != ids:
        return f"other ids: {found!r:.100}"
    last = list(rows[0])[-1]
    off = np.abs(np.array([float(row[last]) for row in rows]) - expit(X @ W)).max()
    return None if off < 1e-9 else f"probabilities off by {off:.2g}"


def _right_student(ran: Ran, grid: Grid) -> str | None:
    X = _truth(grid)[1]
    z = X @ W
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.json"
        path.write_bytes(ran.new["made.json"])
        off = np.abs(limbeck.load(path).decision_function(X) - z).max()
    return None if off < 1e-9 * (1 + np.abs(z).max()) else f"answers off by {off:.2g}"


def _right_purchase(ran: Ran, grid: Grid) -> str | None:
    ids = _truth(grid)[0]
    events = [json.loads(line) for line in ran.new[ASKED].decode().splitlines()]
    asked = [event["id"] for event in events if event["event"] == "asked"]
    if len(set(asked)) < len(asked) or len(asked) > 12 or not set(asked) <= set(ids):
        return f"asked for {asked!r:.200}"
    return _right_student(Ran(0, "", {"made.json": ran.new["bought/student.json"]}, ()), grid)


def _right_picks(ran: Ran, grid: Grid) -> str | None:
    rows = list(csv.DictReader(io.StringIO(ran.new["picks.csv"].decode(), newline="")))
    picks = [re.sub(r"^'(?=[=+\-@\t\r'])", "", row["id"]) for row in rows]
    good = len(set(picks)) == 3 and set(picks) <= set(_truth(grid)[0])
    return None if good else f"picked {picks!r:.100}"


RIGHT: Mapping[str, Callable[[Ran, Grid], str | None]] = {
    "predict": _right_answers,
    "predict to CSV": _right_answers,
    "distill": _right_student,
    "distill in blocks": _right_student,
    "distill what is answered": _right_student,
    "distill what is answered in blocks": _right_student,
    "distill a second table": _right_student,
    "distill in blocks, scaled": _right_student,
    "select": _right_picks,
    "select in blocks": _right_picks,
    "label": _right_purchase,
}


def _through_columns(X: Any) -> Any:
    """Answers of a saved student for columns by name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.json"
        path.write_bytes(student_file())
        columns = dict(zip(NAMES[1:4], X.T, strict=False)) if getattr(X, "ndim", 0) == 2 else X
        return limbeck.load_pipeline(path).predict_proba(columns)[:, 1]


def _right_columns(found: Any, X: Any) -> str | None:
    off = np.abs(found - expit(np.asarray(X, dtype=float)[:, :3] @ W)).max()
    return None if off < 1e-9 else f"probabilities off by {off:.2g}"


TABLES: dict[str, Callable[[Draws], Call]] = {
    **{f"limbeck {job}": _call(job) for job in JOBS},
    "load_pipeline": lambda g: Call(_through_columns, (g.array(g.n, 3),), _right_columns),
}
