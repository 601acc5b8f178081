"""Two classes at alpha = 0: answers of 0 and 1 as constraints, that the student be at least as sure as was stored.

With C the saturated rows signed by what they say, least the logits they are known to reach, and E, z the other rows:
the shortest theta with E theta = z and C theta >= least, or, where no linear teacher gave z, the minimiser of the
others' cross-entropy under C theta >= least.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from limbeck.labels import Array, SoftLabels
from limbeck.students.objective import Objective, cholesky
from limbeck.students.solver import Minimum
from limbeck.theory import Span
from limbeck.theory.least_distance import shortest
from limbeck.theory.readings import ROUNDING

MOST_STEPS = 100


def bounded(A: Array, labels: SoftLabels, weight: Array) -> tuple[Array, bool, Minimum | None]:
    """Parameters (r, 1), whether the other answers were met, and how the minimum was found where not."""
    held = labels.saturated
    sign = np.where(labels.probabilities[held] > 0.5, 1.0, -1.0)
    C, E, least = sign[:, None] * A[held], A[~held], labels.least[held]
    span = Span(E)
    solved = span.solve(labels.logits[~held])
    theta = solved.weights
    if solved.inconsistency <= ROUNDING:
        free = np.eye(span.d)[:, :0]  # directions that leave the other answers as they are
        if span.rank < span.d:
            free = np.linalg.qr(span.basis.T, mode="complete")[0][:, span.rank :]
        step = shortest(C @ free, least - C @ theta)
        if step is None:
            raise _too_sure(held, " while meeting the other answers")
        return (theta + free @ step)[:, None], True, None
    start = shortest(C, least - C @ theta)
    if start is None:
        raise _too_sure(held, "")
    others = labels[~held], weight[~held] / weight[~held].sum()
    objective = Objective(E, *others, 0.0)
    found = _minimise_under(objective, C, least, theta + start)
    if not found.converged:
        raise ArithmeticError(
            f"The cross-entropy under saturated='bound' still has a gradient of {found.gradient:.1e} after "
            f"{found.iterations} Newton steps: scale the features, use saturated='drop' or alpha > 0."
        )
    return found.theta, False, found


def _too_sure(held: np.ndarray, meeting: str) -> ValueError:
    return ValueError(
        f"No linear student is as sure as the {held.sum()} saturated rows say{meeting}: the teacher is not linear "
        "here. Use saturated='drop' or alpha > 0."
    )


def _minimise_under(objective: Objective, C: Array, least: Array, theta: Array) -> Minimum:
    """Newton's method under C theta >= least, from a theta that obeys: each step a least-distance problem.

    With H = L L^T the quadratic model's minimiser is theta + L^-T (v - L^-1 g), v the shortest with
    C L^-T v >= least - C theta + C H^-1 g; any part of the step obeys too.
    """
    taken, size = 0, np.inf
    while taken < MOST_STEPS:
        value, g = objective.evaluate(theta[:, None])
        g = g[:, 0]
        size = _stationarity(C, least, theta, g) / objective.scale
        step = (
            None if size <= 1e-10 else _step_under(objective.hessian(theta[:, None]), g, C, least - C @ theta)
        )
        length = 0.0 if step is None else _length(objective, theta, step, value, g)
        if step is None or length == 0:
            break
        theta, taken = theta + length * step, taken + 1
    return Minimum(theta[:, None], float(size), taken, bool(size <= 1e-8))


def _step_under(H: Array, g: Array, C: Array, short: Array) -> Array | None:
    L = cholesky(H + 1e-12 * H.diagonal().max() * np.eye(len(H)))
    towards, G = (solve_triangular(L, M, lower=True, check_finite=False) for M in (g, C.T))
    v = shortest(G.T, short + G.T @ towards)
    return None if v is None else solve_triangular(L, v - towards, lower=True, trans=1, check_finite=False)


def _length(objective: Objective, theta: Array, step: Array, value: float, g: Array) -> float:
    """Halved until F falls; 0 where it no longer does."""
    length = 1.0
    while length > 1e-10:
        moved = (theta + length * step)[:, None]
        if objective.evaluate(moved)[0] <= value + 1e-4 * length * min(float(g @ step), 0.0):
            return length
        length /= 2
    return 0.0


def _stationarity(C: Array, least: Array, theta: Array, g: Array) -> float:
    """Largest entry of g less what active constraints can balance; 0 at the minimum (Karush, Kuhn and Tucker)."""
    active = C[C @ theta - least <= 1e-8 * np.maximum(np.abs(least), 1.0)]
    if len(active) == 0:
        return float(np.abs(g).max())
    balance, _ = nnls(active.T, g)
    return float(np.abs(g - active.T @ balance).max())
