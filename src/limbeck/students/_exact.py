"""alpha = 0: the paper's student, and what leaving one row out does to it.

The intercept is a column of ones and takes part in the norm that is minimised.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import qr, solve_triangular
from scipy.sparse.linalg import lsmr

from limbeck.labels import Array, SoftLabels
from limbeck.students._bound import bounded
from limbeck.students.design import SWALLOWED, Matrix, Points, could_be_linear, precision
from limbeck.students.leave_one_out import leave_one_out
from limbeck.students.objective import Objective, blocks
from limbeck.students.solver import Curvature, Minimum, minimise
from limbeck.theory import Span
from limbeck.theory.readings import ROUNDING

NEARLY = 1e-2
FARTHEST = 300.0
FAR = 4.0  # logits, beyond which curvature where a step begins says little of where it should end
REFITS = 2e9  # rows times squared unknowns, in all, that fitting again without a row may come to
TALL = 3  # rows an unknown, at least
WEAKEST = (
    1e-10  # eigenvalue of the covariance, of the largest, down to which normal equations are good enough to
)
MAY_BE_LINEAR = 1e-4  # show that logits miss every linear teacher's by more than this
MOST_AT_ZERO = 60
"""Steps to a student at alpha = 0 that other ridges are compared with; if it is chosen, it is followed to the end."""
ITERATED = 1e-8  # what LSMR leaves of logits that a factorisation would meet to ROUNDING


@dataclass(frozen=True)
class Exact:
    """The student at alpha = 0."""

    weights: Array
    """(m, d)."""
    intercepts: Array
    """(m,)."""
    realisable: bool
    """Whether some linear teacher gave all the answers, to the precision they were stored in."""
    gradient: float
    """Largest gradient entry, relative to the points' size; 0 where the logits are met."""
    iterations: int
    """Steps taken."""
    left_out: Array | None
    """Logits (n, m) of the students of the other n - 1 rows; None for sparse points."""


def fit_exact(
    points: Points, labels: SoftLabels, weight: Array, *, bound: bool, mass: Array | None = None
) -> Exact:
    """Minimum-norm student if the logits can be met, else the minimiser of the soft cross-entropy.

    Parameters
    ----------
    points : Points
        n of them, none with weight 0.
    labels : SoftLabels
        Answers; saturated rows are constraints if ``bound``, else hard labels.
    weight : ndarray, shape (n,)
        Summing to 1.
    bound : bool
        See `SoftLabelClassifier`.
    mass : ndarray, shape (n,), optional
        Weight that leaving a row out removes; given, leave-one-out logits are computed (dense points only).
    """
    intercept = points.intercept
    if points.sparse:
        theta, realisable, found = _sparse(points.affine, labels, weight)
        return _split(theta, intercept, realisable, found, None)
    _refuse_swallowed(points)
    span = points.span
    if span.rank == 0:
        return _split(
            np.zeros((span.d, labels.columns)), intercept, False, None, np.zeros((span.n, labels.columns))
        )
    A = span.coordinates(span.X) if span.rank < span.d or span.n <= span.d else span.X
    back = None if A is span.X else span.basis
    if labels.saturated.any():
        theta, realisable, found = bounded(A, labels, weight) if bound else _minimum(A, labels, weight)
        return _split(_lift(theta, back), intercept, realisable, found, None)
    solved = points.least_squares(labels)
    met = solved.inconsistency <= ROUNDING  # then least squares minimises the cross-entropy
    found = None
    theta = span.coordinates(solved.weights.T).T if back is not None else solved.weights
    if not met:
        # Logits far from a linear teacher's lead least squares astray; zero never does.
        near = solved.inconsistency < NEARLY
        most = 1000 if mass is None else MOST_AT_ZERO
        theta, _, found = _minimum(A, labels, weight, theta if near else None, max_iter=most)
    left_out = None if mass is None else _left_out(span, A, theta, labels, weight, mass, met)
    full = solved.weights if met else _lift(theta, back)
    spread = float(np.std(labels.logits)) or 1.0
    realisable = could_be_linear(
        solved.inconsistency, precision(labels, points.rounding(solved.weights, spread))
    )
    return _split(full, intercept, realisable, found, left_out)


