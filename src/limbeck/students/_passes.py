"""What one pass over the rows adds up: Gram matrices, residuals, triangles, the cross-entropy, agreement.

Each statistic is a small class that maps one block to a tuple of numbers and arrays; tuples add. They are plain
data, so that a worker elsewhere can be handed one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, reduce
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np
from scipy.linalg import qr
from scipy.sparse import issparse

from limbeck.data.answers import Teacher, answered, soft_labels
from limbeck.data.blocks import Block, Group
from limbeck.engine import Engine
from limbeck.labels import Array, SoftLabels
from limbeck.records import UserError
from limbeck.students.design import Matrix, row_keys, with_ones
from limbeck.students.objective import Objective, weighted_gram
from limbeck.students.solver import SMALL_HESSIAN
from limbeck.students.study import Distilled, angles
from limbeck.students.tally import Tally
from limbeck.theory.scaling import Scaling

FEWEST_SLOTS = 13
"""Bits of the keys by which different rows are counted, at least."""

Sums = tuple
Value = TypeVar("Value")


class Grouped(Protocol):
    """`Blocks`, or some groups of them."""

    def groups(self) -> Iterator[Group]:
        """Groups in order."""
        ...


@dataclass(frozen=True)
class First:
    """The rows of one group alone."""

    group: Group

    def groups(self) -> Iterator[Group]:
        """It."""
        yield self.group


class Kept(Protocol):
    """Where the results of passes are kept for a run that may be killed: `limbeck.data.unfinished.Journal`."""

    def begin(self) -> tuple[Any, int]:
        """What is known of the next pass, or None, and of how many groups; -1 for all."""
        ...

    def keep(self, sums: Any, groups: int) -> None:
        """What is known after so many groups; -1 for all."""
        ...


def total(
    blocks: Grouped,
    statistic: Callable[[Block], Value],
    engine: Engine,
    *,
    add: Callable[[Value, Value], Value],
    advance: Callable[[], None] = lambda: None,
    kept: Kept | None = None,
) -> Value:
    """The statistic of all blocks: added up in order inside each group, then over the groups in order.

    The order is fixed, so the bits do not depend on who computed what, nor on where a run was killed and resumed.
    """
    sums: Any = None
    done = 0
    if kept is not None:
        sums, done = kept.begin()
    if done < 0:
        return sums
    left = islice(blocks.groups(), done, None)
    for count, part in enumerate(engine.ordered(partial(_of_group, statistic, add), left), start=done + 1):
        sums = part if sums is None else add(sums, part)
        if kept is not None:
            kept.keep(sums, count)
        advance()
    if kept is not None:
        kept.keep(sums, -1)
    return sums


def _of_group(
    statistic: Callable[[Block], Value], add: Callable[[Value, Value], Value], group: Group
) -> Value:
    return reduce(add, map(statistic, group))


def added(a: Sums, b: Sums) -> Sums:
    """Tuples added entry by entry."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


def stacked(a: Array, b: Array) -> Array:
    """Triangular factor of two triangles one above the other."""
    return _triangle(np.concatenate([a, b]))


def joined(a: Sums, b: Sums) -> Sums:
    """Numbers and counts added, a last array put after the other's."""
    return *added(a[:-1], b[:-1]), np.concatenate([a[-1], b[-1]])


def _triangle(A: Array) -> Array:
    if not len(A):
        return A
    return qr(A, mode="r", check_finite=False, overwrite_a=True)[0][: A.shape[1]]


