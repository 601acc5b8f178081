"""Points in blocks of rows that can be read as often as needed; ids and answers travel with their rows.

Blocks are cut at the same rows whatever pieces a source comes in. Sums over blocks, taken in order inside a group
and then over groups, therefore have the same bits for every chunking and every number of workers.

To add a kind of source, write a class with `name`, `rows`, `pieces` and `part`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_array, issparse, vstack

from limbeck import _check
from limbeck.data.stored import StoredArray
from limbeck.records import UserError

CELLS = 1 << 21
MOST_ROWS = 1 << 16
GROUP = 8

Matrix = Any
"""Points (m, d): a dense array, or a SciPy sparse one."""


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a pool."""

    first: int
    """How many rows came before."""
    X: Matrix
    """Points, (m, d)."""
    ids: np.ndarray | None = None
    """Ids as text, (m,); None where the rows' numbers from 1 are meant."""
    answers: np.ndarray | None = None
    """The teacher's answers as stored, (m,) or (m, K); None where there are none."""

    def __len__(self) -> int:
        return self.X.shape[0]

    def __getitem__(self, rows: slice) -> Block:
        start = rows.indices(len(self))[0]
        ids = None if self.ids is None else self.ids[rows]
        answers = None if self.answers is None else self.answers[rows]
        return Block(self.first + start, self.X[rows], ids, answers)

    def take(self, rows: np.ndarray) -> Block:
        """Some of the rows, in increasing order, with ids of their own."""
        answers = None if self.answers is None else self.answers[rows]
        return Block(self.first, self.X[rows], self.names[rows], answers)

    @property
    def names(self) -> np.ndarray:
        """Ids as text, (m,): the rows' numbers from 1 where they have none."""
        if self.ids is not None:
            return self.ids
        numbers = range(self.first + 1, self.first + len(self) + 1)
        return np.fromiter(map(str, numbers), dtype=object, count=len(self))


