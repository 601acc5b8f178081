"""A pool of points read a block of rows at a time, so that it may be larger than the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from scipy.linalg import qr
from scipy.sparse import csr_array, issparse, vstack

from limbeck import _check
from limbeck._check import Array
from limbeck.data.blocks import Group, Points
from limbeck.engine import Engine
from limbeck.theory.factor import row_norms

CELLS = 1 << 20


class Statistic(Protocol):
    """What one pass over the rows finds."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Of a block: its first row's number, its rows as stored, and the columns beside them."""
        ...

    def joined(self, parts: list[Any]) -> Any:
        """Of consecutive blocks, from what was found of each."""
        ...


class Pool:
    """Rows in blocks, each row scaled to unit length or by one factor for all.

    Parameters
    ----------
    X : array_like, shape (n, d), or iterable of blocks
        An array (a memory map too), or an object that yields blocks (m_i, d) in the same order every time it
        is iterated over. If it also has ``rows(indices)``, single rows are read through that.
    unit : bool
        Whether rows are taken at unit length. A row of zeros stays zero.
    at : Engine, optional
        Where `limbeck.data.blocks.Points` are read and worked on. Anything else is this process's work.

    Raises
    ------
    ValueError
        If the pool is empty, holds a non-finite number (row and column named), its blocks differ in width,
        or it can be read only once.
    TypeError
        If it is sparse: `pool_of` takes such.
    """

    def __init__(self, X: Any, *, unit: bool = True, at: Engine | None = None) -> None:
        self._X, self._at = _source(X), at
        self.n = 0
        found = [part for _, (_, part) in self._parts(_Norms(), ())]
        if not found:
            raise ValueError("The pool is empty: it yielded no block.")
        norms, d, dtype = _Norms().joined(found)
        self.d: int = d
        self.dtype: np.dtype[Any] = dtype
        self.norms: Array = norms
        self.n: int = len(norms)
        self.unit: bool = unit
        lengths = norms if unit else np.full(self.n, float(norms.max()))
        self.factors: Array = np.divide(1.0, lengths, out=np.zeros(self.n), where=norms > 0)

    @property
    def in_memory(self) -> bool:
        """Whether reading costs nothing."""
        return isinstance(self._X, np.ndarray)

    @property
    def zeros(self) -> np.ndarray:
        """Indices of the rows of zeros, which no label can make useful."""
        return np.flatnonzero(self.norms == 0)

    def each(self, statistic: Statistic, *columns: Array) -> Iterator[tuple[slice, Any]]:
        """What a pass finds, part by part in the order of the rows, and the rows of the part.

        Every column (n,) travels with its rows. The order does not depend on who worked on what.
        """
        for first, (size, part) in self._parts(statistic, columns):
            yield slice(first, first + size), part

    def _parts(self, statistic: Statistic, columns: tuple[Array, ...]) -> Iterator[tuple[int, Any]]:
        if isinstance(self._X, Points):  # in the same groups wherever the work is done: the bits are the same
            groups = ((group, tuple(c[group.rows] for c in columns)) for group in self._X.groups())
            work = partial(_of_group, statistic)
            yield from map(work, groups) if self._at is None else self._at.ordered(work, groups)
            return
        for first, X in self._raw():
            beside = (c[first : first + len(X)] for c in columns)
            yield first, (len(X), statistic(first, X, *beside))

    def _raw(self) -> Iterator[tuple[int, np.ndarray]]:
        if isinstance(self._X, np.ndarray):
            size = max(1, CELLS // self._X.shape[1])
            for start in range(0, len(self._X), size):
                yield start, self._X[start : start + size]
            return
        start, width = 0, None
        for given in self._X:
            if issparse(given):
                raise TypeError(
                    "The pool yields sparse blocks, and blocks are read as dense rows: give one sparse matrix "
                    "(scipy.sparse.vstack) instead."
                )
            block = np.asarray(given)
            if block.ndim != 2 or (width is not None and block.shape[1] != width):
                raise ValueError(
                    f"The block that starts at row {start} has shape {block.shape}: every block must have two "
                    f"axes{'' if width is None else f' and {width} columns'}."
                )
            yield start, block
            start, width = start + len(block), block.shape[1]

    def rows(self, indices: np.ndarray) -> Array:
        """Scaled rows at these indices, float64."""
        if isinstance(self._X, np.ndarray):
            found = self._X[indices]
        elif hasattr(self._X, "rows"):
            found = np.asarray(self._X.rows(indices))
        else:
            found = np.empty((len(indices), self.d))
            for start, block in self._raw():
                here = (indices >= start) & (indices < start + len(block))
                found[here] = block[indices[here] - start]
        return found * self.factors[indices, None]

    def coordinates(self, indices: np.ndarray) -> Array:
        """What has the inner products of scaled rows at these indices: themselves."""
        return self.rows(indices)


def _of_group(
    statistic: Statistic, work: tuple[Group, tuple[np.ndarray, ...]]
) -> tuple[int, tuple[int, Any]]:
    group, columns = work
    parts, size = [], 0
    for block in group:
        rows = slice(size, size + len(block))
        parts.append(statistic(block.first, block.X, *(column[rows] for column in columns)))
        size += len(block)
    return group.first, (size, statistic.joined(parts))


@dataclass(frozen=True)
class _Norms:
    """Lengths of the rows, their width and dtype; the pool's first reading, which finds what cannot be used."""

    def __call__(self, first: int, X: np.ndarray) -> tuple[Array, int, np.dtype]:
        X = _checked(X, first)
        return row_norms(X.astype(np.float64)), X.shape[1], X.dtype

    def joined(self, parts: list[Any]) -> tuple[Array, int, np.dtype]:
        """Those of blocks one after the other."""
        norms = np.concatenate([norms for norms, _, _ in parts])
        return norms, parts[-1][1], parts[-1][2]


class SparsePool:
    """Sparse rows, held as such, each scaled to unit length or by one factor for all.

    Parameters
    ----------
    X : SciPy sparse matrix or array, shape (n, d)
        Of any format; neither changed nor made dense.
    unit : bool
        Whether rows are taken at unit length. A row without entries stays zero.

    Raises
    ------
    ValueError
        If it is empty, or holds what is no finite number (row and column named).
    """

    def __init__(self, X: Any, *, unit: bool = True) -> None:
        X = sparse_rows(X)
        self.n: int = X.shape[0]
        self.d: int = X.shape[1]
        self.dtype: np.dtype[Any] = X.dtype
        row = np.repeat(np.arange(self.n), np.diff(X.indptr))
        largest = np.zeros(self.n)
        np.maximum.at(largest, row, np.abs(X.data).astype(np.float64))
        safe = np.where(largest > 0, largest, 1.0)
        shares = X.data.astype(np.float64) / safe[row]
        self.norms: Array = largest * np.sqrt(np.bincount(row, np.square(shares), self.n))
        lengths = self.norms if unit else np.full(self.n, float(self.norms.max()))
        self.factors: Array = np.divide(1.0, lengths, out=np.zeros(self.n), where=self.norms > 0)
        self.X: csr_array = csr_array(
            (shares * (safe * self.factors)[row], X.indices, X.indptr), shape=X.shape
        )
        """Scaled rows, float64."""

    @property
    def zeros(self) -> np.ndarray:
        """Indices of the rows of zeros, which no label can make useful."""
        return np.flatnonzero(self.norms == 0)

    def rows(self, indices: np.ndarray) -> Array:
        """Scaled rows at these indices, dense, (m, d)."""
        return self.X[indices].toarray()

    def coordinates(self, indices: np.ndarray) -> Array:
        """What has the inner products of scaled rows at these indices: (m, at most min(m, d))."""
        return coordinates(self.X[indices])


def coordinates(X: csr_array) -> Array:
    """Sparse rows (m, d) in an orthonormal basis of their span: (m, at most min(m, d)), some columns at a time."""
    columns = X.T.tocsr()
    columns = columns[np.diff(columns.indptr) > 0]
    m = X.shape[0]
    if columns.shape[0] <= m:
        return columns.toarray().T
    R = np.empty((0, m))
    for start in range(0, columns.shape[0], m):
        R = triangle([R, columns[start : start + m].toarray()])
    return R.T


def triangle(parts: Sequence[Array]) -> Array:
    """Triangular factor of rows (n, d), given in parts: at most d rows with the same products of columns."""
    R = qr(np.concatenate(parts), mode="r", check_finite=False)[0]
    return R[: R.shape[1]]


def pool_of(X: Any, *, unit: bool = True, at: Engine | None = None) -> Pool | SparsePool:
    """The pool of dense rows or of sparse ones; parameters and errors as theirs."""
    if isinstance(X, Points) and X.blocks.sparse:
        X = vstack(list(X), format="csr")
    return SparsePool(X, unit=unit) if issparse(X) else Pool(X, unit=unit, at=at)


def sparse_rows(X: Any) -> csr_array:
    """Sparse rows with sorted columns, none twice, floating and finite; what was given stays as it is."""
    if 0 in X.shape or len(X.shape) != 2:
        raise ValueError(f"The pool must have two axes and at least one row and column, got shape {X.shape}.")
    if X.dtype.kind not in "fiub":
        raise ValueError(f"The pool must be real numbers, got dtype {X.dtype}.")
    X = csr_array(X)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    if X.dtype.kind != "f":
        X = X.astype(np.float64)
    if len(bad := np.flatnonzero(~np.isfinite(X.data))):
        row = int(np.searchsorted(X.indptr, bad[0], side="right")) - 1
        raise ValueError(_not_finite(X.data[bad[0]], row, int(X.indices[bad[0]])))
    _check.in_range(X.data, "the pool")
    return X


class KernelPool:
    """The pool in the feature space of a kernel, each feature vector scaled to unit length or all by one factor.

    Parameters
    ----------
    X : array_like, shape (n, d)
    kernel : object with ``kernel(X, Y)`` and ``kernel.diagonal(X)``
    unit : bool
        Whether feature vectors are taken at unit length.
    reference : int
        Most rows that stand for the pool where the whole would need pool times pool kernel values; drawn
        without replacement with a fixed seed.
    """

    def __init__(self, X: Any, kernel: Any, *, unit: bool, reference: int) -> None:
        self._X, self._kernel = _check.points(X, "The pool"), kernel
        self.n: int = len(self._X)
        diagonal = np.asarray(kernel.diagonal(self._X), dtype=np.float64)
        if diagonal.shape != (self.n,) or not np.all(np.isfinite(diagonal) & (diagonal >= 0)):
            raise ValueError(
                "kernel.diagonal(X) must be one finite number >= 0 for each row: a positive semidefinite kernel has."
            )
        self.norms: Array = np.sqrt(diagonal)
        lengths = self.norms if unit else np.full(self.n, self.norms.max())
        self.factors: Array = np.divide(1.0, lengths, out=np.zeros(self.n), where=self.norms > 0)
        self.diagonal: Array = np.square(self.norms * self.factors)
        drawn = np.random.default_rng(0).permutation(self.n)[:reference]
        self.reference: np.ndarray = np.sort(drawn)

    @property
    def zeros(self) -> np.ndarray:
        """Indices of the rows whose feature vector is zero."""
        return np.flatnonzero(self.norms == 0)

    def kernel(self, rows: np.ndarray, others: np.ndarray) -> Array:
        """Kernel between scaled feature vectors, (len(rows), len(others))."""
        K = np.asarray(self._kernel(self._X[rows], self._X[others]), dtype=np.float64)
        return K * np.multiply.outer(self.factors[rows], self.factors[others])

    def blocks(self) -> Iterator[np.ndarray]:
        """Row numbers, as many at a time as keep a block of kernel values small."""
        size = max(1, CELLS // len(self.reference))
        for start in range(0, self.n, size):
            yield np.arange(start, min(start + size, self.n))


def _source(X: Any) -> Any:
    if hasattr(X, "toarray"):
        raise TypeError(
            f"The pool is sparse ({type(X).__name__}), and this one reads dense rows. SpanSelection, AnswerSelection "
            "and the other strategies take SciPy's sparse matrices: give them scipy.sparse.csr_array(X), or "
            "X.toarray() if that fits in memory."
        )
    if isinstance(X, (np.ndarray, list, tuple)) or hasattr(X, "__array__"):
        X = np.asarray(X)
        if X.dtype == object or X.dtype.kind not in "fiub":
            raise ValueError(f"The pool must be real numbers, got dtype {X.dtype}.")
        if X.ndim != 2 or 0 in X.shape:
            raise ValueError(
                f"The pool must have two axes and at least one row and column, got shape {X.shape}."
            )
        return X
    if not hasattr(X, "__iter__"):
        raise ValueError(
            f"The pool must be an array or an iterable of blocks of rows, got {type(X).__name__}."
        )
    if iter(X) is X:
        raise ValueError(
            f"The pool is a {type(X).__name__}, which can be read only once, and selection reads it once a pick: "
            "give an object whose __iter__ starts from the first row each time."
        )
    return X


def _checked(block: np.ndarray, start: int) -> Array:
    """The block as finite floats; errors count rows from the start of the pool."""
    with np.errstate(invalid="ignore"):  # inf - inf
        total = block.sum(dtype=np.float64)
    if not np.isfinite(total) and (bad := ~np.isfinite(block)).any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(_not_finite(block[row, column], start + row, column))
    return _check.points(block, "The pool")


def _not_finite(entry: float, row: int, column: int) -> str:
    return (
        f"The pool holds {entry} at row {row}, column {column}: every entry must be a finite number. Fill it in or "
        "leave the row out."
    )
