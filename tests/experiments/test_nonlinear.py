"""``limbeck reproduce nonlinear`` at a small size, with and without jax."""

import csv
from importlib.util import find_spec

import numpy as np
import pytest

from limbeck.experiments import EXPERIMENTS, nonlinear
from limbeck.experiments._nonlinear_students import DELTAS, kernel_logits, readings, stages
from limbeck.experiments._nonlinear_tasks import BASE, KAPPAS, LEVELS, transfer
from limbeck.experiments._nonlinear_verdicts import judge
from limbeck.experiments.run import Request, chosen, run, settings_of
from limbeck.records import UserError
from limbeck.theory import Span
from limbeck.theory.kernels import NTK, Linear

SMALL = {"n": "5", "test": "40", "pool": "10", "most": "16"}


def settings(**values):
    return settings_of(
        EXPERIMENTS["nonlinear"], Request(["nonlinear"], None, quick=True, values=SMALL | values)
    )


def table(out):
    with (out / "nonlinear.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_without_jax_the_kernel_part_runs_and_with_it_resume_adds_the_networks(tmp_path, monkeypatch):
    def request(resume=False):
        return Request(["nonlinear"], tmp_path, quick=True, repeats=2, values=SMALL, resume=resume)

    with monkeypatch.context() as without:
        without.setattr(nonlinear, "find_spec", lambda name: None)
        without.setattr(nonlinear.Nonlinear, "draw", lambda *anything: None)  # drawn once, below
        findings = run(EXPERIMENTS, request())
    assert findings[-1].verdict == "not run: pip install 'limbeck[networks]'"
    assert {row["student"] for row in table(tmp_path)} == {"kernel", "linear"}
    kernels = [row for row in table(tmp_path) if row["student"] != "network"]
    if find_spec("jax") is None:
        pytest.skip("networks need jax: pip install 'limbeck[networks]'")
    findings = run(EXPERIMENTS, request(resume=True))
    rows = table(tmp_path)
    assert ",".join(rows[0]) == "data,teacher,student,width,quantity,geometry,delta,mean,stderr,repeats"
    assert [row for row in rows if row["student"] != "network"] == kernels
    assert {row["width"] for row in rows if row["student"] == "network"} == {"16"}
    assert {(row["data"], row["teacher"]) for row in rows} == {
        (d, t) for d in LEVELS for t in ("linear", "network")
    }
    risks = [row for row in rows if row["quantity"] == "risk" and row["student"] == "network"]
    assert len(risks) == 4 * len(KAPPAS) * len(DELTAS)
    assert all(0 <= float(row["mean"]) <= 1 for row in risks)
    assert [f.title.split(":")[0] for f in findings] == [
        "Beyond linear 1",
        "Beyond linear 2",
        "Beyond linear 3",
    ]
    assert (tmp_path / "nonlinear.png").read_bytes().startswith(b"\x89PNG")


def test_it_runs_on_request_only():
    assert "nonlinear" not in chosen(EXPERIMENTS, ["all"])
    assert chosen(EXPERIMENTS, ["nonlinear"]) == ["nonlinear"]
    assert chosen(EXPERIMENTS, ["all", "nonlinear"])[-1] == "nonlinear"


@pytest.mark.parametrize(
    ("name", "value"), [("n", "60"), ("n", "1"), ("depth", "1"), ("test", "900"), ("most", "8")]
)
def test_sizes_that_cannot_work_are_refused_before_any_work(name, value, tmp_path):
    with pytest.raises(UserError, match=f"nonlinear: .*{name}"):
        run(EXPERIMENTS, Request(["nonlinear"], tmp_path, values={name: value}))


@pytest.mark.parametrize("data", LEVELS)
@pytest.mark.parametrize("teacher", ["linear", "network"])
def test_every_stage_teaches_n_points_and_the_last_one_more(data, teacher):
    sample = transfer(data, teacher, settings(), np.random.default_rng(0))
    X, z, levels = stages(sample)
    assert X.shape == (len(KAPPAS) + 1, 6, 49)
    assert np.all(X[:-1, -1] == 0)
    assert np.all(z[:-1, -1] == 0)
    np.testing.assert_array_equal(X[-1, :-1], X[BASE, :-1])
    assert levels[-1] == BASE
    if teacher == "linear":  # one weight vector gave all answers of a level
        rows, logits = np.vstack([sample.T[BASE], sample.pool[BASE]]), sample.truth[BASE]
        w = np.linalg.lstsq(rows[:40], logits, rcond=1e-10)[0]
        np.testing.assert_allclose(rows[:40] @ w, logits, atol=1e-8)


def test_linear_kernel_students_are_the_papers_learners():
    sample = transfer("section 5.1", "linear", settings(), np.random.default_rng(1))
    xi = np.random.default_rng(2).standard_normal(10)
    logits = kernel_logits(Linear(), sample, xi)
    span = Span(sample.X[BASE][:5])
    w = span.weights(sample.z[BASE][:5])
    q = span.complement_direction(sample.pool[BASE].T @ xi)
    for j, delta in enumerate(DELTAS):
        w_delta = w + delta * np.linalg.norm(w) * q
        np.testing.assert_allclose(logits[BASE, j], sample.T[BASE] @ w_delta, atol=1e-10)
        np.testing.assert_allclose(sample.X[BASE][:5] @ w_delta, sample.z[BASE][:5], atol=1e-10)


def test_readings_of_the_teacher_itself():
    sample = transfer("section 5.1", "linear", settings(), np.random.default_rng(1))
    truth = sample.truth[[*range(len(KAPPAS)), BASE]]
    values = readings(np.repeat(truth[:, None], len(DELTAS), axis=1), sample)
    assert all(abs(v) < 1e-7 for name, v in values.items() if not name.startswith("nearer"))
    logits = kernel_logits(NTK(2), sample, np.ones(10))
    risks = [readings(logits, sample)[f"risk {level} 0"] for level in range(len(KAPPAS))]
    slope = np.polyfit(range(len(KAPPAS)), risks, 1)[0]
    assert readings(logits, sample)["slope geometry"] == pytest.approx(slope)


WIDTHS = np.array([16, 64, 256, np.inf])


@pytest.mark.parametrize(
    ("holds", "against", "verdict"),
    [
        ("1111", "0000", "holds"),
        ("0011", "1000", "holds beyond width 64"),
        ("1011", "0000", "holds beyond width 64"),
        ("0001", "1100", "holds in the limit"),
        ("1110", "0001", "fails"),
        ("1110", "0000", "undecided"),
        ("0000", "0000", "undecided"),
        ("0100", "1000", "fails"),
    ],
)
def test_verdicts(holds, against, verdict):
    found, beyond = judge(WIDTHS, *(np.array([c == "1" for c in bits]) for bits in (holds, against)))
    assert found == verdict
    assert np.isnan(beyond) == (verdict in ("fails", "undecided"))