@dataclass(frozen=True)
class Reading:
    """How a block becomes rows to learn from, or rows held out."""

    teacher: Teacher
    """What its answers are."""
    intercept: bool
    """Whether a column of ones is added."""
    scaling: Scaling | None
    """Metric of the features."""
    held_out: float
    """Share of the rows that is held out."""
    seed: int
    """Of the choice: a row's fate depends on it and on where the row stands, on nothing else."""

    def __call__(self, block: Block) -> tuple[Matrix, SoftLabels, np.ndarray]:
        """Rows to learn from (m, r) in float64, what was said of them, and their numbers from 0."""
        X, labels, rows = self._rows(block, held=False)
        X = X if self.scaling is None else self.scaling.apply(X)
        if issparse(X):
            X = X.astype(np.float64)
            return (with_ones(X) if self.intercept else X), labels, rows
        A = np.empty((X.shape[0], X.shape[1] + self.intercept))
        A[:, : X.shape[1]] = X
        A[:, X.shape[1] :] = 1.0
        return A, labels, rows

    def aside(self, block: Block) -> tuple[Matrix, SoftLabels]:
        """Held-out rows as given, and what was said of them."""
        X, labels, _ = self._rows(block, held=True)
        return X, labels

    def points(self, block: Block) -> Array:
        """Rows that are not held out, those without an answer among them, as given, in float64."""
        kept = self._drawn(block, held=False) | ~answered(self.teacher, self._said(block))
        return np.asarray(block.X[kept], dtype=np.float64)

    def count(self, block: Block) -> tuple[int, int]:
        """How many rows there are, and how many have an answer."""
        return len(block), int(answered(self.teacher, self._said(block)).sum())

    def _rows(self, block: Block, *, held: bool) -> tuple[Matrix, SoftLabels, np.ndarray]:
        said = self._said(block)
        labels, have = soft_labels(self.teacher, said, block.first), answered(self.teacher, said)
        drawn = self._drawn(block, held=held)
        if have.all() and drawn.all():
            return block.X, labels, block.first + np.arange(len(block))
        kept = np.flatnonzero(have & drawn)
        return block.X[kept], labels[drawn[have]], block.first + kept

    def _said(self, block: Block) -> np.ndarray:
        if block.answers is None:
            raise UserError("The rows have no answers: a student learns from a teacher's.")
        return block.answers

    def _drawn(self, block: Block, *, held: bool) -> np.ndarray:
        if self.held_out == 0:
            return np.full(len(block), not held)
        rng = np.random.default_rng([self.seed, 0, block.first])
        return (rng.random(len(block)) < self.held_out) == held


@dataclass(frozen=True)
class Sample:
    """Some of the rows to learn from, each as likely as any other, and how many there are."""

    reading: Reading
    share: float
    """Of them that is drawn."""

    def __call__(self, block: Block) -> tuple[int, list[Block]]:
        """Number of one block's rows, and those drawn."""
        _, _, rows = self.reading(block)  # names answers that cannot be read
        drawn = np.random.default_rng([self.reading.seed, 2, block.first]).random(len(rows)) < self.share
        return len(rows), [block.take(rows[drawn] - block.first)] if drawn.any() else []


@dataclass(frozen=True)
class Logits:
    """Rows with finite logits: those that a linear teacher's weights can be solved from."""

    reading: Reading
    """How rows are read."""
    saturated: str
    """``raise`` at a probability of 0 or 1, or ``drop`` its row."""

    def __call__(self, block: Block) -> tuple[Matrix, Array, Array, int]:
        """Rows (m, r), logits (m, K), errors of the logits (m, K), and how many rows have none."""
        A, labels, rows = self.reading(block)
        held = labels.saturated
        if held.any() and self.saturated == "raise":
            raise UserError(
                f"Row {rows[int(np.argmax(held))] + 1} holds a probability of 0 or 1, which has no finite logit: the "
                "exact student (alpha 0) does not exist. Drop such rows (saturated: drop), or use alpha > 0, which "
                "takes them as they are."
            )
        kept = np.flatnonzero(~held)
        shape = len(labels), labels.columns
        Z, error = labels.logits.reshape(shape), labels.error.reshape(shape)
        return A if len(kept) == len(labels) else A[kept], Z[kept], error[kept], int(held.sum())


@dataclass(frozen=True)
class Normal:
    """Sums of the normal equations: A'A, A'Z, and of n, the saturated rows, Z, Z^2, error^2, error^4 and row keys.

    The last counts keys by their leading bits: as many slots are taken as there are different rows, or fewer.
    """

    logits: Logits

    def __call__(self, block: Block) -> Sums:
        """Sums of one block."""
        A, Z, error, saturated = self.logits(block)
        gram = A.T @ A
        gram = gram.toarray() if issparse(gram) else gram
        squares = np.square(error)
        bits = max(FEWEST_SLOTS, int(A.shape[1]).bit_length() + 4)
        slots = np.bincount((row_keys(A) >> np.uint64(64 - bits)).astype(np.int64), minlength=1 << bits)
        return (
            gram, A.T @ Z, len(Z), saturated, Z.sum(axis=0), np.square(Z).sum(),
            squares.sum(axis=0), np.square(squares).sum(axis=0), slots,
        )  # fmt: skip


