"""alpha = 0: the paper's student, and what leaving one row out does to it.

The intercept is a column of ones and takes part in the norm that is minimised.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr, solve_triangular
from scipy.optimize import minimize, nnls
from scipy.sparse import issparse
from scipy.sparse.linalg import lsmr

from limbeck.labels import Array, SoftLabels
from limbeck.students._design import Matrix, with_ones
from limbeck.students._objective import Minimum, Objective, minimise
from limbeck.theory import Span

CONSISTENT = 1e-9
NEARLY = 1e-2
FARTHEST = 300.0


@dataclass(frozen=True)
class Exact:
    """The student at alpha = 0."""

    weights: Array
    """(m, d)."""
    intercepts: Array
    """(m,)."""
    realisable: bool
    """Whether some linear teacher gave all the answers: the logits are met to 1e-9."""
    gradient: float
    """Largest gradient entry, relative to the points' size; 0 where the logits are met."""
    iterations: int
    """Newton steps taken."""
    left_out: Array | None
    """Logits (n, m) of the students of the other n - 1 rows; None for sparse points."""


def fit_exact(
    X: Matrix, labels: SoftLabels, weight: Array, *, intercept: bool, bound: bool, mass: Array | None = None
) -> Exact:
    """Minimum-norm student if the logits can be met, else the minimiser of the soft cross-entropy.

    Parameters
    ----------
    X : array or sparse matrix, shape (n, d)
        Points, none with weight 0.
    labels : SoftLabels
        Answers; saturated rows are constraints if ``bound``, else hard labels.
    weight : ndarray, shape (n,)
        Summing to 1.
    intercept, bound : bool
        See `SoftLabelClassifier`.
    mass : ndarray, shape (n,), optional
        Weight that leaving a row out removes; given, leave-one-out logits are computed (dense points only).
    """
    X1 = with_ones(X) if intercept else X
    exact = ~labels.saturated
    if issparse(X1):
        theta, realisable, found = _sparse(X1, labels, weight)
        return _split(theta, intercept, realisable, found, None)
    span = Span(X1)
    A = span.coordinates(span.X) if span.rank < span.d or span.n <= span.d else span.X
    back = None if A is span.X else span.basis
    if not exact.all():
        theta, realisable, found = _constrained(A, labels, weight) if bound else _newton(A, labels, weight)
        return _split(_lift(theta, back), intercept, realisable, found, None)
    Z = labels.logits.reshape(len(labels), -1)
    solved = span.solve(Z)
    realisable = solved.inconsistency <= CONSISTENT
    found = None
    theta = span.coordinates(solved.weights.T).T if back is not None else solved.weights
    if not realisable:
        # Logits far from a linear teacher's lead least squares astray; zero never does.
        near = solved.inconsistency < NEARLY
        theta, _, found = _newton(A, labels, weight, theta if near else None)
    left_out = None if mass is None else _left_out(A, theta, labels, weight, mass, realisable)
    full = solved.weights if realisable else _lift(theta, back)
    return _split(full, intercept, realisable, found, left_out)


def _lift(theta: Array, basis: Array | None) -> Array:
    return theta if basis is None else basis.T @ theta


def _split(
    theta: Array, intercept: bool, realisable: bool, found: Minimum | None, left_out: Array | None
) -> Exact:
    W, b = (theta[:-1], theta[-1]) if intercept else (theta, np.zeros(theta.shape[1]))
    return Exact(
        W.T, b, realisable, found.gradient if found else 0.0, found.iterations if found else 0, left_out
    )


def _newton(
    A: Array, labels: SoftLabels, weight: Array, start: Array | None = None
) -> tuple[Array, bool, Minimum]:
    """Minimise the cross-entropy; hard labels have no minimiser where they can be separated."""
    size = np.sqrt(np.maximum(weight @ np.square(A), 1e-300))  # columns of mean square 1
    scaled = A / size
    objective = Objective(scaled, labels, weight, np.zeros(A.shape[1]), 0.0)
    theta = objective.zero() if start is None else start * size[:, None]
    hard = labels.saturated.any()
    found = minimise(objective, theta, max_iter=10 if hard else 200)
    for _ in range(20 if hard else 0):  # ten steps at a time: separable labels are recognised soon
        if found.converged:
            break
        _refuse_separated(scaled @ found.theta, labels)
        found = minimise(objective, found.theta, max_iter=10)
    theta = found.theta
    if not found.converged:
        if hard:
            _refuse_separated(scaled @ theta, labels, force=True)
        raise ArithmeticError(
            f"The cross-entropy's gradient is still {found.gradient:.1e} after {found.iterations} Newton steps: scale "
            "the features, or use alpha > 0."
        )
    return theta / size[:, None], False, found


def _refuse_separated(F: Array, labels: SoftLabels, *, force: bool = False) -> None:
    hard, p = labels.saturated, labels.probabilities
    if F.shape[1] == 1:
        right = np.where(p > 0.5, F[:, 0], -F[:, 0])
    else:
        right = np.sort(F, axis=1)[:, -1] - np.sort(F, axis=1)[:, -2]
        right = np.where(F.argmax(axis=1) == p.argmax(axis=1), right, -right)
    if force or (hard.all() and right.min() > 0) or np.abs(F[hard]).max() > FARTHEST:
        raise ValueError(
            "Hard labels (probabilities of 0 and 1) that can be separated by a linear student have no minimiser at "
            "alpha=0: its weights would grow without end. Use alpha > 0, or alpha='loo'."
        )


