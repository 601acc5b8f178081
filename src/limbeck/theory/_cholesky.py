"""Ordered, rank-revealing Cholesky factorisation of a kernel matrix: the triangle of points known by it alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack, solve_triangular

from limbeck._check import Array
from limbeck.theory.factor import BLOCK, Triangle


@dataclass(frozen=True)
class KernelFactor:
    """What is known of points with unit features once their kernel matrix is factorised."""

    triangle: Triangle
    """Of the points that add a direction."""
    own: Array
    """Coordinates (n, r) of all points, scaled to unit length."""
    gaps: Array
    """Squared distance (n,) of each unit point from the span of the independent points before it."""
    noise: Array
    """What rounding in the kernel is worth in that square, (n,)."""

    @property
    def dependent(self) -> np.ndarray:
        """Indices of the points that add nothing."""
        return np.setdiff1d(np.arange(len(self.gaps)), self.triangle.independent)


def factorise(K: Array, tol: float) -> KernelFactor:
    """Factorise K = S A A^T S, S = sqrt(diag K), passing over points that add nothing beyond rounding.

    With x = sum_j a_j x_j + rest, an error of ``tol`` in the entries of the scaled matrix is worth
    ``tol (1 + |a|^2)`` in |rest|^2. A negative square beyond that is reported in ``gaps``, for the caller to
    refuse: such a matrix is no kernel's.
    """
    scale = np.sqrt(np.maximum(K.diagonal(), 0.0))
    unit = np.where(scale > 0, scale, 1.0)
    C = K / unit
    C /= unit[:, None]
    return _at_once(C, scale, tol) or _by_blocks(C, scale, tol)


def _at_once(C: Array, scale: Array, tol: float) -> KernelFactor | None:
    """LAPACK's factorisation, where every point adds a direction; None where one does not."""
    L, fails = lapack.dpotrf(C, lower=1, clean=1)
    if fails:
        return None
    inverse, _ = lapack.dtrtri(L, lower=1)
    gaps = np.square(L.diagonal())
    noise = tol * gaps * np.square(inverse).sum(axis=1)  # rows of the inverse are (-a, 1) / |rest|
    if not np.all(gaps > noise):
        return None
    return KernelFactor(Triangle(np.arange(len(C)), L, scale), L, gaps, noise)


def _by_blocks(C: Array, scale: Array, tol: float) -> KernelFactor:
    n = len(C)
    L, own, gaps, noise = np.zeros((n, n)), np.zeros((n, n)), np.zeros(n), np.zeros(n)
    kept: list[int] = []
    for start in range(0, n, BLOCK):
        rows = np.arange(start, min(start + BLOCK, n))
        before = len(kept)
        if kept:
            own[rows, :before] = solve_triangular(
                L[:before, :before], C[np.array(kept)[:, None], rows], lower=True, check_finite=False
            ).T
        for i in rows:
            k = len(kept)
            for j in range(before, k):
                own[i, j] = (C[i, kept[j]] - own[i, :j] @ L[j, :j]) / L[j, j]
            a = (
                solve_triangular(L[:k, :k], own[i, :k], lower=True, trans=1, check_finite=False)
                if k
                else own[i, :0]
            )
            gaps[i], noise[i] = C[i, i] - own[i, :k] @ own[i, :k], tol * (1.0 + a @ a)
            if gaps[i] > noise[i]:
                L[k, :k], L[k, k] = own[i, :k], np.sqrt(gaps[i])
                own[i, k] = L[k, k]
                kept.append(int(i))
    k = len(kept)
    return KernelFactor(
        Triangle(np.array(kept, dtype=int), L[:k, :k].copy(), scale), own[:, :k].copy(), gaps, noise
    )
