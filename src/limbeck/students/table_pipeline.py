"""A saved student that takes the columns its table had: by name, texts as texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline

from limbeck.records import UserError
from limbeck.students.saving import read

if TYPE_CHECKING:
    from limbeck.data.features import Features

Rows = Any
"""A data frame of pandas or polars, a table of pyarrow, a mapping from names to columns; where one text is all that is
needed, also a list of texts."""


class TableFeatures(TransformerMixin, BaseEstimator):
    """Columns of a table, by name, as the features a student was learned from.

    Nothing is learned in ``fit``: words and their weights are those of the table the student comes from.

    Parameters
    ----------
    described : mapping
        Plain JSON that says which columns, as `limbeck distill` keeps it with a student.
    """

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.described = described

    def fit(self, X: Rows = None, y: Any = None) -> TableFeatures:
        """Nothing to learn."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def transform(self, X: Rows) -> Any:
        """Features of each row.

        Parameters
        ----------
        X : data frame, table, mapping or list of str
            Columns by name, in any order, others beside them; a list of texts where one text is all that is needed.

        Returns
        -------
        array or SciPy sparse array, shape (n, d)
            Sparse where a text is among the features, which counts as TF-IDF.

        Raises
        ------
        UserError
            If a column is missing, or a value is missing or of the wrong kind: naming row and column.
        """
        from limbeck.data.tables import Chunk

        features = self._features
        return features.matrix(Chunk(0, _columns(X, features.needed)))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """A name for every feature, (d,)."""
        return np.array(self._features.names, dtype=object)

    @property
    def _features(self) -> Features:
        from limbeck.data.features import Features

        return Features.from_json(self.described)


def load_pipeline(path: str | os.PathLike[str]) -> Any:
    """Student of a file that `limbeck distill` saved, taking the columns of a table rather than a matrix.

    Parameters
    ----------
    path : path-like
        File of `limbeck distill`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``features``, which takes a data frame's columns by name or a list of texts (see
        `limbeck.students.TableFeatures`), and ``student``, a fitted `SoftLabelClassifier`.

    Raises
    ------
    UserError
        As `read` does; if the file does not say which columns are features; if pyarrow, which reads columns, is not
        there (extra ``tables``).
    """
    saved = read(path)
    if "table" not in saved.features:
        raise UserError(
            f"{path} does not say which columns of a table are its features: it was not saved by limbeck distill. "
            "limbeck.load gives the student itself, which takes a matrix."
        )
    try:
        import pyarrow  # noqa: F401 - columns are read with it
    except ImportError as error:
        raise UserError(
            "Columns are read with pyarrow, which is not installed: pip install 'limbeck[tables]'."
        ) from error
    features = TableFeatures(saved.features["table"])
    width = len(features.get_feature_names_out())
    if width != saved.student.n_features_in_:
        raise UserError(
            f"{path} is damaged: its columns make {width} features and its student has {saved.student.n_features_in_}."
        )
    return Pipeline([("features", features), ("student", saved.student)])


def _columns(X: Rows, needed: list[str]) -> dict[str, Any]:
    """The needed columns as pyarrow arrays."""
    if not hasattr(X, "columns") and not isinstance(X, Mapping):
        if len(needed) != 1 or not _texts(X):
            raise UserError(
                f"{type(X).__name__} has no named columns, and this student needs {', '.join(map(repr, needed[:20]))}: "
                "give a data frame or a mapping from names to columns."
            )
        X = {needed[0]: list(X)}
    names = list(getattr(X, "column_names", None) or getattr(X, "columns", X))
    for name in needed:
        if names.count(name) != 1:
            what = f"{names.count(name)} columns" if name in names else "no column"
            shown = ", ".join(map(repr, names[:20])) + (" ..." if len(names) > 20 else "")
            raise UserError(f"There is {what} {name!r} among {shown}.")
    found = {name: _column(X[name], name) for name in needed}
    lengths = {len(column) for column in found.values()}
    if lengths == {0} or len(lengths) > 1:
        raise UserError(f"Columns of one length, of at least one row, are needed; got {sorted(lengths)}.")
    return found


def _texts(X: Iterable[Any]) -> bool:
    return not isinstance(X, str) and all(isinstance(x, str) for x in X)


def _column(values: Any, name: str) -> Any:
    import pyarrow as pa

    if hasattr(values, "to_arrow"):  # polars
        values = values.to_arrow()
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    if isinstance(values, np.ndarray) and values.ndim == 2:
        values = list(values)
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"Column {name!r} holds values of several kinds, or none that can be read: {error}"
        ) from error
