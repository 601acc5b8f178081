"""Whose model leaks: how well the best copy of one's own linear model does after n of its answers.

For the owner of a scoring service. Everything runs on the owner's weights; nothing is asked over a network. The
copies are judged by the owner, who takes the best of several at every n: a copier without that knowledge does
no better by these methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog
from scipy.special import expit, softmax

from limbeck import _check
from limbeck.labels import Array, SoftLabels, from_hard, from_logits, from_probabilities
from limbeck.students import SoftLabelClassifier
from limbeck.theory import Span

RIDGES = (1e-8, 1e-5, 1e-3)
EXACT_FACTORS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.05, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0)
LABEL_FACTORS = (0.5, 1.0, 2.0, 4.0, 7.0, 12.0, 20.0, 30.0, 45.0, 70.0, 100.0)
MOST_ANSWERS = 40_000
HALVINGS, FEWEST_HALVINGS = 30, 8
"""Labels spent on one point of the boundary: it is then known to 2^-30 (2^-8) of the distance of two queries."""
AGREEMENTS = (0.99, 0.999)
MOST_PROGRAMMED = 3e9
"""Constraints times unknowns squared of the largest linear program; 1.6e8 takes 2 s."""


@dataclass(frozen=True, eq=False)
class ScoringModel:
    """A linear classifier that answers."""

    coef: Array = field(repr=False)
    """Weights, (1, d) for two classes or (K, d)."""
    intercept: Array = field(repr=False)
    """(1,) or (K,)."""

    def __post_init__(self) -> None:
        coef = _check.points(np.atleast_2d(np.asarray(self.coef)), "coef")
        intercept = _check.vector(np.atleast_1d(np.asarray(self.intercept)), "intercept", len(coef))
        if len(coef) == 2:
            raise ValueError("coef has two rows: give one row, their difference, for two classes.")
        if not np.any(coef - (coef.mean(axis=0) if len(coef) > 1 else 0.0)):
            raise ValueError("The weights are all zero or alike: every point gets the same answer.")
        object.__setattr__(self, "coef", np.asarray(coef, dtype=np.float64))
        object.__setattr__(self, "intercept", np.asarray(intercept, dtype=np.float64))

    @property
    def unknowns(self) -> int:
        """Numbers to be found: weights and intercepts."""
        return self.coef.size + self.intercept.size

    @property
    def equations(self) -> int:
        """Answers that, exact and at independent points, determine everything: features plus one."""
        return self.coef.shape[1] + 1

    def logits(self, X: Array) -> Array:
        """Log-odds (n,), or scores (n, K)."""
        F = X @ self.coef.T + self.intercept
        return F[:, 0] if len(self.coef) == 1 else F

    def decide(self, X: Array) -> np.ndarray:
        """Class codes, (n,)."""
        F = self.logits(X)
        return (F >= 0).astype(int) if F.ndim == 1 else F.argmax(axis=1)


@dataclass(frozen=True, eq=False)
class Leak:
    """What one kind of answer gives away."""

    answers: str
    """What is answered: ``exact``, ``3 decimals``, ``labels`` or ``labels, chosen points``."""
    n: np.ndarray
    """Numbers of answers, increasing, (k,)."""
    disagreement: Array
    """Share of points on which the best copy decides otherwise, median of the repeats, (k,)."""
    low: Array
    """Smallest of the repeats, (k,)."""
    high: Array
    """Largest, (k,)."""

    def until(self, agreement: float) -> int | None:
        """Smallest n of the grid from which the median copy agrees so often; None if it never does."""
        over = np.flatnonzero(self.disagreement > 1 - agreement)
        if not len(over):
            return int(self.n[0])
        return None if over[-1] == len(self.n) - 1 else int(self.n[over[-1] + 1])


@dataclass(frozen=True)
class LeakReport:
    """How a model is given away, by kind of answer."""

    leaks: tuple[Leak, ...]
    """One for each kind of answer, exact first."""
    unknowns: int
    """Weights and intercepts."""
    equations: int
    """Exact answers that give everything away."""
    held_out: int
    """Points the copies were judged on."""
    repeats: int
    """Sets of queries."""
    queries: str
    """Where these came from: ``pool`` or ``Gaussian``."""
    programmed: int
    """Number of rounded answers up to which a copy was also sought by linear programming; beyond, it takes too long."""
    commonest: float
    """Share of the judged points in the model's commonest class: a constant agrees so often, asking nothing."""

    def bought(self, leak: Leak, agreement: float) -> float | None:
        """How many times more answers than exact ones it takes; None if not within the grid, or a constant does."""
        if agreement <= self.commonest:
            return None
        first, last = self.leaks[0].until(agreement), leak.until(agreement)
        return None if first is None or last is None else last / first


