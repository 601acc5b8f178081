"""Three ways to factorise the points, and the rule that chooses among them.

``RowGram`` (n <= d) and ``ColumnGram`` (n > d) are BLAS-3 only: one Gram product, one Cholesky
factorisation, refinement with residuals taken from X itself. They are trusted while the scaled
Gram matrix has a condition number below 1e8, where one refinement step gains eight digits.
``Ordered`` is the safe route: Gram-Schmidt in the order the points came, a block at a time,
re-orthogonalised, passing over every point that adds nothing that can be told from rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, lapack, qr, solve_triangular

from limbeck._check import Array

WORST_CONDITION = 1e8
REFINEMENTS = 3
BLOCK = 64
UNEVEN = 10.0


def row_norms(X: Array) -> Array:
    """Euclidean norm of each row (..., d) -> (...), without overflow or underflow."""
    largest = np.abs(X).max(axis=-1, initial=0.0)
    safe = np.where(largest > 0, largest, 1.0)
    return safe * np.sqrt(np.square(X / safe[..., None]).sum(axis=-1)) * (largest > 0)


def unit_rows(X: Array) -> Array:
    """Rows of X (..., d) over their norms, none of them zero; the largest entry first, so that nothing overflows."""
    X = X / np.abs(X).max(axis=-1, keepdims=True)
    return X / np.sqrt(np.square(X).sum(axis=-1, keepdims=True))


def _scaled_cholesky(K: Array) -> tuple[Array, Array] | None:
    """Lower Cholesky factor of D K D with unit diagonal and the scale 1/D, or None where it is not safe."""
    diagonal = K.diagonal()
    if not (np.all(np.isfinite(diagonal)) and diagonal.min() > 1e-280 and diagonal.max() < 1e280):
        return None
    scale = np.sqrt(diagonal)
    C = K / scale
    C /= scale[:, None]
    one_norm = np.abs(C).sum(axis=0).max()
    try:
        L = cholesky(C, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    rcond, _ = lapack.dpocon(L, one_norm, uplo="L")
    return (L, scale) if rcond * WORST_CONDITION > 1.0 else None


@dataclass(frozen=True)
class RowGram:
    """K = X X^T = S L L^T S, for n <= d well-conditioned points."""

    L: Array
    """Lower Cholesky factor (n, n) of the Gram matrix of the unit rows."""
    scale: Array
    """Row norms S, (n,)."""

    @classmethod
    def of(cls, X: Array) -> RowGram | None:
        """Factorise X (n, d), or return None where this route is not safe."""
        with np.errstate(over="ignore"):  # where squares overflow this route is not taken
            found = _scaled_cholesky(X @ X.T)
        return None if found is None else cls(*found)

    def extended(self, X: Array, more: Array) -> RowGram | None:
        """Factor of the rows of X followed by ``more``: one more block row of Cholesky."""
        scale = row_norms(more)
        if not (scale.min() > 1e-140 and scale.max() < 1e140):
            return None
        unit = more / scale[:, None]
        cross = (unit @ X.T) / self.scale
        below = solve_triangular(self.L, cross.T, lower=True, check_finite=False).T
        corner = unit @ unit.T - below @ below.T
        try:
            corner = cholesky(corner, lower=True, check_finite=False)
        except LinAlgError:
            return None
        n, m = len(self.L), len(more)
        L = np.zeros((n + m, n + m))
        L[:n, :n], L[n:, :n], L[n:, n:] = self.L, below, corner
        rcond, _ = lapack.dtrcon(L, uplo="L")
        safe = rcond**2 * WORST_CONDITION > 1.0
        return RowGram(L, np.concatenate([self.scale, scale])) if safe else None

    def keeps_all(self, X: Array, tol: float) -> bool:
        """Whether every point adds a direction under ``tol``: |rest| > tol sqrt(1 + |a|^2), as `Ordered` has it."""
        del X
        inverse, _ = lapack.dtrtri(self.L, lower=1)  # its rows are (-a, 1) / |rest|
        return bool(tol * row_norms(inverse).max() < 1.0)

    def solve(self, X: Array, z: Array) -> Array:
        """X^T K^-1 z for z (n, K)."""
        s = self.scale[:, None]
        return X.T @ (cho_solve((self.L, True), z / s, check_finite=False) / s)

    def leverages(self, X: Array) -> Array:
        """Every point carries a direction alone."""
        return np.ones(len(X))

    def ordered(self, X: Array) -> Ordered:
        """Orthonormal rows by Cholesky QR, twice: the second pass removes what conditioning cost the first."""
        Q = solve_triangular(self.L, X / self.scale[:, None], lower=True, check_finite=False)
        again = cholesky(Q @ Q.T, lower=True, check_finite=False)
        Q = solve_triangular(again, Q, lower=True, overwrite_b=True, check_finite=False)
        return Ordered(np.arange(len(X)), self.L @ again, self.scale, np.ascontiguousarray(Q))


@dataclass(frozen=True)
class ColumnGram:
    """X^T X = S L L^T S, for n > d points of full, well-conditioned column rank."""

    L: Array
    """Lower Cholesky factor (d, d) of the Gram matrix of the unit columns."""
    scale: Array
    """Column norms S, (d,)."""
    gram: Array
    """X^T X (d, d), kept so that more points can be added."""

    @classmethod
    def of(cls, X: Array) -> ColumnGram | None:
        """Factorise X (n, d), or return None where this route is not safe."""
        with np.errstate(over="ignore"):
            return cls.of_gram(X.T @ X)

    @classmethod
    def of_gram(cls, G: Array) -> ColumnGram | None:
        """Factorise from X^T X (d, d), or return None where this route is not safe."""
        found = _scaled_cholesky(G)
        return None if found is None else cls(*found, G)

    def extended(self, X: Array, more: Array) -> ColumnGram | None:
        """Factor of the rows of X followed by ``more``: the Gram matrices add."""
        del X
        with np.errstate(over="ignore"):
            return self.of_gram(self.gram + more.T @ more)

    def keeps_all(self, X: Array, tol: float) -> bool:
        """Whether the points span R^d under ``tol``: a rule about rows, that the Gram matrix of columns cannot tell."""
        return len(Ordered.of(X, tol).independent) == X.shape[1]

    def solve(self, X: Array, z: Array) -> Array:
        """(X^T X)^-1 X^T z by its Cholesky factor, for z (n, K)."""
        return self.solve_normal(X.T @ z)

    def solve_normal(self, b: Array) -> Array:
        """(X^T X)^-1 b, for b (d, K)."""
        s = self.scale[:, None]
        return cho_solve((self.L, True), b / s, check_finite=False) / s

    @property
    def condition(self) -> float:
        """Of X with its columns at unit length: the square root of LAPACK's estimate for its Gram matrix."""
        C = self.gram / self.scale / self.scale[:, None]
        rcond, _ = lapack.dpocon(self.L, np.abs(C).sum(axis=0).max(), uplo="L")
        return float(rcond**-0.5)

    @property
    def amplification(self) -> float:
        """Root of the sum of 1 / sigma_i^2, over the singular values of X."""
        return float(np.linalg.norm(lapack.dtrtri(self.L, lower=1)[0] / self.scale))

    def leverages(self, X: Array) -> Array:
        """|L^-1 S^-1 x_i|^2; where one comes close to 1, by QR, whose 1 - h keeps its digits."""
        root = lapack.dtrtri(self.L, lower=1)[0] / self.scale
        h = np.empty(len(X))
        for rows in (slice(i, i + 16 * BLOCK) for i in range(0, len(X), 16 * BLOCK)):
            h[rows] = np.square(X[rows] @ root.T).sum(axis=1)
        return h if h.max() < 1 - 1e-6 else _qr_leverages(X)

    def ordered(self, X: Array, tol: float) -> Ordered:
        """Orthonormal rows in the order the points came, d of them, from as many points as it takes to span R^d.

        The rule about rows passes over much beside points that all but coincide. The columns, each at unit length, are
        well conditioned all the same: pivoting finds d such points.
        """
        found = Ordered.of(X, tol)
        if len(found.independent) == X.shape[1]:
            return found
        return Ordered.by_columns(X, tol) or Ordered.among(X, self._pivots(X))

    def _pivots(self, X: Array) -> np.ndarray:
        """Indices (d,) of points that are independent, in the order they came."""
        some = np.flatnonzero(row_norms(X))
        pivots = qr(unit_rows(X[some] / self.scale).T, mode="r", pivoting=True, check_finite=False)[1]
        return np.sort(some[pivots[: X.shape[1]]])


