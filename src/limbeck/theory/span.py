"""The data span: one factorisation from which every quantity of the paper is read (Eq. 6, 37, 39).

With the points as rows, X = L Q: Q (r, d) has orthonormal rows in the order the points came and L
is lower trapezoidal. For a teacher w_star with logits z = X w_star put c = Q w_star; then the student
after the first m points is Q[:k]^T c[:k], k the rank of those points, for every m at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from scipy.linalg import solve_triangular

from limbeck import _check
from limbeck._check import Array
from limbeck.theory.factor import REFINEMENTS, ColumnGram, Ordered, RowGram, row_norms
from limbeck.theory.readings import Readings, Student, inconsistency

FINE = 1e-5
"""A tolerance below it passes over nothing that is as well conditioned as `RowGram` and `ColumnGram` must be."""


@dataclass(frozen=True, eq=False)
class MinimumNorm:
    """What the student learns from logits, and how well it could reproduce them."""

    weights: Array
    """Minimum-norm least-squares weights, (d,) or (d, K)."""
    residual: Array
    """z - X w, (n,) or (n, K)."""
    inconsistency: float
    """Norm of the residual over the norm of z: rounding-sized if some linear teacher gave all the answers."""


class Span(Readings):
    """The subspace spanned by the points, factorised once.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Points as rows (the paper's X is the transpose). Kept by reference: do not change it while
        the span is in use. float32 is computed in float64, its rounding taken into account by ``tol``.
    tol : float, optional
        What counts as rounding, relative to a point's length. A point adds a direction if what is
        left of it outside the span of the earlier points exceeds ``tol * sqrt(1 + |a|^2)``, where
        x = sum_j a_j x_j + rest: rounding in the points x_j is worth that much in the rest.
        Default ``8 max(n, d) eps``, and at least the rounding unit of ``dtype``.
    dtype : dtype, optional
        Type the points were stored in, where they were converted since. Default: that of ``X``.

    Raises
    ------
    ValueError
        If ``X`` is empty, not two-dimensional, or holds a non-finite number (row and column named).
    TypeError
        If ``X`` is sparse.

    Notes
    -----
    Well-conditioned points (scaled Gram matrix below condition 1e8) are factorised by one Gram
    product and a Cholesky factorisation, refined with residuals of X itself; other points by an
    ordered, re-orthogonalised Gram-Schmidt process. Both give the same readings, and the same rank under a
    ``tol`` that is given. Without one, more points than features are judged with every column at unit length, too: a
    column far smaller than the others (an intercept's beside large features) adds a direction, although by a point's
    length it is rounding. No proof rests on what such a column adds below ``tol`` of a point's length
    (`limbeck.theory.certify`).

    References
    ----------
    Phuong and Lampert (2019), Theorem 1 and Eq. 37.

    Examples
    --------
    >>> import numpy as np
    >>> X, w_star = np.array([[3.0, 0, 0], [0, 2, 0], [3, 2, 0]]), np.array([1.0, 2, 3])
    >>> span = Span(X)
    >>> span.rank, span.ranks.tolist()
    (2, [1, 2, 2])
    >>> span.weights(X @ w_star)
    array([1., 2., 0.])
    """

    def __init__(self, X: ArrayLike, *, tol: float | None = None, dtype: DTypeLike | None = None) -> None:
        X = _check.points(X)
        self.dtype: np.dtype[Any] = X.dtype if dtype is None else np.dtype(dtype)
        self.X: Array = np.asarray(X, dtype=np.float64)
        self._tol = None if tol is None else _check.number(tol, "tol", above=0.0, below=1.0)
        self._factor = self._gram() or self._judged(Ordered.of(self.X, self.tol))

    def _gram(self) -> RowGram | ColumnGram | None:
        return self._admitted(RowGram.of(self.X) if self.n <= self.d else ColumnGram.of(self.X))

    def _admitted(self, factor: RowGram | ColumnGram | None) -> RowGram | ColumnGram | None:
        """The factor, unless ``tol`` passes over a point that good conditioning lets through.

        Of the default that is asked where points are coarser than the condition admitted can make them dependent.
        """
        if factor is None or (self._tol is None and self.tol < FINE) or factor.keeps_all(self.X, self.tol):
            return factor
        return None

    def _judged(self, found: Ordered) -> Ordered:
        """By the rule about points; without a ``tol`` that was asked for, uneven columns at unit length, too."""
        if self._tol is not None or self.n <= self.d or len(found.independent) == self.d:
            return found
        return Ordered.by_columns(self.X, self.tol) or found

    def append(self, more: ArrayLike) -> Span:
        """Return the span of these points followed by ``more``, updating the factorisation.

        Parameters
        ----------
        more : array_like, shape (m, d)

        Returns
        -------
        Span
            A new object; this one is unchanged. The work already done is redone only where the
            number of points grows past d, or the new points spoil the conditioning.
        """
        more = np.asarray(_check.points(more, "more"), dtype=np.float64)
        if more.shape[1] != self.d:
            raise ValueError(f"more has {more.shape[1]} features where the span has {self.d}.")
        longer = Span.__new__(Span)
        longer.dtype, longer._tol = self.dtype, self._tol
        longer.X = np.concatenate([self.X, more])
        longer._factor = self._extended(longer, more)
        return longer

    def _extended(self, longer: Span, more: Array) -> RowGram | ColumnGram | Ordered:
        if isinstance(self._factor, Ordered):
            return longer._judged(self._factor.extended(self.X, more, longer.tol))
        same_side = (self.n <= self.d) == (longer.n <= longer.d)
        factor = longer._admitted(self._factor.extended(self.X, more)) if same_side else longer._gram()
        return factor or longer._judged(Ordered.of(longer.X, longer.tol))

    @property
    def n(self) -> int:
        """Number of points."""
        return self.X.shape[0]

    @property
    def d(self) -> int:
        """Number of features."""
        return self.X.shape[1]

    @property
    def tol(self) -> float:
        """Relative size of what counts as rounding in a point."""
        return self._rounding if self._tol is None else self._tol

    @property
    def _rounding(self) -> float:
        return max(self._arithmetic, float(np.finfo(self.dtype).eps))

    @property
    def _arithmetic(self) -> float:
        """Rounding of what is computed here, in float64, whatever the points were stored in."""
        return 8 * max(self.n, self.d) * float(np.finfo(np.float64).eps)

    @property
    def resolution(self) -> float:
        """Distance from the span, relative to a point's length, that cannot be told from none: ``tol``."""
        return self.tol

    @property
    def rounding(self) -> float:
        """What rounding in a point may be worth in its logit, over |x| |w|: at least the unit it was stored in."""
        return self._rounding

    @property
    def rank(self) -> int:
        """Dimension r of the span."""
        return min(self.n, self.d) if not isinstance(self._factor, Ordered) else len(self._factor.independent)

    @cached_property
    def _ordered(self) -> Ordered:
        if isinstance(self._factor, RowGram):
            return self._factor.ordered(self.X)
        if isinstance(self._factor, ColumnGram):
            return self._factor.ordered(self.X, self.tol)
        return self._factor

    @property
    def _triangle(self) -> Ordered:
        return self._ordered

    @property
    def basis(self) -> Array:
        """Q, shape (r, d): orthonormal rows; the first k span the first k independent points."""
        return self._ordered.Q

    @cached_property
    def leverages(self) -> Array:
        """h_i = x_i^T (X^T X)^+ x_i, (n,): the share point i has in the student's answer to it.

        1 where it alone carries a direction; they sum to the rank.
        """
        return self._factor.leverages(self.X)

    @cached_property
    def amplification(self) -> float:
        """Answers off by e move the student's weights by at most this times |e|: root of the sum of 1 / sigma_i^2."""
        if isinstance(self._factor, ColumnGram):
            return self._factor.amplification
        return self.sensitivity.amplification

    # -- the subspace ------------------------------------------------------------------------

    def coordinates(self, V: ArrayLike) -> Array:
        """V Q^T: coordinates (..., r) of vectors V (..., d) in the basis."""
        return self._vectors(V) @ self.basis.T

    def project(self, V: ArrayLike) -> Array:
        """P V (Eq. 37): the part of vectors V (..., d) inside the span."""
        return self.coordinates(V) @ self.basis

    def residual(self, V: ArrayLike) -> Array:
        """(I - P) V: the part of vectors V (..., d) outside the span; what a new point would teach.

        Projected twice, so that a vector all but inside the span keeps a residual orthogonal to it.
        """
        V = self._vectors(V)
        V = V - self.project(V)
        return V - self.project(V)

    def lengths(self, V: Array) -> Array:
        """|x| of the rows of V (m, d), (m,)."""
        return row_norms(self._vectors(V))

    def distances(self, V: Array) -> Array:
        """|(I - P) x| of the rows of V (m, d), (m,)."""
        return row_norms(self.residual(V)) if self.rank < self.d else np.zeros(len(V))

    def farthest(self, V: Array) -> Array:
        """|(I - P) x| of the rows of V (m, d), (m,), and at least ``tol |x|``; 0 inside the span.

        Inside are combinations of the points as far as arithmetic can tell, column by column: a feature that is
        small beside the others lies within rounding of the span by its length, and is not called nothing; nor is
        what ``tol`` passes over.
        """
        distances, lengths = self.distances(V), self.lengths(V)
        if self.rank == self.d:
            return distances
        most = np.maximum(distances, self.resolution * lengths)
        near = np.flatnonzero(distances <= self._arithmetic * lengths)
        most[near[self._combined(self._vectors(V)[near])]] = 0.0
        return most

    def _combined(self, V: Array) -> np.ndarray:
        """Whether rounding explains, in each column, what the independent points combined leave of V (m, d), (m,)."""
        rows, triangle = self.X[self.independent], self._ordered
        if not len(rows):
            return np.asarray(np.all(V == 0, axis=1))
        unit = rows / triangle.scale[self.independent, None]
        a = solve_triangular(triangle.L, self.coordinates(V).T, lower=True, trans=1, check_finite=False).T
        allowed = np.abs(V) + row_norms(a)[:, None] * row_norms(unit.T)
        return np.asarray(np.all(np.abs(V - a @ unit) <= self._arithmetic * allowed, axis=1))

    def logits(self, V: Array, c: Array) -> Array:
        """V (Q^T c): logits on the rows of V (m, d) of the student with coordinates c."""
        return self._vectors(V) @ (self.basis.T @ c)

    def own_coordinates(self) -> Array:
        """X Q^T, (n, r)."""
        return self.coordinates(self.X)

    def own_logits(self, c: Array) -> Array:
        """X (Q^T c), (n,)."""
        return self.logits(self.X, c)

    def complement_direction(self, g: ArrayLike) -> Array:
        """Unit vector (d,) along (I - P) g: moving along it changes no answer on the points (Eq. 39).

        Raises
        ------
        ValueError
            If the points span the whole space, or ``g`` lies in their span up to rounding.
        """
        g = _check.nonzero(_check.vector(g, "g", self.d), "g")
        if self.rank == self.d:
            raise ValueError(f"The {self.n} points span all of R^{self.d}: nothing is orthogonal to them.")
        g = g / row_norms(g)
        q = self.residual(g)
        length = row_norms(q)
        if not length > self.tol:
            raise ValueError("g lies in the span of the points: it has no part orthogonal to them.")
        q = self.residual(q / length)
        return q / row_norms(q)

    def _vectors(self, V: ArrayLike) -> Array:
        V = _check.reals(V, "V")
        if V.ndim == 0 or V.shape[-1] != self.d:
            raise ValueError(f"Vectors of {self.d} entries are needed, got shape {V.shape}.")
        if not np.all(np.isfinite(V)):
            raise ValueError("The vectors hold a number that is not finite.")
        return V

    # -- the student of all points (Theorem 1) -----------------------------------------------

    def solve(self, z: ArrayLike) -> MinimumNorm:
        """Minimum-norm least-squares student of all the points (Theorem 1, Eq. 6), from logits alone.

        Parameters
        ----------
        z : array_like, shape (n,) or (n, K)
            Teacher logits. If a linear teacher gave them, the answer is P w_star.

        Returns
        -------
        MinimumNorm
            Weights, residual and inconsistency.

        Raises
        ------
        ValueError
            If ``z`` has the wrong length or holds a non-finite number, or the answer leaves the range of floats.
        """
        z = self._logits(z)
        columns = z.reshape(self.n, -1)
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            w = self._factor.solve(self.X, columns)
            rest = columns - self.X @ w
            for _ in range(REFINEMENTS):
                step = self._factor.solve(self.X, rest)
                better = columns - self.X @ (w + step)
                before, after = row_norms(np.stack([rest.ravel(), better.ravel()]))
                if after <= before:
                    w, rest = w + step, better
                # Refinement has done its work once the residual no longer halves.
                if not after <= 0.5 * before:
                    break
        if not (np.isfinite(w).all() and np.isfinite(rest).all()):
            raise ValueError(
                "The student's weights, or its answers, leave the range of floating point: the points' lengths are too "
                "far apart for these logits. Rescale the points."
            )
        return MinimumNorm(
            weights=w.reshape((self.d, *z.shape[1:])),
            residual=rest.reshape(z.shape),
            inconsistency=inconsistency(rest, columns),
        )

    def weights(self, z: ArrayLike) -> Array:
        """Minimum-norm least-squares weights (d,) or (d, K) from logits z (n,) or (n, K); see `solve`."""
        return self.solve(z).weights

    def student(self, z: ArrayLike) -> Student:
        """`solve`, in the coordinates of the basis."""
        found = self.solve(z)
        return Student(self.coordinates(found.weights.T).T, found.residual, found.inconsistency)

    # -- the students of the first 1, 2, ..., n points (Lemma 1) --------------------------------

    def prefix_weights(self, c: ArrayLike, sizes: ArrayLike) -> Array:
        """Students of the first ``m`` points for each m in ``sizes`` (k,): Q[:rank]^T c[:rank], (k, d)."""
        c, ranks = self._prefix(c, sizes)
        return np.stack([c[:k] @ self.basis[:k] for k in ranks])

    def prefix_angles(self, w_star: ArrayLike) -> Array:
        """Angles (n,) in [0, pi/2] between the teacher (d,) and its students of 1, ..., n points.

        cos(alpha_m) = |c[:k]| / |w_star| (Eq. 26), taken as the arctangent of what is outside over
        what is inside, so that small angles keep their digits. A student that has learned nothing
        (its points orthogonal to the teacher) is put at pi/2.
        """
        w = _check.nonzero(_check.vector(w_star, "w_star", self.d), "w_star")
        w = w / row_norms(w)
        c = self.coordinates(w)
        inside = np.concatenate([[0.0], np.cumsum(np.square(c))])
        beyond = row_norms(self.residual(w)) if self.rank < self.d else 0.0
        outside = np.concatenate([np.cumsum(np.square(c[::-1]))[::-1], [0.0]]) + beyond**2
        return np.arctan2(np.sqrt(outside), np.sqrt(inside))[self.ranks]