def audit_leak(
    model: ScoringModel,
    pool: ArrayLike | None = None,
    *,
    decimals: Sequence[int] = (0, 1, 2, 3, 4, 5, 6),
    repeats: int = 3,
    held_out: int = 10_000,
    factors: Sequence[float] = EXACT_FACTORS,
    label_factors: Sequence[float] = LABEL_FACTORS,
    watch: Callable[[str], None] = lambda what: None,
    rng: np.random.Generator,
) -> LeakReport:
    """Rate one's own model: disagreement of the best copy after n answers, for several kinds of answer.

    Parameters
    ----------
    model : ScoringModel
    pool : array_like, shape (m, d), optional
        Points such as are asked about. Default: standard normal ones. They suit a model of standardised features; of
        other features they are no points that anybody asks about, and the counts mean nothing.
    decimals : sequence of int
        Decimals to which probabilities might be rounded; 0 are labels, which are always tried.
    repeats : int
        Independent sets of queries.
    held_out : int
        Points to judge on; with a pool at most a third of it, drawn at random, and never queried.
    factors, label_factors : sequence of float
        Numbers of answers, as multiples of d + 1, for scores and for labels. Those beyond the pool, beyond
        `MOST_ANSWERS`, or beyond 4e7 / d Gaussian queries are left out.
    watch : callable
        Told each kind of answer begun.
    rng : numpy.random.Generator

    Returns
    -------
    LeakReport

    Raises
    ------
    ValueError
        If a pool has other features than the model, or if without one nearly every query gets the same class.

    Notes
    -----
    Exact answers: minimum-norm least squares on the logits. Rounded ones: the best of least squares weighted by each
    logit's precision, soft cross-entropy with a small ridge, and the copy that gives every rounded answer with the
    most to spare (a linear program; where its cost forbids it, see `LeakReport.programmed`). Labels: the same
    cross-entropy; or, for two classes and freely chosen points, the better of that and of bisection to points of the
    boundary (Lowd and Meek, 2005).

    References
    ----------
    Tramer et al. (2016), Stealing machine learning models via prediction APIs.
    """
    for k in decimals:
        _check.count(k, "decimals", 0)
    _check.count(repeats, "repeats")
    source = None if pool is None else _check.points(pool, "pool")
    if source is not None and source.shape[1] != model.coef.shape[1]:
        raise ValueError(
            f"The pool has {source.shape[1]} features where the model has {model.coef.shape[1]}."
        )
    largest = round(max(*factors, *label_factors) * model.equations)
    draws = [_draw(model, source, largest, held_out, rng) for _ in range(repeats)]
    commonest = float(np.mean([np.bincount(model.decide(T)).max() / len(T) for _, T in draws]))
    if source is None and commonest > AGREEMENTS[0]:
        raise ValueError(
            f"{commonest:.2%} of standard normal points get the same class of this model, so that a constant is "
            "already a copy there: it was made for features of another size. Give a pool of points such as are asked "
            "about."
        )
    most = min(len(draws[0][0]), MOST_ANSWERS)
    scores, labels = _grid(model, factors, most), _grid(model, label_factors, most)
    programmed = int(MOST_PROGRAMMED / (2 * max(1, len(model.coef) - 1) ** 3 * model.equations**2))
    kinds: dict[str, tuple[np.ndarray, Callable]] = {"exact": (scores, _from_exact)}
    for k in sorted(set(decimals) - {0}, reverse=True):  # 0 decimals are labels
        kinds[f"{k} decimals" if k > 1 else "1 decimal"] = (scores, _rounded(k, programmed))
    kinds["labels"] = (labels, _from_labels)
    if len(model.coef) == 1:
        kinds["labels, chosen points"] = (labels, _from_boundary)
    leaks, found = [], np.empty(0)
    for name, (sizes, copy) in kinds.items():
        watch(name)
        before = found
        found = np.array([[_wrong(model, T, copy(model, Q, int(n))) for n in sizes] for Q, T in draws])
        if copy is _from_boundary:  # or the same number of labels as the queries come, where that is better
            found = np.minimum(found, before)
        ends = found.min(axis=0), found.max(axis=0)
        leaks.append(Leak(name, sizes, np.median(found, axis=0), *ends))
    return LeakReport(
        leaks=tuple(leaks),
        unknowns=model.unknowns,
        equations=model.equations,
        held_out=len(draws[0][1]),
        repeats=repeats,
        queries="Gaussian" if pool is None else "pool",
        programmed=programmed,
        commonest=commonest,
    )


