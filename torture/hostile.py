"""Files that mean harm: edited, cut, blown up, nested, renamed pickles; and texts that a page or sheet might run."""

from __future__ import annotations

import copy
import csv
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as arrow_parquet
from scipy.special import expit

from limbeck.budget import BudgetedDistillation
from limbeck.data.results import FORMULA, harmless
from limbeck.data.tables import open_table, read
from limbeck.data.unfinished import Unfinished
from limbeck.students import saving
from torture import tables
from torture.calls import Call
from torture.odd import Draws

ODD_JSON: tuple[Any, ...] = (
    None, True, 0, -1, 2, 1.5, 10**400, 1e308, float("nan"), float("inf"), "", "inf", "O", "M8[s]", "<script>",
    "__class__", "\x00", [], {}, [[]], [None], {"": {}}, [[[[1.0]]]], [1e308, 1e308], "9" * 5000,
)  # fmt: skip


def _places(tree: Any, at: tuple = ()) -> list[tuple]:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [at, *(place for key, value in inner for place in _places(value, (*at, key)))]


def _edited(g: Draws, tree: Any) -> str:
    """The JSON with one value replaced, left out, doubled, or nested in itself a hundred thousand deep."""
    tree = copy.deepcopy(tree)
    place = g.pick(_places(tree))
    how = g.pick(("replaced", "left out", "a key twice", "nested"))
    g.kinds.append(f"{'/'.join(map(str, place))} {how}")
    if how == "nested" or not place:
        return (
            json.dumps(g.pick(ODD_JSON))
            if not place
            else json.dumps(tree)[:-1] + ', "x": ' + "[" * 10**5 + "]" * 10**5 + "}"
        )
    inner = tree
    for key in place[:-1]:
        inner = inner[key]
    if how == "left out":
        del inner[place[-1]]
    elif how == "replaced":
        inner[place[-1]] = g.pick(ODD_JSON)
        g.kinds.append(repr(inner[place[-1]])[:20])
    else:
        text = json.dumps(tree)
        return text[:-1] + f", {json.dumps(str(place[0]))}: 0}}" if isinstance(tree, dict) else text
    return json.dumps(tree)


def _cut(g: Draws, data: bytes) -> bytes:
    """The bytes cut, flipped, doubled or another file's."""
    at = g.pick(range(max(len(data), 1)))
    how = g.pick(("cut", "flipped", "doubled", "zeros", "a pickle", "left out"))
    g.kinds.append(f"{how} at {at}")
    return {
        "cut": data[:at],
        "flipped": data[:at] + bytes([data[at] ^ g.pick((1, 32, 128))]) + data[at + 1 :] if data else data,
        "doubled": data + data[at:],
        "zeros": data[:at] + bytes(100) + data[at:],
        "a pickle": b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.",
        "left out": data[:at] + data[at + 1 :],
    }[how]


# -- students ----------------------------------------------------------------------------------------


def _student(g: Draws) -> Call:
    data = tables.student_file()
    signed = g.pick((False, True))
    if g.pick((True, False)):
        text = _edited(g, json.loads(data))
        if signed:  # whoever edits a file can compute its digest anew
            text = _signed(text)
        new = text.encode("utf-8", "surrogatepass")
    else:
        new = _cut(g, data)

    def run(new: bytes) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "student.json"
            path.write_bytes(new)
            return saving.read(path).student.predict_proba(np.eye(3))

    def wrong(found: np.ndarray, new: bytes) -> str | None:
        same = saving._digest(_content(data)) == saving._digest(_content(new)) if not signed else True
        return None if same and np.isfinite(found).all() else "an edited file was taken"

    return Call(run, (new,), wrong)


def _content(data: bytes) -> dict[str, Any]:
    return {k: v for k, v in json.loads(data).items() if k != "digest"}


def _signed(text: str) -> str:
    try:
        content = json.loads(text)
        content = {k: v for k, v in content.items() if k != "digest"}
        return json.dumps({**content, "digest": saving._digest(content)})
    except (ValueError, AttributeError, RecursionError, TypeError):
        return text


# -- folders that a run goes on in -------------------------------------------------------------------


def _pool() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((20, 2))


def _buy(folder: Path) -> Any:
    buy = BudgetedDistillation(lambda x: expit(x[:, 0]), budget=12, target_risk=0.3, audit=6, batch=3)
    return buy.run(_pool(), folder=folder)


