"""What the page shows, from a view: arrays and numbers, without any drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from limbeck.explore.view import View
from limbeck.theory import (
    ExpectedRisk,
    MarginTail,
    PolynomialTail,
    Span,
    asymptotic_risk,
    bounded_mean_interval,
    deep_limit_details,
    expected_risk,
    margin_bound,
    path_from_one_point,
    polynomial_bound,
    students_at,
    symmetric_risk,
    theorem_2_radius,
    transfer_risk_angle,
    transfer_risk_bound,
    transfer_risk_bound_tight,
)
from limbeck.theory.expectation import NEAREST
from limbeck.theory.risk import symmetric_risk_at_cotangent

RIGHT = np.pi / 2
REPEATS = 200
SIZES = 24
SECTORS = 45
MOST_EXACT = 60
"""Labels: about 0.04 s each without sampling, more at small kappa."""
SYMMETRIC = (
    "Assumes section 5.1's tasks: a linear teacher, exact answers, and points whose direction is uniform around the "
    "teacher given their angle."
)


@dataclass(frozen=True)
class Columns:
    """A panel's numbers as a table that can be downloaded."""

    names: tuple[str, ...]
    """Of the columns."""
    rows: tuple[tuple[Any, ...], ...]
    """Values; None where a column does not apply."""


@dataclass(frozen=True)
class Geometry:
    """Teacher, students and the law of the points' angle, in one plane."""

    edges: np.ndarray
    """Edges of the sectors of the angle to the teacher's axis, radians, (k + 1,)."""
    mass: np.ndarray
    """Share of the points in each, exact, (k,)."""
    student: np.ndarray
    """5, 50 and 95 % quantiles over transfer sets of the student's angle alpha_n, radians, (3,)."""
    biased: np.ndarray
    """The same of w_delta, in [0, pi]."""
    risk: float
    """Exact risk of a student at the median angle."""

    def columns(self) -> Columns:
        """One row a sector, then one a student."""
        rows = [
            ("sector", *edge, share, None, None, None)
            for *edge, share in zip(self.edges[:-1], self.edges[1:], self.mass, strict=True)
        ]
        for name, angles in (("student", self.student), ("w_delta", self.biased)):
            rows.append((name, None, None, None, *angles))
        return _columns("what from to share angle_5 angle_median angle_95", rows)


@dataclass(frozen=True)
class TailPanel:
    """p(theta), and where Theorem 3 reads it."""

    theta: np.ndarray
    """Angles, radians, (k,)."""
    p: np.ndarray
    """p(theta), (k,)."""
    beta: float
    """Angle that makes Theorem 3 smallest, radians; NaN for n >= d, where the bound is 0 without one."""
    outside: float
    """p(beta)."""
    missed: float
    """p(pi/2 - beta), whose n-th power is the bound's second term."""

    def columns(self) -> Columns:
        """The curve; beta is the last row but one, pi/2 - beta the last."""
        rows = [("curve", *pair) for pair in zip(self.theta, self.p, strict=True)]
        if np.isfinite(self.beta):
            rows += [("beta", self.beta, self.outside), ("pi/2 - beta", RIGHT - self.beta, self.missed)]
        return _columns("what theta p", rows)


@dataclass(frozen=True)
class RiskPanel:
    """Expected transfer risk against the number of labels, beside its bounds."""

    n: np.ndarray
    """Numbers of labels, (k,)."""
    risk: np.ndarray
    """Mean over simulated transfer sets of the exact risk given the student's angle, (k,)."""
    stderr: np.ndarray
    """Its standard error, (k,)."""
    low: np.ndarray
    """Lower end of a 95 % interval for the expected risk, valid for every law of the risks, (k,)."""
    high: np.ndarray
    """Upper end, at most Theorem 3's as its proof ends, (k,)."""
    biased: np.ndarray
    """The same mean for w_delta, (k,)."""
    biased_stderr: np.ndarray
    """Its standard error, (k,)."""
    biased_low: np.ndarray
    """Lower end, (k,)."""
    biased_high: np.ndarray
    """Upper end, (k,)."""
    bound: np.ndarray
    """Theorem 3 (19), (k,)."""
    tight: np.ndarray
    """Theorem 3 as its proof ends, (k,)."""
    asymptotic: np.ndarray
    """Law for large n and d of the polynomial task; NaN elsewhere, (k,)."""
    corollary: np.ndarray
    """Corollary 2 of the polynomial task, Corollary 1 of the margin task; NaN where it does not apply, (k,)."""
    at: int
    """Index of the view's n."""
    repeats: int
    """Transfer sets simulated."""

    def columns(self) -> Columns:
        """One row an n."""
        names = "n risk stderr low high biased biased_stderr biased_low biased_high bound tight asymptotic corollary"
        values = [getattr(self, name) for name in names.split()]
        return _columns(names + " repeats", [(*row, self.repeats) for row in zip(*values, strict=True)])