def _draw(model: ScoringModel, pool: Array | None, largest: int, held_out: int, rng: np.random.Generator):
    """Queries, ``largest`` or as many as there may be, and points to judge on."""
    if pool is None:
        d = model.coef.shape[1]
        most = min(MOST_ANSWERS, largest + 1, max(2000, int(4e7 / d)))
        return rng.standard_normal((most, d)), rng.standard_normal((held_out, d))
    order = rng.permutation(len(pool))
    kept = max(1, min(held_out, len(pool) // 3))
    return np.asarray(pool[order[kept:]], dtype=np.float64), np.asarray(pool[order[:kept]], dtype=np.float64)


def _grid(model: ScoringModel, factors: Sequence[float], most: int) -> np.ndarray:
    n = np.unique([max(2, round(f * model.equations)) for f in factors])
    return n[n <= most] if np.any(n <= most) else np.array([most])


Copy = tuple[Array, Array]
"""Weights (d, m) and intercepts (m,) of a copy."""


def _wrong(model: ScoringModel, T: Array, copies: list[Copy]) -> float:
    """Disagreement of the best copy; of a constant where there is none."""
    truth = model.decide(T)
    shares = [float(np.mean(truth != k)) for k in np.unique(truth)]
    for w, b in copies:
        F = T @ w + b
        says = (F[:, 0] >= 0).astype(int) if F.shape[1] == 1 else F.argmax(axis=1)
        shares.append(float(np.mean(says != truth)))
    return min(shares)


def _with_one(X: Array) -> Array:
    return np.hstack([X, np.ones((len(X), 1))])


def _solved(X: Array, Z: Array, weight: Array | None = None) -> Copy:
    """Minimum-norm least squares, rows weighted."""
    A, Z = _with_one(X), Z.reshape(len(Z), -1)
    if weight is not None:
        A, Z = A * weight[:, None], Z * weight[:, None]
    theta = Span(A).weights(Z)
    return theta[:-1], theta[-1]


def _from_exact(model: ScoringModel, Q: Array, n: int) -> list[Copy]:
    return [_solved(Q[:n], from_logits(model.logits(Q[:n])).logits)]


def _rounded(decimals: int, programmed: int) -> Callable:
    def copies(model: ScoringModel, Q: Array, n: int) -> list[Copy]:
        F = model.logits(Q[:n])
        said = np.round(expit(F) if F.ndim == 1 else softmax(F, axis=1), decimals)
        central = _central(Q[:n], said, decimals) if n <= programmed else []
        if said.ndim == 2:  # what sums to 0 says nothing
            total = said.sum(axis=1, keepdims=True)
            said = np.where(total > 0, said / np.where(total > 0, total, 1.0), 1.0 / said.shape[1])
        answers = from_probabilities(said, decimals=decimals)
        known = np.flatnonzero(~answers.saturated)
        found = _ridges(Q[:n], answers)
        if len(known) > 1:
            error = answers.error[known].reshape(len(known), -1).max(axis=1)
            found.append(_solved(Q[known], answers.logits[known], error.min() / error))
        return found + central

    return copies


def _central(X: Array, rounded: Array, decimals: int) -> list[Copy]:
    """Copy that gives every rounded answer and is farthest from giving another one: the centre of the largest ball.

    A probability within half a unit of its last decimal bounds the log-odds of the likeliest class to each other one:
    two linear constraints on the weights relative to those of class 0. An empty list if no ball is largest.
    """
    half, P = 0.5 * 10.0**-decimals, np.column_stack([1 - rounded, rounded]) if rounded.ndim == 1 else rounded
    with np.errstate(divide="ignore"):
        low, high = np.log(np.maximum(P - half, 0.0)), np.log(np.minimum(P + half, 1.0))
    A, classes, top = _with_one(X), P.shape[1], P.argmax(axis=1)
    i, k = np.nonzero(np.arange(classes) != top[:, None])
    sign = np.eye(classes)[top[i], 1:] - np.eye(classes)[k, 1:]
    difference = (sign[:, :, None] * A[i, None, :]).reshape(len(i), sign.shape[1] * A.shape[1])
    rows = np.column_stack([difference, np.linalg.norm(difference, axis=1)])
    rows = np.concatenate([rows, rows * np.append(-np.ones(difference.shape[1]), 1.0)])
    bound = np.concatenate([high[i, top[i]] - low[i, k], high[i, k] - low[i, top[i]]])
    finite = np.isfinite(bound)
    goal = np.append(np.zeros(difference.shape[1]), -1.0)  # the radius, last of the unknowns
    found = linprog(goal, A_ub=rows[finite], b_ub=bound[finite], bounds=(None, None), method="highs-ipm")
    if found.x is None:
        return []
    theta = found.x[:-1].reshape(classes - 1, -1).T
    if classes > 2:
        theta = np.column_stack([np.zeros(len(theta)), theta])
    return [(theta[:-1], theta[-1])]


def _from_labels(model: ScoringModel, Q: Array, n: int) -> list[Copy]:
    classes = max(2, len(model.coef))
    return _ridges(Q[:n], from_hard(model.decide(Q[:n]), classes))


def _ridges(X: Array, answers: SoftLabels) -> list[Copy]:
    found = []
    for alpha in RIDGES:
        student = SoftLabelClassifier(alpha=alpha, max_iter=300, tol=1e-7)
        try:
            student.fit(X, teacher_proba=answers.probabilities)
        except ArithmeticError:  # no minimum in reach at this ridge: the others stand
            continue
        found.append((student.coef_.T, student.intercept_))
    return found


def _from_boundary(model: ScoringModel, Q: Array, n: int) -> list[Copy]:
    """As many points of the boundary as there are features, and the plane through them; none for too few labels.

    Each costs a label for every halving of a segment between queries of either class. The segments are edges of a
    spanning tree of the queries: such points are independent where the queries are, while one on each edge of a
    cycle are not, and leave the plane open.
    """
    wanted = model.coef.shape[1]
    start = min(len(Q), max(4, n // 10, wanted + 1))
    halvings = min(HALVINGS, (n - start) // wanted)
    says = model.decide(Q[:start])
    high, low = _tree(Q[:start][says == 1], Q[:start][says == 0], wanted)
    if halvings < FEWEST_HALVINGS or len(high) < wanted:
        return []
    for _ in range(halvings):
        middle = (high + low) / 2
        up = model.decide(middle)[:, None] == 1
        high, low = np.where(up, middle, high), np.where(up, low, middle)
    plane = np.linalg.svd(_with_one((high + low) / 2))[2][-1]
    # Which side is which, any one label tells.
    return [(s * plane[:-1, None], s * plane[-1:]) for s in (1.0, -1.0)]


def _tree(ones: Array, zeros: Array, most: int) -> tuple[Array, Array]:
    """Ends of at most so many segments: the first one with every zero, the first zero with every other one."""
    if not (len(ones) and len(zeros)):
        return ones[:0], zeros[:0]
    high = np.concatenate([np.zeros(len(zeros), dtype=int), np.arange(1, len(ones))])[:most]
    low = np.concatenate([np.arange(len(zeros)), np.zeros(len(ones) - 1, dtype=int)])[:most]
    return ones[high], zeros[low]


def from_arrays(arrays: Any) -> ScoringModel:
    """A model from named arrays ``coef`` (or ``weights``) and ``intercept``.

    Raises
    ------
    ValueError
        If they are not there, or do not fit together.
    """
    names = list(arrays)
    weights = next((name for name in ("coef", "coef_", "weights") if name in names), None)
    if weights is None:
        raise ValueError(f"no array 'coef' among {', '.join(map(repr, names)) or 'none'}.")
    coef = np.atleast_2d(np.asarray(arrays[weights]))
    bias = next((name for name in ("intercept", "intercept_", "bias") if name in names), None)
    return ScoringModel(coef, np.zeros(len(coef)) if bias is None else np.asarray(arrays[bias]))
