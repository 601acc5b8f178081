"""How a table's columns become a point's features: numeric columns, a column of vectors, or a text as TF-IDF.

What was chosen is plain data, so that a saved student can be given a new table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_array, hstack, issparse
from scipy.special import gammaln

from limbeck.data.columns import numbers, texts, vectors
from limbeck.data.tables import Chunk, Table, matching
from limbeck.records import UserError

Matrix = Any
"""Points (m, d): a dense array, or sparse where a text is among the features."""


@dataclass(frozen=True)
class Features:
    """The columns a point is made of."""

    columns: tuple[str, ...] = ()
    """Numeric columns, one feature each."""
    embedding: str | None = None
    """Column of vectors."""
    width: int = 0
    """Their length; 0 until a table was read."""
    text: str | None = None
    """Column of text."""
    terms: tuple[str, ...] = ()
    """Words that have a feature each, in order; empty until learned."""
    weights: tuple[float, ...] = ()
    """Inverse document frequency of each."""

    @property
    def needed(self) -> list[str]:
        """Columns to read."""
        return [*self.columns, *(name for name in (self.embedding, self.text) if name is not None)]

    @property
    def names(self) -> list[str]:
        """A name for every feature."""
        vector = [f"{self.embedding}[{i}]" for i in range(self.width)]
        return [*self.columns, *vector, *(f"{self.text}: {term}" for term in self.terms)]

    @cached_property
    def _counter(self):
        from sklearn.feature_extraction.text import TfidfVectorizer  # slow to import, needed for text only

        counter = TfidfVectorizer(vocabulary={term: i for i, term in enumerate(self.terms)})
        counter.idf_ = np.array(self.weights)
        return counter

    def _texts(self, chunk: Chunk) -> list[str]:
        """The text column: an empty one has no words."""
        assert self.text is not None
        return texts(chunk.columns[self.text], self.text, chunk.first, blank=True)

    def learned(self, chunks: Iterable[Chunk], most_terms: int, apart: Iterable[int] = ()) -> Features:
        """These features with the words of the text column, the ``most_terms`` most frequent ones.

        Neither words nor their weights are learned from rows set ``apart``: those shall be as new as any other.
        """
        if self.text is None:
            return self
        from sklearn.feature_extraction.text import TfidfVectorizer

        unseen = set(apart)
        rows = [
            text
            for chunk in chunks
            for row, text in enumerate(self._texts(chunk), chunk.first)
            if row not in unseen
        ]
        counter = TfidfVectorizer(max_features=most_terms)
        try:
            counter.fit(rows)
        except ValueError as error:
            raise UserError(
                f"Column {self.text!r} holds no words of two letters or more ({error}): there is nothing to count."
            ) from error
        terms = counter.get_feature_names_out()
        return replace(self, terms=tuple(map(str, terms)), weights=tuple(map(float, counter.idf_)))

    def matrix(self, chunk: Chunk) -> Matrix:
        """Features (m, d) of a chunk's rows.

        Raises
        ------
        UserError
            If a value is missing, no finite number, or a vector of another length: naming row and column.
        """
        parts = []
        if self.columns:
            values = [numbers(chunk.columns[name], name, chunk.first) for name in self.columns]
            parts.append(_wide(np.column_stack(values)))
        if self.embedding is not None:
            block = _wide(vectors(chunk.columns[self.embedding], self.embedding, chunk.first))
            if self.width not in (0, block.shape[1]):
                raise UserError(
                    f"Row {chunk.first + 1}, column {self.embedding!r} holds {block.shape[1]} numbers where "
                    f"{self.width} are needed."
                )
            parts.append(block)
        if self.text is None:
            return parts[0] if len(parts) == 1 else np.hstack(parts)
        words = csr_array(self._counter.transform(self._texts(chunk)))
        return hstack([*(csr_array(part) for part in parts), words], format="csr") if parts else words

    def __str__(self) -> str:
        """How many there are, and the names of the first and the last."""
        parts = []
        if self.columns:
            first, last = repr(self.columns[0]), repr(self.columns[-1])
            several = len(self.columns) > 1
            parts.append(
                f"{len(self.columns)} columns, {first} to {last}" if several else f"1 column, {first}"
            )
        if self.embedding is not None:
            parts.append(f"the {f'{self.width} ' if self.width else ''}numbers of {self.embedding!r}")
        if self.text is not None:
            parts.append(f"the {f'{len(self.terms)} ' if self.terms else ''}words of {self.text!r}")
        return "; ".join(parts)

    def without_words(self, X: Matrix) -> int:
        """Number of rows of X whose text holds none of the words that are features."""
        if self.text is None:
            return 0
        return int(np.sum(np.diff(csr_array(X[:, X.shape[1] - len(self.terms) :]).indptr) == 0))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Features:
        """From plain data; `UserError` if it is none of ours."""
        try:
            made = cls(
                columns=tuple(map(str, saved["columns"])),
                embedding=None if saved["embedding"] is None else str(saved["embedding"]),
                width=int(saved["width"]),
                text=None if saved["text"] is None else str(saved["text"]),
                terms=tuple(map(str, saved["terms"])),
                weights=tuple(map(float, saved["weights"])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"The student's features are damaged ({error!r}).") from error
        if len(made.terms) != len(made.weights) or len(set(made.terms)) != len(made.terms):
            raise UserError("The student's features are damaged: its words and their weights do not match.")
        return made


SURE = 1e-3
"""Probability, for features independent of the answers, of a false warning by `deciding`."""
SCREENED = 2000
"""Rows by which features are looked through before all rows are."""


def deciding(X: Matrix, codes: np.ndarray) -> np.ndarray:
    """Features (k,) each of which alone separates the classes ``codes`` (n,): every class has an interval to itself.

    None where chance explains it: of d features that are independent of n answers of K classes, with n_k rows each,
    the expected number of such features is at most d K! n_1! ... n_K! / n!, and this must be below 0.001.
    """
    sizes = np.unique(codes, return_counts=True)[1]
    n, d = X.shape
    chance = np.log(d) + gammaln(len(sizes) + 1) + gammaln(sizes + 1).sum() - gammaln(n + 1)
    if len(sizes) < 2 or d < 2 or chance > np.log(SURE):
        return np.empty(0, dtype=int)
    some = _separating(X[:SCREENED], codes[:SCREENED])
    return some[_separating(X[:, some], codes)] if len(some) and n > SCREENED else some


def _separating(X: Matrix, codes: np.ndarray) -> np.ndarray:
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    low, high = (
        np.array([_dense_row(getattr(X[rows], end)(axis=0)) for rows in groups]) for end in ("min", "max")
    )
    order = np.argsort(low, axis=0)
    low, high = np.take_along_axis(low, order, axis=0), np.take_along_axis(high, order, axis=0)
    return np.flatnonzero((high[:-1] < low[1:]).all(axis=0))


def _dense_row(row: Any) -> np.ndarray:
    return row.toarray().ravel() if issparse(row) else np.asarray(row)


def _wide(block: np.ndarray) -> np.ndarray:
    """Half floats as float32, the shortest type that students compute in."""
    return block.astype(np.float32) if block.dtype == np.float16 else block


def choose(
    table: Table,
    globs: Sequence[str] = (),
    embedding: str | None = None,
    text: str | None = None,
    *,
    taken: Iterable[str] = (),
) -> Features:
    """Features from what the user asked for.

    Parameters
    ----------
    table : Table
    globs : sequence of str
        Patterns such as ``emb_*``; each must match a column. Matches keep the order of the table.
    embedding, text : str, optional
        A column of vectors; a column of text.
    taken : iterable of str
        Columns with another office (ids, the teacher's answers): never features.

    Raises
    ------
    UserError
        If a pattern matches nothing, a column is not there, or nothing was asked for.
    """
    taken, chosen = set(taken), set[str]()
    if not globs and embedding is None and text is None:
        raise UserError(
            f"{table.path}: say which columns are features: --features 'emb_*' (repeatable), --embedding COL or "
            f"--text COL. Its columns: {', '.join(map(repr, table.columns[:20]))}."
        )
    for pattern in globs:
        found = [name for name in matching(table, pattern) if name not in taken]
        if not found:
            raise UserError(
                f"{table.path}: --features {pattern!r} matches no column. "
                f"Its columns: {', '.join(map(repr, table.columns[:20]))}."
            )
        chosen.update(found)
    for option, name in (("--embedding", embedding), ("--text", text)):
        if name is not None and name in taken:
            raise UserError(f"{option} {name!r} is also named as id or answer.")
        if name is not None and name not in table.columns:
            raise UserError(f"{table.path}: {option} {name!r} is no column of it.")
    columns = tuple(name for name in table.columns if name in chosen and name not in (embedding, text))
    return Features(columns=columns, embedding=embedding, text=text)