@cache
def _bought() -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        _buy(Path(folder))
        return {p.name: p.read_bytes() for p in Path(folder).iterdir() if p.suffix in (".json", ".jsonl")}


@cache
def _reproduced() -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        tables.command(Path(folder), *REPRODUCE)
        return {p.name: p.read_bytes() for p in (Path(folder) / "report").iterdir() if p.is_file()}


REPRODUCE = ("reproduce", "figure-1", "--quick", "--jobs", "1", "--resume", "--out", "report")


def _spoiled(g: Draws, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """One of the files, and what becomes of it: one of its lines edited, or its bytes."""
    name = g.pick(sorted(files))
    g.kinds.append(name)
    if g.pick((True, False)) and name.endswith((".json", ".jsonl")) and files[name]:
        lines = files[name].decode().splitlines() if name.endswith("l") else [files[name].decode()]
        at = g.pick(range(len(lines)))
        lines[at] = _edited(g, json.loads(lines[at]))
        return name, ("\n".join(lines) + "\n").encode()
    return name, _cut(g, files[name])


def _purchase(g: Draws) -> Call:
    name, data = _spoiled(g, _bought())

    def run(name: str, data: bytes) -> Any:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            for other, content in _bought().items():
                (folder / other).write_bytes(content)
            (folder / name).write_bytes(data)
            return _buy(folder).spent

    return Call(run, (name, data), lambda spent, *_: None if 0 <= spent <= 12 else f"spent {spent} of 12")


def _results(g: Draws) -> Call:
    name, data = _spoiled(g, _reproduced())

    def run(name: str, data: bytes) -> Any:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "report").mkdir()
            for other, content in _reproduced().items():
                (folder / "report" / other).write_bytes(content)
            (folder / "report" / name).write_bytes(data)
            ran = tables.command(folder, *REPRODUCE)
            if ran.code not in (0, 1, 2) or "Traceback" in ran.said:
                raise AssertionError(ran.said[-300:])
            outside = [new for new in ran.new if not new.startswith("report/")]
            pages = [content for file, content in ran.new.items() if file.endswith(".html")]
            pages += [(folder / "report" / "report.html").read_bytes()] if ran.code == 0 else []
            return ran.code, outside, [active(page.decode()) for page in pages]

    def wrong(found: Any, *_: Any) -> str | None:
        code, outside, found = found
        return (
            None if not outside and not any(found) else f"exit code {code}, wrote {outside}, active: {found}"
        )

    return Call(run, (name, data), wrong)


def _parts(g: Draws) -> Call:
    origin, columns = {"student": "s"}, {"id": ["a", "=b"], "p": [0.5, 0.25]}
    spoil = g.pick(("origin.json", "part"))
    seed = _Picks(g)

    def run(spoil: str) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "answers.csv"
            parts = Unfinished(out, origin, resume=False, overwrite=False)
            parts.keep(0, columns)
            path = next(parts.folder.glob("*.arrow")) if spoil == "part" else parts.folder / "origin.json"
            path.write_bytes(seed.cut(path.read_bytes()))
            Unfinished(out, origin, resume=True, overwrite=False).assemble()
            return out.read_text()

    return Call(run, (spoil,))


class _Picks:
    """Picks made before the bytes are there."""

    def __init__(self, g: Draws) -> None:
        self.at, self.how = g.pick(range(2000)), g.pick(("cut", "flipped", "zeros"))
        g.kinds.append(f"{self.how} at {self.at}")

    def cut(self, data: bytes) -> bytes:
        at = self.at % len(data)
        if self.how == "cut":
            return data[:at]
        return data[:at] + (
            bytes([data[at] ^ 32]) + data[at + 1 :] if self.how == "flipped" else bytes(64) + data[at:]
        )


# -- archives ----------------------------------------------------------------------------------------


