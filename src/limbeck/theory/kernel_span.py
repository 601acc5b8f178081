"""The span of points in the features of a kernel: the same readings as `Span`, from the kernel alone.

With K = k(X, X) = L L^T the ordered Cholesky factor, the point x has the coordinates L^-1 k(X, x) in the
orthonormal directions that the points add one after another, and lies sqrt(k(x, x) - |L^-1 k(X, x)|^2)
beyond them. The student of gradient flow from zero is f(x) = k(x, X) K^-1 z: Theorem 1 in feature space.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular

from limbeck import _check
from limbeck._check import Array
from limbeck.theory._cholesky import KernelFactor, factorise
from limbeck.theory.factor import Triangle, least_squares
from limbeck.theory.kernels import Kernel
from limbeck.theory.readings import Readings, Student, inconsistency

INSTEAD = (
    "Use fewer points, or m of them as landmarks, m x n numbers in all: KernelSoftLabelClassifier(landmarks=m), or "
    "scikit-learn's Nystroem(n_components=m) before SoftLabelClassifier."
)


class KernelSpan(Readings):
    """The subspace spanned by the features of the points, factorised once.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Points as rows.
    kernel : Kernel
        Any object of `limbeck.theory.kernels`, or one with the same two methods.
    semidefinite : bool, default=False
        Whether points whose features add nothing to those of the points before them are passed over, as `Span`
        does, instead of refused: ordinary for kernels with fewer features than points (linear, polynomial).
    tol : float, optional
        What counts as rounding in an entry of the kernel matrix scaled to unit diagonal: a point adds a direction
        if its squared distance from the span of the earlier ones exceeds ``tol (1 + |a|^2)``, where
        x = sum_j a_j x_j + rest. Default ``8 max(n, d) eps``, and at least the rounding unit of the dtype of ``X``.

    Raises
    ------
    ValueError
        If the kernel matrix is not positive definite (the points that coincide are named, with what a jitter would
        do; none is ever added), not positive semidefinite (with ``semidefinite=True``), not symmetric or not
        finite, or too large for this machine's memory.

    Notes
    -----
    A distance from the span below ``sqrt(tol)`` of a point's length cannot be told from none: a kernel shows
    squares only. `Span` sees the points themselves and resolves ``tol``.

    References
    ----------
    Phuong and Lampert (2019), Theorem 1, in feature space; Jacot, Gabriel and Hongler (2018) for wide networks.

    Examples
    --------
    >>> import numpy as np
    >>> from limbeck.theory.kernels import RBF
    >>> X = np.array([[0.0], [1.0], [3.0]])
    >>> span = KernelSpan(X, RBF())
    >>> c = span.teacher_coordinates([1.0, -1.0, 2.0])
    >>> span.logits(X, c).round(12)
    array([ 1., -1.,  2.])
    """

    def __init__(
        self, X: ArrayLike, kernel: Kernel, *, semidefinite: bool = False, tol: float | None = None
    ) -> None:
        X = _check.points(X)
        least = max(8 * max(X.shape) * float(np.finfo(np.float64).eps), float(np.finfo(X.dtype).eps))
        self.X: Array = np.asarray(X, dtype=np.float64)
        self.kernel = kernel
        self.tol: float = least if tol is None else _check.number(tol, "tol", above=0.0, below=1.0)
        _check.fits_memory(self.n, INSTEAD)
        with np.errstate(over="ignore", invalid="ignore"):  # refused below, by row
            K = _checked(kernel(self.X, self.X), self.n)
        self._factor = factorise(K, self.tol)
        _refuse_indefinite(self._factor, K)
        if not semidefinite and self._factor.dependent.size:
            raise ValueError(_coincidence(self._factor, K))

    @property
    def n(self) -> int:
        """Number of points."""
        return self.X.shape[0]

    @property
    def d(self) -> int:
        """Number of features of a point as it is given."""
        return self.X.shape[1]

    @property
    def rank(self) -> int:
        """Dimension r of the span of the features."""
        return len(self.independent)

    @property
    def resolution(self) -> float:
        """Distance from the span, relative to a point's length, that cannot be told from none: sqrt(tol)."""
        return float(np.sqrt(self.tol))

    @property
    def rounding(self) -> float:
        """What rounding in the kernel may be worth in a point's logit, over |x| |w|: ``tol``."""
        return self.tol

    @property
    def _triangle(self) -> Triangle:
        return self._factor.triangle

    # -- the subspace ------------------------------------------------------------------------

    def coordinates(self, V: ArrayLike) -> Array:
        """L^-1 k(X, V): coordinates (m, r) of points V (m, d)."""
        V, rows = self._points(V), self.independent
        with np.errstate(over="ignore", invalid="ignore"):
            across = self.kernel(self.X[rows], V) / self._triangle.scale[rows, None]
        if not (finite := np.isfinite(across).all(axis=0)).all():
            raise ValueError(
                f"The kernel of V's row {int(np.argmin(finite))} leaves the range of floating point: scale features."
            )
        return solve_triangular(self._triangle.L, across, lower=True, check_finite=False).T

    def lengths(self, V: Array) -> Array:
        """sqrt(k(x, x)) of points V (m, d), (m,)."""
        return np.sqrt(self.kernel.diagonal(self._points(V)))

    def distances(self, V: Array) -> Array:
        """sqrt(k(x, x) - |L^-1 k(X, x)|^2) of points V (m, d), (m,); 0 where rounding leaves less."""
        square = self.kernel.diagonal(self._points(V)) - np.square(self.coordinates(V)).sum(axis=1)
        return np.sqrt(np.maximum(square, 0.0))

    def farthest(self, V: Array) -> Array:
        """|(I - P) x| of points V (m, d) at most, (m,): its square is off by rounding of ``tol (|x|^2 + |a|^2)``.

        x = sum_j a_j x_j + rest, in unit features x_j. 0 for the rows of X alone: a kernel shows no other point to
        be inside.
        """
        V = self._points(V)
        C = self.coordinates(V)
        a = solve_triangular(self._triangle.L, C.T, lower=True, trans=1, check_finite=False)
        length = self.kernel.diagonal(V)
        square = np.maximum(length - np.square(C).sum(axis=1), 0.0)
        most = np.sqrt(square + self.tol * (length + np.square(a).sum(axis=0)))
        own = {row.tobytes() for row in self.X + 0.0}  # -0.0 is 0.0
        return np.where([row.tobytes() in own for row in V + 0.0], 0.0, most)

    def residual_kernel(self, V: ArrayLike) -> Array:
        """k(v, v') less the part inside the span, (m, m), of points V (m, d): inner products of (I - P) V."""
        V = self._points(V)
        C = self.coordinates(V)
        return self.kernel(V, V) - C @ C.T

    def own_coordinates(self) -> Array:
        """Coordinates (n, r) of the points themselves, lower trapezoidal."""
        return self._triangle.scale[:, None] * self._factor.own

    def _points(self, V: ArrayLike) -> Array:
        V = np.asarray(_check.points(V, "V"), dtype=np.float64)
        if V.shape[1] != self.d:
            raise ValueError(f"Points of {self.d} features are needed, as rows, got shape {V.shape}.")
        return V

    # -- students ---------------------------------------------------------------------------------

    def student(self, z: ArrayLike) -> Student:
        """Minimum-norm least-squares student of all the points, f(x) = k(x, X) K^+ z, from logits (n,) or (n, K).

        Raises
        ------
        ValueError
            If ``z`` has the wrong length or holds a non-finite number.
        """
        z = self._logits(z)
        columns = z.reshape(self.n, -1)
        own = self.own_coordinates()
        if self.rank == self.n:
            c = self._triangle.substitute(columns)
            c += self._triangle.substitute(columns - own @ c)
        elif self.rank:
            c = least_squares(own, np.eye(self.rank), columns, self._triangle.scale)
        else:
            c = np.zeros((0, columns.shape[1]))
        rest = columns - own @ c
        return Student(
            c.reshape((self.rank, *z.shape[1:])), rest.reshape(z.shape), inconsistency(rest, columns)
        )

    def logits(self, V: Array, c: Array) -> Array:
        """Logits on points V (m, d) of the student with coordinates c."""
        return self.coordinates(V) @ c

    def own_logits(self, c: Array) -> Array:
        """Logits (n,) on the points themselves."""
        return self.own_coordinates() @ c

    def coefficients(self, c: ArrayLike) -> Array:
        """Coefficients a (n,) or (n, K) of the student with coordinates c: f(x) = sum_i a_i k(x, x_i)."""
        return self._expanded(np.asarray(c, dtype=np.float64), self.rank)

    def prefix_coefficients(self, c: ArrayLike, sizes: ArrayLike) -> Array:
        """Coefficients (k, n) of the students of the first ``m`` points for each m in ``sizes`` (k,)."""
        c, ranks = self._prefix(c, sizes)
        return np.stack([self._expanded(c, int(k)) for k in ranks])

    def _expanded(self, c: Array, k: int) -> Array:
        a, rows = np.zeros((self.n, *c.shape[1:])), self.independent[:k]
        if k:
            inner = solve_triangular(self._triangle.L[:k, :k], c[:k], lower=True, trans=1, check_finite=False)
            a[rows] = inner / self._triangle.scale[rows].reshape(-1, *[1] * (c.ndim - 1))
        return a