@dataclass(frozen=True)
class Residual:
    """A'(Z - A theta), from the rows themselves, and sums over rows of |z - a theta|^2 and of its square."""

    logits: Logits
    theta: Array

    def __call__(self, block: Block) -> Sums:
        """Sums of one block."""
        A, Z, _, _ = self.logits(block)
        rest = Z - A @ self.theta
        squares = np.square(rest).sum(axis=1)
        return A.T @ rest, squares.sum(), np.square(squares).sum()


@dataclass(frozen=True)
class Triangle:
    """Triangular factor of [A Z]."""

    logits: Logits

    def __call__(self, block: Block) -> Array:
        """Factor of one block."""
        A, Z, _, _ = self.logits(block)
        return _triangle(np.hstack([A, Z]))


@dataclass(frozen=True)
class CrossEntropy:
    """Sums over rows of the soft cross-entropy, its gradient in theta and class curvature, its Hessian, c, |a|, and 1.

    c is a row's curvature (`Objective.row_curvature`); where the Hessian is large, c a a' takes its place.
    """

    reading: Reading
    theta: Array
    drop: bool
    """Whether rows with a probability of 0 or 1 are left out."""
    moments: bool
    """Whether the last but 1 are wanted, which cost most; else they are 0."""

    def __call__(self, block: Block) -> Sums:
        """Sums of one block."""
        A, labels, _ = self.reading(block)
        if self.drop and labels.saturated.any():
            kept = np.flatnonzero(~labels.saturated)
            A, labels = A[kept], labels[kept]
        here = Objective(A, labels, np.ones(len(labels)), 0.0)
        hessian, curved, size = 0.0, 0.0, 0.0
        if self.moments:
            c = here.row_curvature(self.theta)
            small = self.theta.size <= SMALL_HESSIAN or labels.columns == 1
            hessian = here.hessian(self.theta) if small else weighted_gram(A, c)
            curved, size = float(c.sum()), np.asarray(abs(A).sum(axis=0)).ravel()
        return (
            *here.evaluate(self.theta),
            here.class_curvature(self.theta),
            hessian,
            curved,
            size,
            len(labels),
        )


@dataclass(frozen=True)
class Moments:
    """n, sum and sum of squares of the features about a point near their mean; their largest size is no sum."""

    points: Callable[[Block], Array]
    """Rows that count, in float64."""
    about: Array

    def __call__(self, block: Block) -> Sums:
        """Sums of one block."""
        X = self.points(block) - self.about
        return len(X), X.sum(axis=0), np.square(X).sum(axis=0)


@dataclass(frozen=True)
class PointTriangle:
    """Triangular factor of the features."""

    points: Callable[[Block], Array]
    """Rows that count, in float64."""

    def __call__(self, block: Block) -> Array:
        """Factor of one block."""
        return _triangle(self.points(block))


def every_row(block: Block) -> Array:
    """The points of a block in float64."""
    return np.asarray(block.X, dtype=np.float64)


@dataclass(frozen=True)
class HeldOut:
    """On rows held out: decisions that agree, and angles to the student of a random share of them."""

    reading: Reading
    made: Distilled
    thinned: float
    """Share of the held-out rows whose angle is kept."""

    def __call__(self, block: Block) -> Sums:
        """The counts of a `Tally`, and the angles kept."""
        X, labels = self.reading.aside(block)
        n = len(labels)
        ours = self.made.predict_codes(X) if n else np.empty(0, dtype=int)
        tally = Tally.of(labels.decisions, ours, labels.n_classes)
        counts = tally.teacher, tally.student, tally.alike
        if n == 0 or labels.n_classes > 2 or issparse(X) or not self.made.inner.coef_.any():
            return *counts, np.empty(0)
        kept = np.random.default_rng([self.reading.seed, 1, block.first]).random(n) < self.thinned
        return *counts, angles(X[kept], self.made) if kept.any() else np.empty(0)