class Source(Protocol):
    """Where points come from."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def rows(self) -> int | None:
        """How many there are; None where only reading them tells."""
        ...

    def pieces(self, start: int = 0) -> Iterator[Block]:
        """Yield the rows from ``start`` on, in order, in pieces of any size."""
        ...

    def part(self, start: int, stop: int) -> Source | None:
        """What another process needs to read these rows itself; None if only this process can read them.

        Asked for only where ``rows`` is known.
        """
        ...


class Blocks:
    """A source cut into blocks at fixed rows; iterate over it as often as needed.

    Parameters
    ----------
    source : Source

    Raises
    ------
    UserError
        While reading: if a piece has another width, dtype or kind than the first, or numbers whose squares leave the
        range of floats, naming its rows.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        head = next((piece for piece in source.pieces() if len(piece)), None)
        if head is None:
            raise UserError(f"{source.name}: there are no rows.")
        self.d: int = head.X.shape[1]
        self.dtype: np.dtype = head.X.dtype
        self.sparse: bool = bool(issparse(head.X))
        self.size: int = block_rows(self.d)

    @property
    def n(self) -> int | None:
        """Number of rows; None where only reading them tells."""
        return self.source.rows

    @property
    def group_count(self) -> int | None:
        """Number of groups; None where only reading them tells."""
        return None if self.n is None else -(-self.n // (GROUP * self.size))

    def __iter__(self) -> Iterator[Block]:
        return self.read(0)

    def read(self, start: int) -> Iterator[Block]:
        """Blocks from row ``start`` on, which is the first row of one."""
        held: list[Block] = []
        count, row = 0, start
        for piece in self.source.pieces(start):
            self._check(piece)
            while len(piece):
                room = self.size - count
                held.append(piece[:room])
                count += len(held[-1])
                piece = piece[room:]
                if count == self.size:
                    yield joined_blocks(held, row)
                    held, count, row = [], 0, row + self.size
        if held:
            yield joined_blocks(held, row)

    def points(self) -> Points:
        """The points alone, block by block, as often as needed: what selection reads."""
        return Points(self)

    def groups(self) -> Iterator[Group]:
        """Groups of consecutive blocks, in order: what one task works on."""
        many = GROUP * self.size
        if self.n is None or self.source.part(0, many) is None:
            yield from self._held()
            return
        for start in range(0, self.n, many):
            part = self.source.part(start, start + many)
            assert part is not None
            yield Group(start, self._of(part), ())

    def _held(self) -> Iterator[Group]:
        held: list[Block] = []
        for block in self:
            held.append(block)
            if len(held) == GROUP:
                yield Group(held[0].first, None, tuple(held))
                held = []
        if held:
            yield Group(held[0].first, None, tuple(held))

    def _of(self, source: Source) -> Blocks:
        """The same blocks, read from a part of the source."""
        blocks = copy(self)
        blocks.source = source
        return blocks

    def _check(self, piece: Block) -> None:
        X = piece.X
        if X.shape[1] == self.d and X.dtype == self.dtype and issparse(X) == self.sparse:
            _in_range(piece, self.source.name)
            return
        was, found = (
            f"{d} {dtype} features{' (sparse)' if sparse else ''}"
            for d, dtype, sparse in ((self.d, self.dtype, self.sparse), (X.shape[1], X.dtype, issparse(X)))
        )
        raise UserError(
            f"{self.source.name}: rows {piece.first + 1} to {piece.first + len(piece)} have {found} where the "
            f"rows before have {was}. All rows need the same features in one precision: convert these."
        )


class Points:
    """The points of blocks (n, d), iterated over as often as needed, and single rows."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(n, d); one pass where only reading tells n."""
        n = self.blocks.n
        return sum(map(len, self.blocks)) if n is None else n, self.blocks.d

    def mapped(self, function: Callable[[Matrix], Matrix]) -> Points:
        """The same rows, changed block by block."""
        return Points(Blocks(MappedSource(self.blocks.source, function)))

    def __getitem__(self, indices: np.ndarray) -> Matrix:
        return self.rows(indices)

    def __iter__(self) -> Iterator[Matrix]:
        for block in self.blocks:
            yield block.X

    def groups(self) -> Iterator[Group]:
        """Groups of blocks, in order: what one task works on."""
        return self.blocks.groups()

    def rows(self, indices: np.ndarray) -> Matrix:
        """Points of these rows, (m, d), each from the block it is in; in one pass where reading starts at row 1."""
        size, indices = self.blocks.size, np.asarray(indices)
        found = np.empty((len(indices), self.blocks.d), self.blocks.dtype)
        starts = np.unique(indices // size) * size
        every = self.blocks if self.blocks.n is None else (next(self.blocks.read(int(s))) for s in starts)
        for block in every:
            here = (indices >= block.first) & (indices < block.first + len(block))
            found[here] = block.X[indices[here] - block.first]
        return found


@dataclass(frozen=True)
class Group:
    """Consecutive blocks: read by whoever needs them, or, where only this process can, held."""

    first: int
    """How many rows came before."""
    blocks: Blocks | None
    """What to read from; None where the blocks are held."""
    held: tuple[Block, ...]
    """The blocks, where they are held."""

    @property
    def rows(self) -> slice:
        """Which they are; past the last of the pool there are none."""
        many = sum(map(len, self.held)) if self.blocks is None else GROUP * self.blocks.size
        return slice(self.first, self.first + many)

    def __iter__(self) -> Iterator[Block]:
        if self.blocks is None:
            yield from self.held
            return
        for count, block in enumerate(self.blocks.read(self.first), start=1):
            yield block
            if count == GROUP:
                return


def block_rows(d: int) -> int:
    """Rows of a block of points with d features: a power of two, about 2^21 numbers."""
    return min(MOST_ROWS, 1 << max(0, (CELLS // d).bit_length() - 1)) if d <= CELLS else 1


def joined_blocks(pieces: list[Block], first: int = 0) -> Block:
    """Rows one after the other as one block."""
    if len(pieces) == 1:
        return replace(pieces[0], first=first)
    X = [piece.X for piece in pieces]
    ids = [piece.ids for piece in pieces if piece.ids is not None]
    answers = [piece.answers for piece in pieces if piece.answers is not None]
    return Block(
        first,
        vstack(X, format="csr") if issparse(X[0]) else np.concatenate(X),
        np.concatenate(ids) if ids else None,
        np.concatenate(answers) if answers else None,
    )


# -- sources -------------------------------------------------------------------------------------


class ArraySource:
    """Points in memory, or a whole memory map, which is read from its file: (n, d), dense or SciPy sparse.

    Parameters
    ----------
    X : array_like or sparse matrix, shape (n, d)
    answers : array_like, shape (n,) or (n, K), optional
    ids : sequence of str, optional
    name : str
        What messages call it.
    """

    def __init__(
        self,
        X: Any,
        answers: Any = None,
        ids: Iterable[str] | None = None,
        *,
        name: str = "the points",
    ) -> None:
        self.name = name
        stored = StoredArray.of_memmap(X) if isinstance(X, np.memmap) else None
        self._X: Any = csr_array(X) if issparse(X) else X if stored is None else None
        self._stored = stored
        if stored is None and not issparse(X):
            self._X = np.asarray(X)
        shape = self._X.shape if stored is None else stored.shape
        dtype = self._X.dtype if stored is None else stored.dtype
        if len(shape) != 2 or 0 in shape or dtype.kind not in "fiub":
            raise UserError(f"{name}: numbers on two axes are needed, rows first, got {dtype} {shape}.")
        self.rows: int = shape[0]
        self._answers = None if answers is None else np.asarray(answers)
        self._ids = None if ids is None else np.array([str(name) for name in ids], dtype=object)
        for what, beside in (("answers", self._answers), ("ids", self._ids)):
            if beside is not None and len(beside) != self.rows:
                raise UserError(f"{name}: {len(beside)} {what} for {self.rows} rows.")

    def part(self, start: int, stop: int) -> ArraySource | None:
        """Itself where the rows are in a file and nothing in memory goes with them."""
        del start, stop
        bare = self._answers is None and self._ids is None
        return self if self._stored is not None and bare else None

    def pieces(self, start: int = 0) -> Iterator[Block]:
        """Yield rows from ``start`` on, as floating-point numbers; UserError naming one that is not finite."""
        take = self._stored.opened() if self._stored is not None else lambda a, b: self._X[a:b]
        d = (self._stored or self._X).shape[1]
        size = block_rows(d)
        for first in range(start, self.rows, size):
            rows = slice(first, first + size)
            yield Block(
                first,
                finite(take(first, first + size), first, self.name),
                None if self._ids is None else self._ids[rows],
                None if self._answers is None else self._answers[rows],
            )


class LeavingOut:
    """A source without the rows of some ids.

    Parameters
    ----------
    source : Source
    names : set of str
        Ids, or numbers from 1, of the rows to leave out.
    """

    rows = None

    def __init__(self, source: Source, names: Collection[str]) -> None:
        self._source, self._names = source, names

    @property
    def name(self) -> str:
        """Of the source."""
        return self._source.name

    def part(self, start: int, stop: int) -> None:
        """None: which rows are left is known only from the first on."""

    def pieces(self, start: int = 0) -> Iterator[Block]:
        """Yield the source's pieces without those rows."""
        left = 0
        for piece in self._source.pieces():
            kept = piece.take(np.flatnonzero([name not in self._names for name in piece.names]))
            yield kept[max(start - left, 0) :]
            left += len(kept)


class MappedSource:
    """A source whose points are changed as they are read.

    Parameters
    ----------
    source : Source
    function : callable
        Of points (m, d) to points (m, k), the same whatever rows come together; plain data, for other processes.
    """

    def __init__(self, source: Source, function: Callable[[Matrix], Matrix]) -> None:
        self._source, self._function = source, function

    @property
    def name(self) -> str:
        """Of the source."""
        return self._source.name

    @property
    def rows(self) -> int | None:
        """Of the source."""
        return self._source.rows

    def part(self, start: int, stop: int) -> MappedSource | None:
        """Of the source's part."""
        part = self._source.part(start, stop)
        return None if part is None else MappedSource(part, self._function)

    def pieces(self, start: int = 0) -> Iterator[Block]:
        """Yield the source's pieces, their points changed."""
        for piece in self._source.pieces(start):
            yield replace(piece, X=self._function(_in_range(piece, self.name).X))


def finite(X: Matrix, first: int, name: str) -> Matrix:
    """X as float32 or float64, or a UserError naming the row and column of a number that is not finite."""
    if X.dtype.kind != "f" or X.dtype.itemsize not in (4, 8) or not X.dtype.isnative:
        X = X.astype(np.float32 if X.dtype == np.float16 else np.float64)
    values = X.data if issparse(X) else X
    # The sums of the rows tell of any: only an overflow makes the second look at every number needed for nothing.
    with np.errstate(over="ignore", invalid="ignore"):
        sums = values if values.ndim == 1 else values @ np.ones(values.shape[1], dtype=values.dtype)
        sound = np.isfinite(sums.sum(dtype=np.float64))
    if not sound and not (good := np.isfinite(values)).all():
        at = np.argwhere(~good)[0]
        row, column = (axis[at[0]] for axis in X.tocoo().coords) if issparse(X) else at
        raise UserError(
            f"{name}: row {first + row + 1}, column {column + 1} holds {values[tuple(at)]}, which is not a finite "
            "number. Fill it in or leave the row out."
        )
    return X


def _in_range(piece: Block, name: str) -> Block:
    """The rows, or a UserError naming where squares of a number, or of all of them, leave the range of floats."""
    values = piece.X.data if issparse(piece.X) else piece.X
    try:
        _check.in_range(values, f"the features in rows {piece.first + 1} to {piece.first + len(piece)}")
    except ValueError as error:
        raise UserError(f"{name}: {error}") from error
    return piece
