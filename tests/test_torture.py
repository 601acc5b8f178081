"""A sample of every campaign of docs/reliability.md; `make torture` runs them at full size."""

import inspect
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from command import in_process
from hypothesis import given
from hypothesis import strategies as st
from torture import accuracy, determinism, hostile, inputs, proofs, tables
from torture.calls import Call
from torture.sections import CALLS

import limbeck
from limbeck import _check, budget, data, displays, labels, students, theory
from limbeck.data.results import FORMULA, harmless, original
from limbeck.records import UserError, read_json
from limbeck.students import metrics
from limbeck.theory import Span, disagreement, expected_risk, kernels, polynomial_bound
from limbeck.theory.learners import HardTargetLimit


def publics():
    """Every public function and class that runs code of its own, by name."""
    for room in (limbeck, theory, kernels, labels, budget, students, metrics, displays, data):
        names = getattr(room, "__all__", None) or [
            n for n, v in vars(room).items() if n[0] != "_" and getattr(v, "__module__", "") == room.__name__
        ]
        for name in names:
            public = getattr(room, name)
            if callable(public) and not getattr(public, "_is_protocol", False) and codes(public):
                yield f"{room.__name__}.{name}", public


def codes(public):
    """Code that is entered when it is used: a function's own, or any of a class's."""
    inside = vars(public).values() if inspect.isclass(public) else [public]
    plain = (
        getattr(v, "fget", None) or getattr(v, "func", None) or getattr(v, "__func__", v) for v in inside
    )
    found = {inspect.unwrap(v).__code__ for v in plain if hasattr(inspect.unwrap(v), "__code__")}
    return {code for code in found if code.co_filename != "<string>"}  # a dataclass writes its own


def test_odd_input_is_answered_rightly_or_refused_with_a_reason_and_no_public_call_is_left_out():
    entered, everything = set(), {**CALLS, **hostile.HOSTILE}
    total, left_out = Counter(), [""]
    sys.setprofile(lambda frame, event, _: entered.add(frame.f_code) if event == "call" else None)
    try:
        for seed in (1, 2, 3, 4):  # a call may be refused each time: then more of them are tried
            found = inputs.campaign(everything, (5 if seed == 1 else 2) * len(everything), seed=seed)
            assert found.findings == ()
            total += found.total
            left_out = [name for name, public in publics() if not codes(public) & entered]
            if not left_out:
                break
    finally:
        sys.setprofile(None)
    assert left_out == []
    assert total["checked"] > 100
    assert total["refused"] > 100


def test_the_campaign_notices_what_is_wrong():
    def spoil(X):
        X[0] = 7.0
        return X

    wrongs = {
        "changes its argument": Call(spoil, (np.zeros(2),)),
        "returns NaN": Call(lambda: float("nan"), ()),
        "lets a warning out": Call(lambda: float(np.log(np.zeros(1))[0]), ()),
        "raises from below": Call(lambda: np.linalg.inv(np.zeros((2, 2))), ()),
        "fails its reference": Call(lambda: 1.0, (), lambda result: "wrong"),
    }
    for name, call in wrongs.items():
        assert inputs.tried(call)[1] is not None, name
    ran = tables.Ran(2, "Error: no", {"left.csv": b""}, ())
    assert "left" in tables.unclean(ran, ("left.csv",))
    assert "control" in tables.unclean(tables.Ran(0, "\x1b[31m", {}, ()), ())
    assert hostile.active("<p onclick=x><script src=y></script>") == [
        "onclick",
        "script",
        "src='y'",
        "no policy",
    ]


def test_a_finding_is_made_small():
    def draw(g):
        return Call(lambda X: float("nan") if np.asarray(X).size > 9 else 0.0, (g.array(g.n, g.d),))

    _, finding = inputs.explored("large arrays", draw, 100)
    assert finding.what == "NaN in the result"
    assert "plain, as it is" in finding.arguments