@dataclass(frozen=True)
class DeepPanel:
    """A deep student of one answer in the plane of teacher and point, the teacher along the second axis."""

    point: np.ndarray
    """The point learned from, of length 1, (2,)."""
    path: np.ndarray
    """End-to-end weights from w(0) to the limit, (k, 2)."""
    teacher: np.ndarray
    """w_star, (2,)."""
    student: np.ndarray
    """w_hat of Theorem 1, (2,)."""
    limit: np.ndarray
    """w(inf), (2,)."""
    leak: float
    """|w(inf) - w_hat|."""
    radius: float
    """Of Theorem 2's ball around w_hat; infinite where it promises nothing, NaN for one layer."""
    conserved: float
    """|w| sin(phi)^N, the same all along the path."""

    def columns(self) -> Columns:
        """The path, then the points it is seen against."""
        rows = [("path", *w) for w in self.path]
        for name in ("point", "teacher", "student", "limit"):
            rows.append((name, *getattr(self, name)))
        return _columns("what w1 w2", rows)


@dataclass(frozen=True)
class Panels:
    """Everything the page shows."""

    geometry: Geometry
    """Panel 1."""
    tail: TailPanel
    """Panel 2."""
    risk: RiskPanel
    """Panel 3."""
    deep: DeepPanel
    """Panel 4."""

    def columns(self, panel: str) -> Columns:
        """Numbers of the panel of this name."""
        return getattr(self, panel).columns()


def tail_of(view: View) -> PolynomialTail | MarginTail:
    """p(theta) of the view."""
    return (
        PolynomialTail(view.kappa)
        if view.law == "polynomial"
        else MarginTail(RIGHT - np.radians(view.margin))
    )


def compute(view: View) -> Panels:
    """Everything the page shows; the same numbers for the same view."""
    tail = tail_of(view)
    sizes = sizes_of(view)
    cot, biased = students_at(
        tail, view.d, sizes, view.delta, REPEATS, rng=np.random.default_rng([view.seed, 1])
    )
    at = int(np.searchsorted(sizes, view.n))
    return Panels(
        _geometry(view, tail, cot[at], biased[at]),
        _tail(view, tail),
        _risk(view, tail, sizes, at, cot, biased),
        _deep(view, tail),
    )


def unsampled(view: View) -> ExpectedRisk:
    """E[R] at the view's n by quadrature; ValueError says where there is none."""
    if view.law != "polynomial":
        raise ValueError("Only the polynomial law has a quadrature: the margin law is simulated.")
    if 1 < view.n < view.d and (view.n > MOST_EXACT or view.d - view.n < NEAREST):
        where = f"beyond n = {MOST_EXACT}" if view.n > MOST_EXACT else "near n = d"
        raise ValueError(f"That takes seconds {where}: use limbeck.theory.expected_risk.")
    return expected_risk(view.kappa, view.d, view.n)


def sizes_of(view: View) -> np.ndarray:
    """Numbers of labels on the curve: the view's n, d where it is near, and others spaced by ratio."""
    most = max(50, 2 * view.n)
    spaced = np.geomspace(1, most, SIZES).round().astype(int)
    return np.unique(np.append(spaced, [view.n, min(view.d, most)]))


def _geometry(view: View, tail: PolynomialTail | MarginTail, cot: np.ndarray, biased: np.ndarray) -> Geometry:
    edges = np.linspace(0.0, RIGHT, SECTORS + 1)
    p = np.append(tail(edges[:-1]), 0.0)  # every point lies within pi/2
    student = np.quantile(np.arctan2(1.0, cot), [0.05, 0.5, 0.95])
    return Geometry(
        edges,
        -np.diff(p),
        student,
        np.quantile(biased, [0.05, 0.5, 0.95]),
        float(symmetric_risk(student[1], tail, view.d)),
    )