def _checked(K: ArrayLike, n: int) -> Array:
    K = np.asarray(K, dtype=np.float64)
    if K.shape != (n, n):
        raise ValueError(f"The kernel gave a matrix of shape {K.shape} for {n} points.")
    finite = np.isfinite(K)
    if not finite.all():
        i, j = np.argwhere(~finite)[0]
        raise ValueError(f"The kernel of rows {i} and {j} is {K[i, j]}: scale the features.")
    off = np.abs(K - K.T)
    size = np.sqrt(np.abs(K.diagonal()))
    if np.any(off > 1e-8 * np.outer(size, size) + 1e-300):
        i, j = np.unravel_index(np.argmax(off), off.shape)
        raise ValueError(
            f"The kernel is not symmetric: rows {i} and {j} give {K[i, j]:.6g} and {K[j, i]:.6g}."
        )
    return K


def _refuse_indefinite(factor: KernelFactor, K: Array) -> None:
    """A point whose square is negative, or whose rest is nothing while it leans on other rests."""
    dependent = factor.dependent
    if np.any(K.diagonal() < 0):
        row = int(np.argmin(K.diagonal()))
        raise ValueError(
            f"Not a kernel: row {row} has k(x, x) = {K[row, row]:.3g}, a negative squared length."
        )
    if not dependent.size:
        return
    scale = np.where(factor.triangle.scale > 0, factor.triangle.scale, 1.0)
    rest = K[dependent] / scale[dependent, None] / scale - factor.own[dependent] @ factor.own.T
    # By Cauchy and Schwarz a rest of square at most s has an inner product of at most sqrt(s) with a unit feature.
    over = np.abs(rest) / np.sqrt(factor.noise[dependent])[:, None]
    over[factor.gaps[dependent] < -10 * factor.noise[dependent]] = np.inf
    worst = np.unravel_index(np.argmax(over), over.shape)
    if over[worst] > 10:
        row, other = int(dependent[worst[0]]), int(np.argmax(np.abs(rest[worst[0]])))
        lowest, beside = (
            float(np.linalg.eigvalsh(K)[0]),
            "those before it" if other == row else f"row {other}",
        )
        raise ValueError(
            f"The kernel matrix is not positive semidefinite: its least eigenvalue is {lowest:.3g}, beyond rounding; "
            f"row {row} is no feature of any space beside {beside}. This function is no kernel, or its diagonal is "
            f"wrong; a jitter of {-lowest:.3g} would hide that by changing "
            "the function, and none was added."
        )