@dataclass(frozen=True)
class Triangle:
    """Independent points in the orthonormal directions they add, in the order the points came."""

    independent: np.ndarray
    """Indices (r,) of the points that add a direction."""
    L: Array
    """Lower triangular factor (r, r) of those points scaled to unit length."""
    scale: Array
    """Norms (n,) of all the points."""

    def substitute(self, z: Array) -> Array:
        """Coordinates c (r, K) with L c = z on the independent points, by forward substitution."""
        rows = self.independent
        return solve_triangular(self.L, z[rows] / self.scale[rows, None], lower=True, check_finite=False)


@dataclass(frozen=True)
class Ordered(Triangle):
    """X[independent] = S L Q with orthonormal rows Q, in the order the points came."""

    Q: Array
    """Orthonormal rows (r, d)."""

    @classmethod
    def of(cls, X: Array, tol: float) -> Ordered:
        """Factorise the rows of X (n, d); ``tol`` is the relative size of what counts as rounding."""
        nothing = cls(np.empty(0, dtype=int), np.empty((0, 0)), np.empty(0), np.empty((0, X.shape[1])))
        return nothing.extended(X, X, tol)

    @classmethod
    def by_columns(cls, X: Array, tol: float) -> Ordered | None:
        """The same by the rule about rows once each column has unit length; None unless d points are found so.

        A column far smaller than others (an intercept's beside large features) is rounding by a point's length, and
        its own digits are as good as theirs.
        """
        scale = row_norms(X.T)
        if not 0 < UNEVEN * scale.min() < scale.max():
            return None
        found = cls.of(X / scale, tol)
        return cls.among(X, found.independent) if len(found.independent) == X.shape[1] else None

    @classmethod
    def among(cls, X: Array, rows: np.ndarray) -> Ordered:
        """Factorise X (n, d) by the independent points ``rows`` (d,), whatever a tolerance says of them."""
        Q, R = qr(unit_rows(X[rows]).T, mode="economic", check_finite=False)
        signs = np.copysign(1.0, R.diagonal())
        return cls(rows, (R * signs[:, None]).T, row_norms(X), np.ascontiguousarray((Q * signs).T))

    def extended(self, X: Array, more: Array, tol: float) -> Ordered:
        """Go on with ``more`` points where this factorisation of the first points stopped."""
        del X
        before, most = len(self.scale), min(len(self.Q) + len(more), more.shape[1])
        Q, L = np.zeros((most, more.shape[1])), np.zeros((most, most))
        k = len(self.Q)
        Q[:k], L[:k, :k] = self.Q, self.L
        scale = row_norms(more)
        unit = np.where(scale > 0, scale, 1.0)
        kept = list(self.independent)
        for start in range(0, len(more), BLOCK):
            if k == most:
                break
            rows = slice(start, start + BLOCK)
            # The largest entry first, then the norm: neither division can overflow.
            largest = np.abs(more[rows]).max(axis=1, keepdims=True)
            largest[largest == 0] = 1.0
            B = (more[rows] / largest) * (largest / unit[rows, None])
            gained = _extend_by_block(Q, L, k, B, tol)
            kept += [before + start + i for i in gained]
            k += len(gained)
        return Ordered(
            np.array(kept, dtype=int), L[:k, :k].copy(), np.concatenate([self.scale, scale]), Q[:k].copy()
        )

    def solve(self, X: Array, z: Array) -> Array:
        """Minimum-norm least squares over all rows of X, for z (n, K)."""
        if len(self.independent) == 0:
            return np.zeros((X.shape[1], z.shape[1]))
        if len(self.independent) == len(X):
            return self.Q.T @ self.substitute(z)
        return self.Q.T @ least_squares(X, self.Q, z, self.scale)

    def leverages(self, X: Array) -> Array:
        """Squared row norms of an orthonormal basis of the columns, of which the basis Q leaves r."""
        if len(self.independent) == len(X):
            return np.ones(len(X))
        return _qr_leverages(X @ self.Q.T)


