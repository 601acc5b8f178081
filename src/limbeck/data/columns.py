"""One column of a table as numbers, text or vectors, or an error that names the row and the column.

Rows count from 1, the first below the header; ``first`` is how many rows came before the column's own.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from limbeck.records import UserError

Column = Any
"""A `pyarrow.Array`: values of one column, of any type."""


def numbers(column: Column, name: str, first: int = 0, *, finite: bool = True) -> np.ndarray:
    """Values (m,) as float64, or float32 where they were stored so; text is read as decimal numbers.

    Raises
    ------
    UserError
        If a value is missing or not a number, or not finite where ``finite``: naming row and column.
    """
    column = _plain(column)
    _refuse_missing(column, name, first)
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = _parsed(pc.utf8_trim_whitespace(column), name, first)
    elif pa.types.is_floating(kind) and kind.bit_width < 64:
        values = column.cast(pa.float32()).to_numpy(zero_copy_only=False)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    elif pa.types.is_boolean(kind):
        values = column.to_numpy(zero_copy_only=False).astype(np.float64)
    else:
        raise UserError(f"Column {name!r} holds {kind}: numbers are needed{_hint(kind)}.")
    if finite and not (good := np.isfinite(values)).all():
        at = int(np.argmin(good))
        _refuse(name, first + at, f"holds {values[at]}, which is not a finite number")
    return values


def texts(column: Column, name: str, first: int = 0) -> list[str]:
    """Values as text: whole numbers without a decimal point, so that ids match across file formats.

    Raises
    ------
    UserError
        If a value is missing, or of a kind that is no text: naming row and column.
    """
    column = _plain(column)
    _refuse_missing(column, name, first)
    if pa.types.is_floating(column.type):
        return [str(int(v)) if v.is_integer() else repr(v) for v in column.to_pylist()]
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        raise UserError(f"Column {name!r} holds {column.type}: text or whole numbers are needed.")
    try:
        return [v if isinstance(v, str) else str(v) for v in column.to_pylist()]
    except UnicodeDecodeError as error:
        raise UserError(
            f"Column {name!r} holds text that is not UTF-8 ({error}): the file is damaged."
        ) from error


def vectors(column: Column, name: str, first: int = 0) -> np.ndarray:
    """Values (m, width) of a column of lists of numbers; text is read as a JSON list.

    Raises
    ------
    UserError
        If a value is missing, no list of numbers, or of another length than the first.
    """
    column = _plain(column)
    _refuse_missing(column, name, first)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _lists_from_text(column, name, first)
    if not (pa.types.is_list(column.type) or _is_list(column.type)):
        raise UserError(f"Column {name!r} holds {column.type}: a list of numbers in every row is needed.")
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    if (odd := lengths != lengths[0]).any():
        at = int(np.argmax(odd))
        _refuse(name, first + at, f"holds a list of {lengths[at]} where the first row holds {lengths[0]}")
    if lengths[0] == 0:
        _refuse(name, first, "holds an empty list")
    flat = column.flatten()
    width = int(lengths[0])
    if flat.null_count:
        _refuse(
            name, first + int(np.argmax(flat.is_null().to_numpy(zero_copy_only=False))) // width, "has a gap"
        )
    values = numbers(flat, name, finite=False)
    if not (good := np.isfinite(values)).all():
        at = int(np.argmin(good))
        _refuse(name, first + at // width, f"holds {values[at]} at position {at % width + 1}")
    return values.reshape(-1, width)


def _lists_from_text(column: Column, name: str, first: int) -> Column:
    lists = []
    for at, text in enumerate(column.to_pylist()):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, list) or not all(
            isinstance(v, (int, float)) and not isinstance(v, bool) for v in value
        ):
            _refuse(name, first + at, f"holds {_short(text)}, which is no list of numbers such as [0.5, 1]")
        lists.append(value)
    return pa.array(lists, type=pa.list_(pa.float64()))


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _plain(column: Column) -> Column:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _parsed(column: Column, name: str, first: int) -> np.ndarray:
    try:
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        for at, text in enumerate(column.to_pylist()):
            try:
                pa.scalar(text).cast(pa.float64())
            except pa.ArrowInvalid:
                _refuse(name, first + at, f"holds {_short(text)}, which is not a number")
        raise


def _refuse_missing(column: Column, name: str, first: int) -> None:
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if column.null_count == 0 and not text:
        return
    gaps = column.is_null()
    if text:
        gaps = pc.or_(gaps, pc.equal(pc.fill_null(column, ""), ""))
    gaps = gaps.to_numpy(zero_copy_only=False)
    if gaps.any():
        _refuse(name, first + int(np.argmax(gaps)), "is empty: fill it in, or leave the row out of the file")


def _refuse(name: str, row: int, what: str) -> NoReturn:
    raise UserError(f"Row {row + 1}, column {name!r} {what}.")


def _hint(kind: pa.DataType) -> str:
    return " (a list column is given by --embedding)" if pa.types.is_list(kind) or _is_list(kind) else ""


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