def _coincidence(factor: KernelFactor, K: Array) -> str:
    """Which points coincide, and what a jitter would do to the student."""
    i, n = int(factor.dependent[0]), len(K)
    scale = factor.triangle.scale
    jitter = float(np.max(factor.noise) * np.square(scale).max())
    others = f" ({factor.dependent.size} of {n} rows add nothing)" if factor.dependent.size > 1 else ""
    if scale[i] == 0:
        what = f"row {i} has a feature of length zero"
    else:
        before = np.arange(i)
        square = np.maximum(
            2 - 2 * K[i, before] / scale[i] / np.where(scale[before] > 0, scale[before], 1.0), 0.0
        )
        j = int(np.argmin(square))
        near = square[j] <= 10 * factor.noise[i]
        what = (
            f"rows {j} and {i} coincide in the kernel's features"
            if near
            else f"the feature of row {i} is a combination of those before it, up to rounding (nearest: row {j})"
        )
    return (
        f"The kernel matrix of {n} points is not positive definite: {what}{others}. Leave such rows out, or pass them "
        "over with semidefinite=True, as Span does; if their answers differ no student can meet them all. A jitter "
        f"(some {jitter:.1g} here) would make the matrix definite and the student another one, a ridge that misses "
        "each answer by jitter times its coefficient and splits coinciding points evenly; none was added. Where that "
        "is wanted, say so: KernelSoftLabelClassifier(alpha=jitter / n)."
    )