def _constrained(A: Array, labels: SoftLabels, weight: Array) -> tuple[Array, bool, Minimum | None]:
    """Two classes: saturated rows as one-sided constraints |logit| >= least, on the side they say."""
    held = labels.saturated
    least = labels.least[held]
    sign = np.where(labels.probabilities[held] > 0.5, 1.0, -1.0)
    C, E = sign[:, None] * A[held], A[~held]
    free, theta, realisable = np.eye(A.shape[1]), np.zeros((A.shape[1], 1)), True
    if (~held).any():
        span = Span(E)
        solved = span.solve(labels.logits[~held][:, None])
        theta, realisable = solved.weights, solved.inconsistency <= CONSISTENT
        free = (
            np.linalg.qr(span.basis.T, mode="complete")[0][:, span.rank :]
            if span.rank < span.d
            else free[:, :0]
        )
    if realisable:
        # Least distance: the shortest step u with C free u >= least - C theta (Lawson and Hanson).
        short = least - (C @ theta)[:, 0]
        if short.max() <= 0:
            return theta, True, None
        u = _least_distance(C @ free, short)
        if u is None:
            raise ValueError(
                f"No linear student is as sure as the {held.sum()} saturated rows say while meeting the other answers: "
                "the teacher is not linear here. Use saturated='drop' or alpha > 0."
            )
        return theta + (free @ u)[:, None], True, None
    objective = Objective(E, labels[~held], weight[~held] / weight[~held].sum(), np.zeros(A.shape[1]), 0.0)

    def value(v: Array) -> tuple[float, Array]:
        F = (E @ v)[:, None]
        return objective.value(v[:, None], F), objective.gradient(v[:, None], F)[:, 0]

    sure = {"type": "ineq", "fun": lambda v: C @ v - least, "jac": lambda v: C}
    best = minimize(
        value,
        theta[:, 0],
        jac=True,
        method="SLSQP",
        constraints=[sure],
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    if not best.success or (C @ best.x - least).min() < -1e-6:
        raise ValueError(
            f"No linear student is as sure as the {held.sum()} saturated rows say ({best.message}). "
            "Use saturated='drop' or alpha > 0."
        )
    return best.x[:, None], False, Minimum(best.x[:, None], 0.0, int(best.nit), True)


def _least_distance(C: Array, b: Array) -> Array | None:
    """Shortest u with C u >= b, by non-negative least squares; None if there is none."""
    if C.shape[1] == 0:
        return None
    scale = np.linalg.norm(C, axis=1)
    scale[scale == 0] = 1.0
    size = max(float(np.abs(b / scale).max()), 1e-300)
    E = np.vstack([(C / scale[:, None]).T, (b / scale / size)[None, :]])
    f = np.append(np.zeros(C.shape[1]), 1.0)
    dual, _ = nnls(E, f, maxiter=50 * E.shape[1])
    rest = E @ dual - f
    if np.linalg.norm(rest) < 1e-9:
        return None
    return -rest[:-1] / rest[-1] * size


def _sparse(X1: Matrix, labels: SoftLabels, weight: Array) -> tuple[Array, bool, Minimum | None]:
    """LSMR on the logits; conjugate-gradient Newton where no linear teacher gave them."""
    if labels.saturated.any():
        if not labels.saturated.all():
            raise ValueError("saturated='bound' needs dense points: use saturated='drop' or alpha > 0.")
        return _sparse_newton(X1, labels, weight, None)
    Z = labels.logits.reshape(len(labels), -1)
    theta = np.column_stack([lsmr(X1, z, atol=1e-14, btol=1e-14, conlim=0, maxiter=50_000)[0] for z in Z.T])
    rest = np.linalg.norm(Z - X1 @ theta)
    if rest <= 1e-8 * max(np.linalg.norm(Z), 1e-300):
        return theta, True, None
    return _sparse_newton(X1, labels, weight, theta)


def _sparse_newton(
    X1: Matrix, labels: SoftLabels, weight: Array, start: Array | None
) -> tuple[Array, bool, Minimum]:
    objective = Objective(X1, labels, weight, np.zeros(X1.shape[1]), 0.0)
    found = minimise(objective, objective.zero() if start is None else start, max_iter=200)
    if labels.saturated.any():
        _refuse_separated(X1 @ found.theta, labels, force=not found.converged)
    if not found.converged:
        raise ArithmeticError(
            f"The cross-entropy's gradient is still {found.gradient:.1e} after {found.iterations} Newton steps "
            "on sparse points: use alpha > 0."
        )
    return found.theta, False, found


def _left_out(
    A: Array, theta: Array, labels: SoftLabels, weight: Array, mass: Array, realisable: bool
) -> Array:
    """Leave-one-out logits (n, m) at alpha = 0.

    A row that alone carries its direction (leverage 1) leaves the minimum-norm student of the others,
    z_i - (K^+ z)_i / (K^+)_ii; another row moves the minimiser by z_i - F_i over 1 - leverage where the logits
    were met, by one Newton step where not.
    """
    F = A @ theta
    U, R = qr(A, mode="economic", check_finite=False)
    leverage = np.einsum("ij,ij->i", U, U)
    alone = leverage > 1 - 1e-8
    if realisable:
        out = (
            F
            + (F - labels.logits.reshape(F.shape)) * (leverage / np.where(alone, 1.0, 1 - leverage))[:, None]
        )
    else:
        objective = Objective(A, labels, weight, np.zeros(A.shape[1]), 0.0)
        out = objective.leave_one_out(theta, mass)
    if alone.any():
        pinv = solve_triangular(R, U[alone].T, check_finite=False)  # columns c_i of A^+
        out[alone] = F[alone] - (pinv.T @ theta) / np.einsum("ij,ij->j", pinv, pinv)[:, None]
    return out