def logits_met(points: Points, labels: SoftLabels) -> bool:
    """Whether least squares meets all logits: then `fit_exact` minimises nothing else."""
    if points.sparse or labels.saturated.any():
        return False
    _refuse_swallowed(points)
    return points.span.rank > 0 and points.least_squares(labels).inconsistency <= ROUNDING


def missed_by_least_squares(objective: Objective, along: tuple[Curvature, Array]) -> float | None:
    """Share of the logits' norm that least squares leaves, where that is far too much for a linear teacher.

    None where it may be one's, or normal equations cannot tell: few rows, weights, a weak direction or a row that
    alone carries one, sparse points or saturated answers.
    """
    (curvature, B), labels, weight = along, objective.labels, objective.weight
    n, r = B.shape
    even = bool(np.ptp(weight) <= 1e-12 / n)
    if hasattr(objective.A, "toarray") or n < TALL * r or labels.saturated.any() or not even:
        return None
    if curvature.values[0] <= WEAKEST * curvature.largest:
        return None
    leverage = max(float((np.square(B[rows]) @ (1 / curvature.values)).max()) for rows in blocks(n))
    if (leverage + objective.intercept) / n > 1 - 1e-8:
        return None
    Z = labels.logits.reshape(n, -1)
    theta, rest = objective.zero(), Z
    for _ in range(2):
        theta = theta + _normal_step(objective, curvature, rest)
        rest = Z - objective.logits(theta)
    missed = float(np.linalg.norm(rest)) / max(float(np.linalg.norm(Z)), 1e-300)
    return missed if missed > MAY_BE_LINEAR else None


def _normal_step(objective: Objective, curvature: Curvature, rest: Array) -> Array:
    """Least squares of logits (n, m) by the covariance, (r, m)."""
    r, mean = objective.A.shape[1], objective.weight @ rest if objective.intercept else 0.0
    step = objective.zero()
    pull = objective.pull(objective.weight[:, None] * (rest - mean))
    step[:r] = curvature.back(curvature.along(pull) / curvature.values[:, None])
    if objective.intercept:
        step[r] = mean - curvature.mean @ step[:r]
    return step


def _refuse_swallowed(points: Points) -> None:
    """Beside ones, features of 1e-12 are rounding; with more rows than columns each column is scaled by itself."""
    n, d = points.X.shape
    if points.intercept and n <= d + 1 and points.size < SWALLOWED:
        raise ValueError(
            f"The features (largest {points.size:.1e}) vanish beside the intercept's column of ones, with which they "
            "share the norm that alpha=0 minimises: scale them, use fit_intercept=False, or alpha > 0."
        )


def _lift(theta: Array, basis: Array | None) -> Array:
    return theta if basis is None else basis.T @ theta


def _split(
    theta: Array, intercept: bool, realisable: bool, found: Minimum | None, left_out: Array | None
) -> Exact:
    W, b = (theta[:-1], theta[-1]) if intercept else (theta, np.zeros(theta.shape[1]))
    return Exact(
        W.T, b, realisable, found.gradient if found else 0.0, found.iterations if found else 0, left_out
    )


def _minimum(
    A: Array, labels: SoftLabels, weight: Array, start: Array | None = None, *, max_iter: int = 1000
) -> tuple[Array, bool, Minimum]:
    """Minimise the cross-entropy; hard labels have no minimiser where they can be separated."""
    size = np.sqrt(np.maximum(weight @ np.square(A), 1e-300))  # columns of mean square 1
    scaled = A / size
    objective = Objective(scaled, labels, weight, 0.0)
    theta = objective.zero() if start is None else start * size[:, None]
    hard = labels.saturated.any()
    found = minimise(objective, theta, max_iter=10 if hard else max_iter)
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
            f"The cross-entropy's gradient is still {found.gradient:.1e} after {found.iterations} steps: scale "
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