def _qr_leverages(A: Array) -> Array:
    U = qr(A, mode="economic", check_finite=False)[0]
    return np.einsum("ij,ij->i", U, U)


def _extend_by_block(Q: Array, L: Array, k: int, B: Array, tol: float) -> list[int]:
    """Add the directions of the unit rows B to Q[:k], L[:k, :k] in place; return which rows added one."""
    start, gained = k, []
    C = B @ Q[:start].T
    R = B - C @ Q[:start]
    again = R @ Q[:start].T
    R -= again @ Q[:start]
    C += again
    for i in np.flatnonzero(row_norms(R) > tol):
        if k == len(Q):
            break
        c = np.zeros(k)
        c[:start] = C[i]
        h = Q[start:k] @ R[i]
        r = R[i] - h @ Q[start:k]
        c[start:] = h
        before, length = np.linalg.norm(R[i]), np.linalg.norm(r)
        # Twice is enough, unless the row all but vanished: then rounding is most of what is left.
        while tol < length < 0.7 * before:
            h = Q[:k] @ r
            r, c, before = r - h @ Q[:k], c + h, length
            length = np.linalg.norm(r)
        # x = sum_j a_j x_j + r: rounding in the points is worth eps |a| in r.
        a = solve_triangular(L[:k, :k], c, lower=True, trans=1, check_finite=False) if k else c
        if length <= tol * np.sqrt(1.0 + a @ a):
            continue
        Q[k], L[k, :k], L[k, k] = r / length, c, length
        gained.append(int(i))
        k += 1
    return gained


def least_squares(X: Array, Q: Array, z: Array, scale: Array) -> Array:
    """Coordinates c minimising |X Q^T c - z|, stable for badly scaled rows.

    Householder QR with column pivoting on rows sorted by size has a small backward error in
    every row (Cox and Higham, 1998); the basis Q has settled the rank already.
    """
    order = np.argsort(-scale, kind="stable")
    unit = scale[order[0]]
    A = (X[order] / unit) @ Q.T
    U, R, columns = qr(A, mode="economic", pivoting=True, check_finite=False)
    c = np.empty((Q.shape[0], z.shape[1]))
    c[columns] = solve_triangular(R, U.T @ (z[order] / unit), check_finite=False)
    return c