def _tail(view: View, tail: PolynomialTail | MarginTail) -> TailPanel:
    theta = np.union1d(np.linspace(0.0, RIGHT, 181), tail.kinks)
    beta = np.nan if view.n >= view.d else transfer_risk_angle(tail, view.n)
    outside, missed = (np.nan, np.nan) if np.isnan(beta) else (float(tail(beta)), float(tail(RIGHT - beta)))
    return TailPanel(theta, tail(theta), beta, outside, missed)


def _risk(
    view: View,
    tail: PolynomialTail | MarginTail,
    sizes: np.ndarray,
    at: int,
    cot: np.ndarray,
    biased: np.ndarray,
) -> RiskPanel:
    def bounds(bound) -> np.ndarray:
        return np.array([bound(tail, int(m), d=view.d) for m in sizes])

    def corollary(m: int) -> float:
        if isinstance(tail, PolynomialTail):
            return polynomial_bound(m, tail.kappa)
        return margin_bound(tail, m, tail.beta, d=view.d) if view.margin > 0 else np.nan

    def asymptotic(m: int) -> float:
        return asymptotic_risk(tail.kappa, view.d, m) if isinstance(tail, PolynomialTail) else np.nan

    # One call for both: many values of a smooth tail share a table.
    acute = np.minimum(biased, np.pi - biased)
    with np.errstate(divide="ignore"):
        risks = symmetric_risk_at_cotangent(np.stack([cot, 1.0 / np.tan(acute)]), tail, view.d)
    tight = bounds(transfer_risk_bound_tight)
    return RiskPanel(
        sizes,
        *_means(risks[0], 0.5, tight),  # a projection of the teacher errs on half of the points at most
        *_means(np.where(biased <= RIGHT, risks[1], 1.0 - risks[1]), 1.0, np.where(sizes < view.d, 1.0, 0.0)),
        bounds(transfer_risk_bound),
        tight,
        np.array([asymptotic(int(m)) for m in sizes]),
        np.array([corollary(int(m)) for m in sizes]),
        at,
        cot.shape[1],
    )


def _means(
    risks: np.ndarray, most: float, proved: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard error and interval of each row, of risks up to ``most`` whose mean is proved to be no larger."""
    scale = np.where(risks.any(axis=1), risks.max(axis=1), 1.0)[:, None]  # squares of 1e-170 would vanish
    intervals = [bounded_mean_interval(row, most=most) for row in risks]
    return (
        risks.mean(axis=1),
        scale[:, 0] * (risks / scale).std(axis=1, ddof=1) / np.sqrt(risks.shape[1]),
        np.array([interval.low for interval in intervals]),
        np.minimum([interval.high for interval in intervals], proved),
    )


def _deep(view: View, tail: PolynomialTail | MarginTail) -> DeepPanel:
    angle = brentq(lambda theta: float(tail(theta)) - 0.5, 0.0, RIGHT, xtol=1e-15)
    point = np.array([np.sin(angle), np.cos(angle)])
    teacher = np.array([0.0, view.teacher_norm])
    turn = np.random.default_rng([view.seed, 2]).uniform(0.0, 2 * np.pi)
    w0 = view.start * np.array([np.sin(turn), np.cos(turn)])
    z = float(point @ teacher)
    end = deep_limit_details(Span(point[None, :]), [z], w0, view.depth)
    size = float(np.linalg.norm(end.student))
    return DeepPanel(
        point,
        path_from_one_point(point, z, w0, view.depth),
        teacher,
        end.student,
        end.weights,
        end.leak,
        theorem_2_radius(view.start, size, view.depth) if view.depth > 1 else np.nan,
        end.conserved,
    )


def _columns(names: str, rows) -> Columns:
    plain = tuple(tuple(None if _missing(v) else _plain(v) for v in row) for row in rows)
    return Columns(tuple(names.split()), plain)


def _missing(value) -> bool:
    return value is None or (isinstance(value, float | np.floating) and not np.isfinite(value))


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value
