"""Students of more rows than memory holds: the same minimisers from a few passes over blocks of rows.

With Gram matrices G = A'A of the rows A (the intercept a column of ones) and logits Z,

    theta = G^-1 A'Z,    then    theta += G^-1 A'(Z - A theta),

the residual taken from the rows themselves: the first solution has a relative error of about kappa^2 eps, kappa the
condition of A with its columns at unit length, each refinement multiplies it by as much again, down to what QR of all
rows leaves. Where the Gram matrix has a condition above 1e8 (kappa above 1e4) or no full rank, the triangular factor
of all rows is formed instead (TSQR), which costs a few times more and is as accurate as QR in memory.

Every sum is taken in a fixed order: the student has the same bits for every chunking and number of workers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse import issparse

from limbeck.data.answers import Teacher, answers_of, names_of, soft_labels
from limbeck.data.blocks import Block, Blocks, Points, block_rows, joined_blocks
from limbeck.engine import Engine, engine
from limbeck.labels import Array
from limbeck.records import UserError
from limbeck.students import _passes as passes
from limbeck.students._exact import NEARLY
from limbeck.students.design import AsSeen, could_be_linear, with_ones
from limbeck.students.linearity import NEGLIGIBLE, Counts, Left, Linearity, judged, unknown
from limbeck.students.objective import newton_step
from limbeck.students.soft_label import SoftLabelClassifier
from limbeck.students.solver import Curvature, Inverse, Minimum, lbfgs
from limbeck.students.study import Distilled, Recipe, distil
from limbeck.students.tally import Tally
from limbeck.theory.angles import EmpiricalTail
from limbeck.theory.factor import REFINEMENTS, ColumnGram
from limbeck.theory.readings import ROUNDING
from limbeck.theory.scaling import Scaling

MOST_UNKNOWNS = 12_000
MOST_ANGLES = 100_000
LEAST_SAMPLED, MOST_SAMPLED = 2000, 20_000
SAMPLED_CELLS = 1 << 24
REFINED = 1e-8
MOST_STEPS = 1000
STARTED = 1e-6  # relative gradient to which the first rows are followed
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Solved:
    """Least squares on all logits."""

    theta: Array
    """Weights, the intercept last, (r, K)."""
    inconsistency: float
    """Norm of the residual logits over the norm of the logits."""
    squares: tuple[float, float]
    """Sums over rows of the squared residual (over the K logits), and of its square."""
    condition: float
    """kappa, estimated; inf where the rows have no full rank."""
    rank: int
    """Of the rows."""
    route: str
    """``Gram`` or ``TSQR``."""
    passes: int
    """Passes over the rows."""


@dataclass(frozen=True)
class Streamed:
    """A student and what its rows said on the way."""

    made: Distilled
    """The student, in the metric it was learned in."""
    n: int
    """Rows learned from."""
    passes: int
    """How often the rows were read."""
    solved: Solved | None
    """Least squares on the logits; None for hard labels."""
    tally: Tally | None
    """How student and teacher decide the held-out rows; None if none were held out."""
    tail: EmpiricalTail | None
    """p(theta) of a random sample of at most about 100,000 held-out rows; None for more than two classes."""
    size: int | None
    """Rows read; None where nothing asked for their number."""
    unanswered: int
    """Those of them without an answer, dropped on request."""
    sampled: int | None = None
    """Rows, drawn at random, on which alpha was chosen by leave-one-out; None where it was given."""


def memory_needed(d: int, classes: int, workers: int) -> float:
    """Bytes that `distil_blocks` takes beside the interpreter: stated, and tested.

    A worker holds one block of about 2^21 numbers as stored, a few float64 copies of it, and sums; results wait for
    their turn, at most two a worker. Tables that only this process can read (CSV, JSON lines, compressed archives,
    arrays in memory) add the eight blocks of a group for every worker and one, or their own size if that is less.
    """
    unknowns = (1 if classes == 2 else classes) * (d + 1)
    return workers * (7 * 8 * block_rows(d) * (d + 1) + 3 * 8 * unknowns**2) + 6 * 8 * unknowns**2


def distil_blocks(
    blocks: Blocks,
    teacher: Teacher,
    recipe: Recipe,
    *,
    held_out: float = 0.0,
    seed: int = 0,
    at: Engine | None = None,
    advance: Callable[[str], None] = lambda what: None,
    kept: passes.Kept | None = None,
) -> Streamed:
    """Learn a student from rows that are read a block at a time, a few times over.

    Parameters
    ----------
    blocks : Blocks
        Points with answers, many more than features.
    teacher : Teacher
        What the answers are; labels name their classes.
    recipe : Recipe
        alpha "loo" is chosen by leave-one-out on at most some 20,000 rows drawn at random, and then divided by as
        much as there are more rows: what the best ridge adds to the *sum* of the losses does not grow with them.
    held_out : float
        Share of the rows that is kept aside, drawn row by row.
    seed : int
        Of the rows kept aside.
    at : Engine, optional
        Where the work is done. Default: a thread of this process.
    advance : callable
        Told what is being done after every group of blocks.
    kept : Journal, optional
        Where the results of passes are kept, for a run that may be killed; see `limbeck.data.unfinished`.

    Returns
    -------
    Streamed

    Raises
    ------
    UserError
        If the recipe needs all rows at once, there are too many features, or an answer cannot be read.
    ArithmeticError
        If the minimisation does not converge.
    """
    if at is None:
        with engine() as here:
            return distil_blocks(
                blocks, teacher, recipe, held_out=held_out, seed=seed, at=here, advance=advance, kept=kept
            )
    _check_recipe(recipe, blocks, teacher)
    reading = passes.Reading(teacher, recipe.fit_intercept, None, held_out, seed)
    work = _Work(blocks, reading, at, advance, kept)
    size, have = None, 0
    if teacher.unanswered == "drop" or recipe.alpha == "loo":
        size, have = _counted(work)
    if not blocks.sparse:
        work.passes += recipe.scale != "none"
        scaling = scaling_of(
            blocks,
            recipe.scale,
            at,
            points=reading.points,
            advance=lambda: advance("scaling"),
            kept=kept,
            centred=recipe.fit_intercept,
        )
        work.reading = replace(reading, scaling=scaling)
    sampled = None
    if recipe.alpha == "loo":
        alpha, sampled = _chosen_alpha(work, recipe, have)
        recipe = replace(recipe, alpha=alpha)
    inner, n, solved = _learned(work, recipe)
    made = Distilled(inner, work.reading.scaling)
    tally, tail = _rated(work, made, n) if held_out else (None, None)
    unanswered = 0 if size is None else size - have
    return Streamed(made, n, work.passes, solved, tally, tail, size, unanswered, sampled)


class _Work:
    """Passes over the same rows, counted."""

    def __init__(
        self,
        blocks: Blocks,
        reading: passes.Reading,
        at: Engine,
        advance: Callable[[str], None],
        kept: passes.Kept | None,
    ) -> None:
        self.blocks, self.reading, self.at, self.advance, self.kept = blocks, reading, at, advance, kept
        self.passes = 0

    def total(
        self, what: str, statistic: Callable, add: Callable = passes.added, rows: passes.Grouped | None = None
    ) -> Any:
        self.passes += rows is None
        return passes.total(
            self.blocks if rows is None else rows,
            statistic,
            self.at,
            add=add,
            advance=lambda: self.advance(what),
            kept=self.kept if rows is None else None,
        )


def _check_recipe(recipe: Recipe, blocks: Blocks, teacher: Teacher) -> None:
    if recipe.saturated == "bound":
        raise UserError(
            "saturated='bound' needs all rows at once. Read in blocks, use saturated='drop' or alpha > 0."
        )
    if teacher.kind == "label" and recipe.alpha == 0:
        raise UserError(
            "Hard labels that can be separated have no student at alpha = 0: give alpha a number above 0."
        )
    if recipe.scale != "none" and blocks.sparse:
        raise UserError("Sparse rows are taken as they are: scale = none.")
    if blocks.d > MOST_UNKNOWNS:
        raise UserError(
            f"{blocks.d} features need a dense matrix of their products, {8e-9 * blocks.d**2:.1f} GB: keep at most "
            f"{MOST_UNKNOWNS} (--vocabulary, a projection), or read all rows at once."
        )


def scaling_of(
    blocks: Blocks,
    kind: str,
    at: Engine,
    *,
    points: Callable[[Block], Array] = passes.every_row,
    advance: Callable[[], None] = lambda: None,
    kept: passes.Kept | None = None,
    centred: bool = True,
) -> Scaling:
    """`Scaling.of` all rows, block by block: one pass for a mean or second moment, none for ``none``.

    Parameters
    ----------
    blocks : Blocks
        Dense points.
    kind : {"none", "standard", "sharpen"}
    at : Engine
    points : callable
        The rows of a block that count, in float64.
    advance : callable
        Told after every group of blocks.
    kept : Journal, optional
        As `distil_blocks` has it.
    centred : bool
        As `Scaling.of` has it.
    """
    if kind == "none":
        return Scaling.of(np.ones((1, blocks.d)), "none")
    total = partial(passes.total, blocks, engine=at, advance=advance, kept=kept)
    if kind == "sharpen":  # a triangular factor of the rows has their second moment
        return Scaling.of(total(passes.PointTriangle(points), add=passes.stacked), "sharpen")
    about = np.asarray(next(iter(blocks)).X[:256], dtype=np.float64).mean(axis=0)
    n, first, second = total(passes.Moments(points, about), add=passes.added)
    mean, square = first / n, second / n
    if centred:
        centre, spread = about + mean, np.sqrt(np.maximum(square - np.square(mean), 0.0))
    else:
        centre, spread = np.zeros(blocks.d), np.sqrt(np.maximum(square + about * (2 * mean + about), 0.0))
    constant = spread <= 10 * np.finfo(np.float64).eps * np.maximum(np.abs(about), spread)
    return Scaling(kind, centre, 1.0 / np.where(constant, 1.0, spread))


def _counted(work: _Work) -> tuple[int, int]:
    """How many rows there are, and how many have an answer: a pass where only reading tells."""
    if work.blocks.n is not None and work.reading.teacher.unanswered != "drop":
        return work.blocks.n, work.blocks.n
    size, have = work.total("counting rows", work.reading.count)
    if not have:
        raise UserError("No row has an answer: there is nothing to learn from.")
    return size, have


def as_seen(X: Any, kind: str, at: Engine, *, intercept: bool, ones: bool) -> Any:
    """Points (n, d) as a student sees them: scaled as all of them say, with a column of ones for an intercept.

    Parameters
    ----------
    X : array, sparse matrix or Points, shape (n, d)
        Points in blocks stay there, and are changed as they are read. Sparse ones are taken as given.
    kind : {"none", "standard", "sharpen"}
    at : Engine
        Where blocks are read.
    intercept : bool
        Whether the student has one.
    ones : bool
        Whether to put the column there; otherwise the student does so itself.

    Raises
    ------
    UserError
        If sparse points should be scaled.
    """
    if issparse(X):
        if kind != "none":
            raise UserError(f"--scale {kind}: sparse features, such as a text's words, are taken as given.")
        return with_ones(X) if ones else X
    if isinstance(X, Points):
        return X.mapped(AsSeen(scaling_of(X.blocks, kind, at, centred=intercept), ones))
    return AsSeen(Scaling.of(X, kind, centred=intercept), ones)(X)


def _chosen_alpha(work: _Work, recipe: Recipe, rows: int) -> tuple[float, int]:
    """Leave-one-out on a sample of ``rows`` with an answer, brought to all of them."""
    blocks, reading = work.blocks, work.reading
    wanted = min(MOST_SAMPLED, max(LEAST_SAMPLED, SAMPLED_CELLS // blocks.d))
    work.passes += 1
    n, drawn = passes.total(
        blocks, passes.Sample(reading, min(1.0, wanted / (rows * (1 - reading.held_out)))), work.at,
        add=passes.added, advance=lambda: work.advance("choosing alpha"),
    )  # fmt: skip
    if not drawn:
        raise UserError("There are too few rows to choose alpha by leave-one-out: give it a number.")
    sample = joined_blocks(drawn)
    assert sample.answers is not None
    labels = soft_labels(reading.teacher, sample.answers)
    X = sample.X if reading.scaling is None else reading.scaling.apply(sample.X)
    found = distil(X, answers_of(reading.teacher, sample.answers, labels), replace(recipe, scale="none"))
    return found.inner.alpha_ * len(labels) / n, len(labels)


def _learned(work: _Work, recipe: Recipe) -> tuple[SoftLabelClassifier, int, Solved | None]:
    alpha, teacher = float(recipe.alpha), work.reading.teacher
    solved, facts = None, _Facts(0, 0, unknown("the answers are hard labels: they hold no logits", 0, 0, 0))
    if teacher.kind != "label":
        solved, facts = _least_squares(work, recipe)
    if alpha == 0 and solved is not None and solved.inconsistency <= ROUNDING:
        found = Minimum(solved.theta, 0.0, 0, True)
    else:
        found, n = _minimised(work, alpha, solved, drop=alpha == 0)
        facts = replace(facts, n=n)
    realisable = alpha == 0 and solved is not None and could_be_linear(solved.inconsistency, facts.precision)
    return _student(work, recipe, found, facts, realisable), facts.n, solved


@dataclass(frozen=True)
class _Facts:
    n: int
    saturated: int
    linearity: Linearity
    precision: float = 0.0


def _least_squares(work: _Work, recipe: Recipe) -> tuple[Solved | None, _Facts]:
    logits = passes.Logits(
        work.reading, "raise" if (recipe.alpha, recipe.saturated) == (0, "raise") else "drop"
    )
    gram, product, n, saturated, first, second, errors, fourths, slots = work.total(
        "Gram matrix", passes.Normal(logits)
    )
    distinct = int(np.count_nonzero(slots))
    r, K = product.shape
    if recipe.alpha == 0 and n <= r:
        raise UserError(
            f"{n} rows to learn from and {r} unknowns: so few rows fit memory, read them at once."
        )
    if n <= r:
        few = unknown(f"{n} answers with logits, {r} unknowns", n, distinct, min(n, r))
        return None, _Facts(n, saturated, few)
    factor = ColumnGram.of_gram(gram)
    size = float(np.sqrt(second))
    if factor is not None:
        solved = _refined(work, logits, factor, product, size)
    elif work.blocks.sparse:
        raise UserError(
            "The sparse rows have no well-conditioned Gram matrix: use alpha > 0 and fewer words."
        )
    else:
        solved = _by_triangle(work, logits, r, size)
    spread = float(np.sqrt(max(second / (n * K) - np.mean(np.square(first / n)), 0.0))) or 1.0
    rest, fourth = solved.squares
    noise = float(np.sqrt(rest / ((n - solved.rank) * K))) / spread
    # Leverages are taken at their mean, rank / n: with so many rows none is far from it in effect.
    free = 1 - solved.rank / n
    unit = free**2 * spread**2 * K
    mean = rest / n / unit
    deviation = float(np.sqrt(max(fourth / n / unit**2 - mean**2, 0.0)))
    # Of error^2 / 3 + NEGLIGIBLE^2, over the logits' spread, and of its square.
    precision = float(np.sqrt(np.sum(errors))) / (size or 1.0)
    unit, slight = 3 * spread**2, NEGLIGIBLE**2
    variances = errors / unit + n * slight
    squares = fourths / unit**2 + 2 * slight * errors / unit + n * slight**2
    explained = float(np.sqrt(np.sum(errors) / unit / (n * K)))
    left = None
    if distinct > solved.rank:
        bounds = float(np.sum(3 * variances))
        left = Left.summed(rest / spread**2, bounds, free * variances, free * squares, explained > NEGLIGIBLE)
        # Repeated rows repeat their rounding: it spreads as that of the different rows alone.
        left = replace(left, freedom=left.freedom * (distinct - solved.rank) / (n - solved.rank))
    found = judged(Counts(n, distinct, solved.rank, counted=False), (mean, deviation), noise, explained, left)
    if found.verdict == "linear" and saturated:
        reason = (
            f"{found.reason}; {saturated} more are saturated, and blocks are not searched for contradictions"
        )
        found = replace(found, verdict="cannot tell yet", reason=reason)
    return solved, _Facts(n, saturated, found, precision)


def _refined(work: _Work, logits: passes.Logits, factor: ColumnGram, product: Array, size: float) -> Solved:
    theta, rest, fourth, taken, settled = factor.solve_normal(product), 0.0, 0.0, 0, False
    while taken < REFINEMENTS and not settled:
        pull, before, fourth = work.total("refinement", passes.Residual(logits, theta))
        step = factor.solve_normal(pull)
        theta, taken = theta + step, taken + 1
        # |Z - A (theta + step)|^2 without another pass; their spread over rows is that of the rows before it.
        rest = max(float(before - 2 * np.sum(step * pull) + np.sum(step * (factor.gram @ step))), 0.0)
        fourth = float(fourth) * (rest / before) ** 2 if before > 0 else 0.0
        settled = bool(np.linalg.norm(step) <= REFINED * np.linalg.norm(theta))
    off = float(np.sqrt(rest)) / size if size else 0.0
    return Solved(theta, off, (rest, fourth), factor.condition, len(theta), "Gram", 1 + taken)


def _by_triangle(work: _Work, logits: passes.Logits, r: int, size: float) -> Solved:
    triangle = work.total("triangular factor", passes.Triangle(logits), passes.stacked)
    R, z = triangle[:r, :r], triangle[:r, r:]
    lengths = np.linalg.norm(R, axis=0)
    lengths[lengths == 0] = 1.0
    _, s, V = np.linalg.svd(R / lengths)
    rank = int(np.sum(s > 8 * max(work.blocks.size, r) * EPS * s[0]))
    if rank == r:
        theta, condition = solve_triangular(R, z, check_finite=False), float(s[0] / s[-1])
    else:  # the shortest solution lies in the row space, whose basis the scaled columns tell
        Q = np.linalg.qr((V[:rank] * lengths).T)[0]
        theta, condition = Q @ np.linalg.lstsq(R @ Q, z)[0], np.inf
    _, rest, fourth = work.total("residuals", passes.Residual(logits, theta))
    off = float(np.sqrt(rest)) / size if size else 0.0
    return Solved(theta, off, (float(rest), float(fourth)), condition, rank, "TSQR", 3)


# -- the minimiser -------------------------------------------------------------------------------


class _Summed:
    """Mean soft cross-entropy + alpha/2 |w|^2 over all rows: a pass over them for its value and gradient.

    The column of ones is one of the rows' coordinates here, so that the ridge leaves the last one out.
    """

    intercept, dtype = False, np.dtype(np.float64)

    def __init__(
        self, work: _Work, alpha: float, start: Array, drop: bool, rows: passes.Grouped | None
    ) -> None:
        self.work, self.alpha, self.drop, self.rows = work, alpha, drop, rows
        self.start = start - start.mean(axis=1, keepdims=True) if start.shape[1] > 1 else start
        self.ridge = np.full((len(start), 1), alpha)
        if work.reading.intercept:
            self.ridge[-1] = 0.0
        self.n = 0
        hessian, curved, size = self._pass(self.start, moments=True)
        self.scale = max(float(size.max()), 1e-300)
        if len(hessian) == start.size:
            self._hessian = hessian + np.diag(np.tile(self.ridge[:, 0], start.shape[1]))
        else:
            self._curvature = Curvature.of_gram(hessian / max(curved, 1e-300), np.zeros(len(start)))

    def _pass(self, theta: Array, *, moments: bool) -> Any:
        """Keep value, gradient and class curvature at theta, and return the moments."""
        statistic = passes.CrossEntropy(self.work.reading, theta, self.drop, moments)
        *sums, self.n = self.work.total("minimisation", statistic, rows=self.rows)
        if not self.n:
            raise ArithmeticError("No row has an answer to learn from.")
        value, gradient, classes, *rest = (total / self.n for total in sums)
        value += 0.5 * float(np.sum(self.ridge * np.square(theta)))
        self._last = theta, (float(value), gradient + self.ridge * theta, classes)
        return rest

    def _at(self, theta: Array) -> tuple[float, Array, Array]:
        if not np.array_equal(self._last[0], theta):
            self._pass(theta, moments=False)
        return self._last[1]

    def evaluate(self, theta: Array) -> tuple[float, Array]:
        """Value and gradient."""
        return self._at(theta)[:2]

    def inverse_at(self, theta: Array) -> Inverse:
        """The inverse of the Hessian at the start, or where it is large, of the curvature that classes share."""
        if hasattr(self, "_hessian"):
            return lambda gradient: -newton_step(self._hessian, gradient)
        return self._curvature.inverse(self._at(theta)[2], self.alpha, intercept=False)


def _minimised(work: _Work, alpha: float, solved: Solved | None, *, drop: bool) -> tuple[Minimum, int]:
    shape = work.blocks.d + work.reading.intercept, _columns(work, solved)
    near = solved is not None and solved.inconsistency < NEARLY and alpha == 0
    start = solved.theta if solved is not None and near else _started(work, alpha, shape, drop)
    objective = _Summed(work, alpha, start, drop, None)
    found = lbfgs(objective, objective.start, objective.inverse_at, tol=1e-10, max_iter=MOST_STEPS)
    if not found.converged:
        raise ArithmeticError(
            f"The minimisation stopped at a relative gradient of {found.gradient:.1e} after {found.iterations} steps: "
            "scale the features, or raise alpha."
        )
    return found, objective.n


def _columns(work: _Work, solved: Solved | None) -> int:
    if solved is not None:
        return solved.theta.shape[1]
    _, labels, _ = work.reading(next(iter(work.blocks)))
    return 1 if labels.n_classes == 2 else labels.n_classes


def _started(work: _Work, alpha: float, shape: tuple[int, int], drop: bool) -> Array:
    """The minimiser over the first group of blocks, close to that over all rows, or zero where there is none."""
    few = passes.First(next(work.blocks.groups()))
    try:
        part = _Summed(work, alpha, np.zeros(shape), drop, few)
        first = lbfgs(part, part.start, part.inverse_at, tol=STARTED, max_iter=100)
    except ArithmeticError:  # one class only, say
        return np.zeros(shape)
    return first.theta if first.gradient <= STARTED else np.zeros(shape)


# -- the student ---------------------------------------------------------------------------------


def _student(
    work: _Work, recipe: Recipe, found: Minimum, facts: _Facts, realisable: bool
) -> SoftLabelClassifier:
    reading, dtype = work.reading, work.blocks.dtype
    K = 2 if found.theta.shape[1] == 1 else found.theta.shape[1]
    names = names_of(reading.teacher, K)
    student = recipe.student(classes=np.array(names, dtype=object))
    student.classes_ = np.array(names, dtype=object)
    W, b = (
        (found.theta[:-1], found.theta[-1])
        if reading.intercept
        else (found.theta, np.zeros(found.theta.shape[1]))
    )
    student.coef_, student.intercept_ = np.ascontiguousarray(W.T, dtype=dtype), b.astype(dtype)
    student.n_features_in_ = work.blocks.d
    student.alpha_, student.alpha_path_, student.realisable_ = float(recipe.alpha), None, realisable
    student.n_saturated_, student.linearity_ = facts.saturated, facts.linearity
    student.n_iter_, student.gradient_ = found.iterations, found.gradient
    return student


def _rated(work: _Work, made: Distilled, n: int) -> tuple[Tally | None, EmpiricalTail | None]:
    held_out = n * work.reading.held_out / (1 - work.reading.held_out)
    thinned = min(1.0, MOST_ANGLES / max(held_out, 1.0))
    *counts, kept = work.total("held-out rows", passes.HeldOut(work.reading, made, thinned), passes.joined)
    tally = Tally(*counts)
    return tally if len(tally) else None, EmpiricalTail(kept) if len(kept) else None
