"""Answers of a linear teacher whose logits are not linear: shares of votes, and label smoothing."""

from __future__ import annotations

import numpy as np
from scipy.linalg import qr
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax
from scipy.stats import chi2

from limbeck.labels import Array, SoftLabels
from limbeck.students.design import row_keys

FEWEST_SHARES = 20
MOST_VOTES = 1000
MOST_VOTED = 10**9
"""Rows times rank squared beyond which votes are not recognised: a second of work."""
MOST_FLOORED = 100
"""Rank beyond which no floor is looked for: at most a second of work."""
LEAST_SMOOTHED = 1e-3
"""Share of all classes together that label smoothing adds at least."""
EVEN = 0.45
"""Mean square of errors over half the widths of their intervals: 1/3 if they are spread evenly, more by chance."""
SHARPER = 5.0
"""A floor has to reduce the share of the logits that is left by this factor, or any small error would pass for one."""
FINE = 1e-3
"""Error of the shares, over the smallest, up to which many equal ones show a floor."""
TROUGHS = 3
"""Candidates for a floor that are looked at more closely."""
ALIKE = 1e-7
"""How far a share of votes may be off: it may be held in float32."""


def reason_of(A: Array, labels: SoftLabels, level: float) -> str:
    """Why logits of a linear teacher would not be linear, in words; empty if nothing is found.

    Parameters
    ----------
    A : array, shape (n, r)
        Coordinates of the points, intercept included.
    labels : SoftLabels
        Answers on them.
    level : float
        Probability with which a linear teacher's votes are not recognised.
    """
    p = labels.probabilities
    P = np.column_stack([1 - p, p]) if p.ndim == 1 else p
    _, first = np.unique(row_keys(A) + 3 * row_keys(P), return_index=True)
    A, P, labels = A[first], P[first], labels[first]
    n, r = A.shape
    if n <= r:
        return ""
    counted = labels.decimals is None and n * r**2 <= MOST_VOTED
    if counted and (votes := votes_of(P)) and _as_votes(A, P, votes, level):
        return (
            f"shares of {votes} votes of a linear teacher would differ from its probabilities by as much, and have no "
            "logits to learn exactly from: use a ridge (alpha > 0)"
        )
    if r <= MOST_FLOORED and (floor := _floor(A, P, labels)):
        return (
            f"they agree with a linear teacher's above a constant floor of {floor:.6g}, as label smoothing adds: give "
            f"(p - {floor:.6g}) / (1 - {P.shape[1]} * {floor:.6g}) as probabilities"
        )
    return ""


def votes_of(P: Array) -> int:
    """Least number of votes m for which all probabilities (n, K) are shares v / m; 0 if there is none up to 1000."""
    shares = np.unique(P)
    if len(P) < FEWEST_SHARES or len(shares) > MOST_VOTES + 1:
        return 0
    for votes in range(2, MOST_VOTES + 1):
        counts = votes * shares
        if np.all(np.abs(counts - np.round(counts)) < ALIKE * votes):
            return votes
    return 0


def _as_votes(A: Array, P: Array, votes: int, level: float) -> bool:
    """Whether counts differ from the best linear teacher's probabilities by as much as multinomial ones: Pearson's sum.

    Rounded probabilities of a teacher that is not linear may differ by less, which is no excuse.
    """
    (n, r), K = A.shape, P.shape[1]
    Q = qr(A, mode="economic", check_finite=False)[0] * np.sqrt(n)

    def loss(theta: Array) -> tuple[float, Array]:
        logs = log_softmax(Q @ theta.reshape(r, K), axis=1)
        return -float(np.sum(P * logs)), (Q.T @ (np.exp(logs) - P)).ravel()

    best = minimize(loss, np.zeros(r * K), jac=True, method="L-BFGS-B").x.reshape(r, K)
    fitted = np.maximum(np.exp(log_softmax(Q @ best, axis=1)), 1e-300)
    pearson = votes * float(np.sum(np.square(P - fitted) / fitted))
    mean = (n - r) * (K - 1)
    # Haldane's variance of Pearson's sum; its square root more than that of the chi-square where counts are small.
    cells = 2 * (K - 1) + np.maximum((np.sum(1 / fitted, axis=1) - K**2 - 2 * K + 2) / votes, 0.0)
    freedom = 2 * mean**2 / float(cells.sum() * (n - r) / n)
    low, high = chi2.isf([1 - level / 2, level / 2], freedom) * mean / freedom
    return bool(low <= pearson <= high)


def _floor(A: Array, P: Array, labels: SoftLabels) -> float:
    """The floor f without which logits of (P - f) / (1 - K f) are linear to rounding; 0 if there is none."""
    smallest = float(P.min())
    if smallest * P.shape[1] < LEAST_SMOOTHED:
        return 0.0
    error = labels.error.reshape(len(P), -1)
    error = np.where(np.isfinite(error), error, 0.0)
    off = error * P * (1 - P) if error.shape[1] == 1 else error * P
    on_it = np.any(P - smallest <= 2 * off, axis=1)
    if off.max() < FINE * smallest and on_it.mean() > 0.5 and (~on_it).sum() < A.shape[1] + FEWEST_SHARES:
        return smallest  # the few others cannot contradict it
    few = slice(4 * A.shape[1] + 200)  # enough to find a floor; all rows have to confirm it

    def left(share: float) -> float:
        return _unexplained(smallest * (1 - share), A[few], P[few], off[few])[0]

    def best_near(at: int) -> float:
        around = np.log(shares[[max(at - 1, 1), min(at + 1, len(shares) - 1)]])
        near = minimize_scalar(
            lambda x: np.log(np.clip(left(np.exp(x)), 1e-300, 1e300)),
            bounds=around,
            method="bounded",
            options={"xatol": 1e-12},
        )
        return float(np.exp(near.x))

    # How far the floor lies below the smallest share, over that share: 0 where some rows lie on it.
    shares = np.r_[0.0, np.logspace(-12, 0, 49)]
    sizes = np.array([left(share) for share in shares])
    least = (sizes[1:-1] <= sizes[:-2]) & (sizes[1:-1] <= sizes[2:]) & np.isfinite(sizes[1:-1])
    troughs = 1 + np.flatnonzero(least)
    found = [0.0, *map(best_near, troughs[np.argsort(sizes[troughs])][:TROUGHS])]
    floor = smallest * (1 - min(found, key=left))
    (square, without), (_, plain) = _unexplained(floor, A, P, off), _unexplained(0.0, A, P, off)
    return floor if square <= EVEN and SHARPER * without < plain else 0.0


def _unexplained(floor: float, A: Array, P: Array, off: Array) -> tuple[float, float]:
    """Mean square of the residuals of the logits of P - floor, over their errors, and its share in the logits' own.

    Infinite if few rows are above the floor.
    """
    above = P - floor
    kept = np.all(above > 2 * off, axis=1)
    if kept.sum() < A.shape[1] + FEWEST_SHARES:
        return np.inf, np.inf
    logs = np.log(above[kept])
    bound = np.maximum((off[kept] / above[kept]).max(axis=1, keepdims=True), 1e-6)
    Z = (logs - logs.mean(axis=1, keepdims=True)) / bound
    U = qr(A[kept] / bound, mode="economic", check_finite=False)[0]
    square = float(np.mean(np.square(Z - U @ (U.T @ Z))))
    return square, square / (float(np.mean(np.square(Z))) or 1.0)