def _header(shape: Any, dtype: Any = "<f8", order: Any = False, more: str = "") -> bytes:
    text = f"{{'descr': {dtype!r}, 'fortran_order': {order!r}, 'shape': {shape!r}{more}}}".encode()
    text += b" " * (64 - (10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _saved(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


ARRAYS: Mapping[str, Callable[[], bytes]] = {
    "sound": lambda: _saved(np.arange(12.0).reshape(4, 3)),
    "objects": lambda: _saved(np.array([[print]], dtype=object)),
    "more rows than bytes": lambda: _header((10**12, 3)) + bytes(96),
    "more rows than numbers": lambda: _header((10**30, 3)) + bytes(96),
    "fewer than no rows": lambda: _header((-4, 3)) + bytes(96),
    "no columns": lambda: _header((4, 0)),
    "no rows": lambda: _header((0, 3)),
    "one axis": lambda: _header((12,)) + bytes(96),
    "three axes": lambda: _header((2, 2, 3)) + bytes(96),
    "no axis": lambda: _header(()) + bytes(8),
    "shape of floats": lambda: _header((4.0, 3.0)) + bytes(96),
    "shape of truths": lambda: _header((True, True)) + bytes(96),
    "code in the header": lambda: _header((4, 3), more=", 'x': __import__('os').system('touch owned')") + bytes(96),
    "code as a type": lambda: _header((4, 3), dtype="__import__('os')") + bytes(96),
    "long texts": lambda: _header((4, 3), dtype="<U1000000000") + bytes(96),
    "fields": lambda: _header((4, 3), dtype=[("a", "<f8")]) + bytes(96),
    "dates": lambda: _header((4, 3), dtype="<M8[s]") + bytes(96),
    "complex": lambda: _header((4, 3), dtype="<c16") + bytes(192),
    "nothing per number": lambda: _header((4, 3), dtype="|V0"),
    "nan": lambda: _saved(np.full((4, 3), np.nan)),
    "no header": lambda: b"\x93NUMPY\x01\x00\xff\xff",
    "a later version": lambda: b"\x93NUMPY\x09\x00" + bytes(100),
    "nested header": lambda: _header("(" * 5000),
    "pickle": lambda: b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.",
}  # fmt: skip


def _zipped(data: bytes, how: str, name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(
        out, "w", zipfile.ZIP_STORED if how == "stored" else zipfile.ZIP_DEFLATED
    ) as archive:
        archive.writestr(name, data)
        if how == "bomb":
            with archive.open("bomb.npy", "w", force_zip64=True) as file:
                file.write(_header((300 << 20,), dtype="|u1"))
                for _ in range(300):
                    file.write(bytes(1 << 20))
    return out.getvalue()


@cache
def _bomb() -> bytes:
    return _zipped(ARRAYS["sound"](), "bomb", "X.npy")


@cache
def _repeated() -> bytes:
    """A hundred and fifty million times one number, in a few hundred kilobytes."""
    out = io.BytesIO()
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**6, dtype=np.int32)), pa.array([1.0]))
    table = pa.table({f"x{j}": column for j in range(150)})
    arrow_parquet.write_table(table, out, compression="zstd", row_group_size=10**6)
    return out.getvalue()


def _archive(g: Draws) -> Call:
    kind, how = g.pick(list(ARRAYS)), g.pick(("bare", "stored", "deflated", "cut", "bomb", "repeated"))
    member = g.pick(("X.npy", "../../X.npy", "/etc/X.npy", "\x1b[31m.npy", "X"))
    g.kinds.append(f"{kind}, {how}, {member}")
    if how == "bare":
        name, data = "t.npy", ARRAYS[kind]()
    elif how == "bomb":
        name, data = "t.npz", _bomb()
    elif how == "repeated":
        name, data = "t.parquet", _repeated()
    else:
        name, data = "t.npz", _zipped(ARRAYS[kind](), how, member)
        data = data[: len(data) * 2 // 3] if how == "cut" else data

    def run(name: str, data: bytes) -> Any:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "here"
            folder.mkdir()
            (folder / name).write_bytes(data)
            table = open_table(folder / name)
            for chunk in read(table, table.columns):
                _ = {column: values.to_pylist() for column, values in chunk.columns.items()}
            if [p.name for p in Path(place).rglob("*") if p.is_file()] != [name]:
                raise AssertionError("reading a table wrote a file")

    def wrong(*_: Any) -> str | None:
        return f"{how} was read" if how in ("bomb", "repeated") or kind in ("objects", "pickle") else None

    return Call(run, (name, data), wrong)


# -- pages and sheets --------------------------------------------------------------------------------

PAYLOADS = (
    "<script>document.title='owned'</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "{{ 7*7 }}",
    "{% include '/etc/passwd' %}", "javascript:alert(1)", "]]><x>", "&lt;b&gt;", "=HYPERLINK(1)", "@SUM(1)",
    "\u202egnp.exe", "a\x00b", "'; DROP TABLE", "</title><script>alert(1)</script>", "<!--", "../../../escape",
    "$\\frac{1}{0}$", "$x",
)  # fmt: skip


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.active: list[str] = []
        self.policy = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "iframe", "object", "embed", "form", "base", "link", "svg"):
            self.active.append(tag)
        self.active += [name for name in values if name.startswith("on")]
        for name in ("src", "href"):
            if not (values.get(name) or "data:image/").startswith(
                ("data:image/svg+xml;base64,", "data:image/", "#")
            ):
                self.active.append(f"{name}={values[name]!r:.40}")
        self.policy |= tag == "meta" and "default-src 'none'" in (values.get("content") or "")


def active(page: str) -> list[str]:
    """What in a page could run or load something, and a missing Content-Security-Policy."""
    seen = _Elements()
    seen.feed(page)
    return seen.active + ([] if seen.policy else ["no policy"])


PAGES: Mapping[str, tuple[str, ...]] = {
    "distill": (
        "distill", "TABLE", "--features", "x*", "--teacher-label", "said", "--repeats", "2", "--out", "made.json",
        "--report", "page.html",
    ),
    "select": ("select", "TABLE", "--features", "x*", "--budget", "3", "--out", "picks.csv", "--report", "page.html"),
    "plan": (
        "plan", "TABLE", "--features", "x*", "--answers", "TABLE", "--teacher-label", "said", "--target-risk", "0.1",
        "--orders", "2", "--report", "page.html",
    ),
    "audit": (
        "audit", "student.json", "TABLE", "--features", "x*", "--decimals", "1", "--repeats", "1",
        "--report", "page.html",
    ),
    "predict": ("predict", "student.json", "TABLE", "--out", "answers.csv"),
}  # fmt: skip
OUTPUTS = ("made.json", "page.html", "picks.csv", "answers.csv")


def hostile_table(payload: str, other: str) -> bytes:
    """A table whose ids, labels and columns are the payloads."""
    text = io.StringIO()
    X = np.random.default_rng(1).standard_normal((24, 3))
    rows = [
        [payload + str(i), *map(repr, map(float, x)), payload if x[0] > 0 else other] for i, x in enumerate(X)
    ]
    csv.writer(text, lineterminator="\n").writerows([["id", "x0", "x1", "x2", "said"], *rows])
    return text.getvalue().encode()


def _page(g: Draws) -> Call:
    job, payload, other = g.pick(list(PAGES)), g.pick(PAYLOADS), g.pick(PAYLOADS[1:])
    name = g.pick(("points", payload.replace("/", "").replace("\x00", "")[:80]))
    g.kinds.append(f"{job}, {payload}, {other}, {name}")

    def run(name: str, payload: str, other: str) -> tables.Ran:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "here"
            folder.mkdir()
            (folder / "student.json").write_bytes(tables.student_file())
            (folder / f"{name}.csv").write_bytes(hostile_table(payload, other))
            return tables.answered(
                folder, tuple(f"{name}.csv" if w == "TABLE" else w for w in PAGES[job]), OUTPUTS
            )

    def wrong(ran: tables.Ran, *_: Any) -> str | None:
        found = active(ran.new["page.html"].decode()) if "page.html" in ran.new else []
        sheets = [text for file, text in ran.new.items() if file.endswith(".csv")]
        cells = [
            cell
            for sheet in sheets
            for row in csv.reader(io.StringIO(sheet.decode(), newline=""))
            for cell in row
        ]
        formulas = [cell for cell in cells if cell.startswith(FORMULA) and harmless(cell) != cell]
        return None if not found and not formulas else f"active: {found}, formulas: {formulas[:2]}"

    return Call(run, (name, payload, other), wrong)


HOSTILE: dict[str, Callable[[Draws], Call]] = {
    "a student's file": _student,
    "a purchase's folder": _purchase,
    "a report's folder": _results,
    "parts of a prediction": _parts,
    "an archive": _archive,
    "a page or sheet": _page,
}