def _sparse(X1: Matrix, labels: SoftLabels, weight: Array) -> tuple[Array, bool, Minimum | None]:
    """LSMR on the logits; the minimiser of the cross-entropy where no linear teacher gave them."""
    if labels.saturated.any():
        if not labels.saturated.all():
            raise ValueError("saturated='bound' needs dense points: use saturated='drop' or alpha > 0.")
        return _sparse_minimum(X1, labels, weight, None)
    Z = labels.logits.reshape(len(labels), -1)
    theta = np.column_stack([lsmr(X1, z, atol=1e-14, btol=1e-14, conlim=0, maxiter=50_000)[0] for z in Z.T])
    left = float(np.linalg.norm(Z - X1 @ theta) / max(np.linalg.norm(Z), 1e-300))
    if left <= ITERATED:
        return theta, True, None
    theta, _, found = _sparse_minimum(X1, labels, weight, theta)
    return theta, could_be_linear(left, precision(labels)), found


def _sparse_minimum(
    X1: Matrix, labels: SoftLabels, weight: Array, start: Array | None
) -> tuple[Array, bool, Minimum]:
    objective = Objective(X1, labels, weight, 0.0)
    found = minimise(objective, objective.zero() if start is None else start)
    if labels.saturated.any():
        _refuse_separated(X1 @ found.theta, labels, force=not found.converged)
    if not found.converged:
        raise ArithmeticError(
            f"The cross-entropy's gradient is still {found.gradient:.1e} after {found.iterations} steps "
            "on sparse points: use alpha > 0."
        )
    return found.theta, False, found


def _left_out(
    span: Span, A: Array, theta: Array, labels: SoftLabels, weight: Array, mass: Array, met: bool
) -> Array:
    """Leave-one-out logits (n, m) at alpha = 0.

    A row that alone carries its direction (leverage 1) leaves the minimum-norm student of the others,
    z_i - (K^+ z)_i / (K^+)_ii; another row moves the minimiser by z_i - F_i over 1 - leverage where the logits
    were met, by one Newton step where not. Rows that such a step moves far are fitted without, the farthest first.
    """
    F = A @ theta
    leverage = span.leverages
    alone = leverage > 1 - 1e-8
    if met:
        out = (
            F
            + (F - labels.logits.reshape(F.shape)) * (leverage / np.where(alone, 1.0, 1 - leverage))[:, None]
        )
    else:
        objective = Objective(A, labels, weight, 0.0)
        out = leave_one_out(objective, theta, mass)
        _fit_again_without_far(objective, theta, mass, F, out, alone)
    # Of a row that counts as several one is left out, and the others still carry its direction.
    several = alone & (mass < (1 - 1e-9) * weight)
    out[several] = F[several]
    alone &= ~several
    if alone.any():
        U, R = qr(A, mode="economic", check_finite=False)
        pinv = solve_triangular(R, U[alone].T, check_finite=False)  # columns c_i of A^+
        out[alone] = F[alone] - (pinv.T @ theta) / np.einsum("ij,ij->j", pinv, pinv)[:, None]
    return out


def _fit_again_without_far(
    objective: Objective, theta: Array, mass: Array, F: Array, out: Array, alone: np.ndarray
) -> None:
    """Fit again without the rows that a step moves far from logits F (n, m), and put what they get into ``out``."""
    far = np.where(alone, 0.0, np.abs(out - F).max(axis=1))
    for row in np.argsort(-far)[: _affordable(objective.A, objective.columns)]:
        if far[row] > FAR:
            out[row] = objective.logits_of(objective.A[row : row + 1], _without(objective, theta, mass, row))


def _affordable(A: Array, columns: int) -> int:
    """How many students may be fitted again without a row."""
    n, r = A.shape
    return int(np.clip(REFITS / (n * (r * columns) ** 2), 4, 64))


def _without(objective: Objective, theta: Array, mass: Array, row: int) -> Array:
    """The minimiser without ``mass`` of a row, from theta (r, m)."""
    weight = objective.weight.copy()
    weight[row] -= mass[row]
    return minimise(replace(objective, weight=weight), theta).theta