@given(st.text(alphabet="'=+-@\t1.e a", max_size=6))
def test_what_a_spreadsheet_would_run_is_written_harmless_and_read_back_as_it_was(text):
    written = harmless(text)
    assert original(written) == text
    assert not written.startswith(FORMULA) or float(written) is not None


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": NaN}', "[" * 100_000])
def test_json_that_says_two_things_or_nothing_is_refused(tmp_path, text):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(UserError, match=r"f\.json is damaged"):
        read_json(tmp_path / "f.json")


def test_the_same_command_writes_the_same_bytes(tmp_path):
    found = determinism.twice(tmp_path, ("distill", "select"))
    data = [f for t in found.values() for f in t.different if not f.endswith(".html")]
    assert [t.files for t in found.values()] == [2, 2]
    assert data == []


@pytest.mark.browser
def test_a_hostile_table_shows_as_text_in_a_browser(tmp_path, chromium_path):
    payload = hostile.PAYLOADS[0]
    (tmp_path / "t.csv").write_bytes(
        hostile.hostile_table(payload, "<img src=x onerror=document.title='owned'>")
    )
    ran = tables.command(tmp_path, *("t.csv" if w == "TABLE" else w for w in hostile.PAGES["select"]))
    assert ran.code == 0, ran.said
    command = [
        chromium_path,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'u'}",
    ]
    done = subprocess.run(
        [*command, "--virtual-time-budget=3000", "--dump-dom", (tmp_path / "page.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "&lt;script&gt;document.title" in done.stdout
    assert "<title>owned" not in done.stdout


@pytest.mark.parametrize("shape", accuracy.SHAPES)
@pytest.mark.parametrize(("condition", "scale"), [(1.0, 1e150), (1e6, 1e-150), (1e12, 1.0)])
def test_the_student_is_backward_stable(shape, condition, scale):
    found = accuracy.rounding(accuracy.SHAPES[shape], condition, scale, 1)
    assert found.backward < 10
    assert found.rank == min(accuracy.SHAPES[shape])


@pytest.mark.parametrize("size", [1e-300, 1e200])
def test_sizes_whose_squares_are_no_floats_are_refused(size):
    with pytest.raises(ValueError, match="squares of it leave the range"):
        Span(size * np.eye(2))
    with pytest.raises(ValueError, match="squares of it leave the range"):
        Span(np.eye(2)).weights([size, 0.0])


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="x is beyond the range"):
        _check.number(10**400, "x")
    with pytest.raises(ValueError, match="n must be an integer"):
        _check.count(10**400, "n")
    with pytest.raises(ValueError, match="real numbers, got dtype complex"):
        Span(np.eye(2)).project([1j, 0])
    with pytest.raises(ValueError, match="Logits of the same points"):
        disagreement([], [])
    with pytest.raises(ValueError, match="Every point is zero"):
        HardTargetLimit().weights(Span(np.zeros((3, 2))), [1.0, -1, 1])
    with pytest.raises(ValueError, match="a grid too long"):
        expected_risk(1e-17, 100, 2)
    assert polynomial_bound(30, 1e17) == 0.0


def test_a_shape_of_truths_and_findings_without_names_are_refused(tmp_path, monkeypatch, capsys):
    from io import BytesIO
    from zipfile import ZipFile

    from numpy.lib import format as npy

    member = BytesIO()
    npy.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (True, True)})
    member.write(np.zeros(1).tobytes())
    with ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("X.npy", member.getvalue())
    monkeypatch.chdir(tmp_path)
    code, _, error = in_process(monkeypatch, capsys, "select", "t.npz", "--budget", 1, "--out", "p.csv")
    assert code == 2
    assert "sizes are whole numbers" in error
    words = ("reproduce", "figure-1", "--quick", "--jobs", 1, "--out", "report")
    assert in_process(monkeypatch, capsys, *words)[0] == 0
    (tmp_path / "report" / "findings.json").write_text("null")
    code, _, error = in_process(monkeypatch, capsys, *words, "--resume")
    assert code == 2
    assert "findings.json is damaged" in " ".join(error.split())
    (tmp_path / "report" / "findings.json").unlink()
    records = tmp_path / "report" / "records.jsonl"
    records.write_text(re.sub(r'"cloud": ?\[.*?\]\]', '"cloud": 1.5', records.read_text()))
    assert '"cloud": 1.5' in records.read_text()
    code, _, error = in_process(monkeypatch, capsys, *words, "--resume")
    assert code == 2
    assert "records that are none" in " ".join(error.split())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # naive sigmoids overflow
def test_no_certificate_from_computed_answers_is_false():
    found = proofs.Proofs()
    proofs.campaign(found, seed=1, every=9)
    assert (found.false.total(), found.refused.total()) == (0, 0), found.where
    least = {"float16": 0.15, "bfloat16": 0.13, "float32": 0.33, "float64": 0.45}
    assert all(found.proved[kind] > share * found.points[kind] for kind, share in least.items())
