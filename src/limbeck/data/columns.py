"""One column of a table as numbers, text or vectors, or an error that names the row and the column.

Rows count from 1, the first below the header; ``first`` is how many rows came before the column's own.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from limbeck.records import UserError

Column = Any
"""A `pyarrow.Array`: values of one column, of any type."""


def numbers(
    column: Column, name: str, first: int = 0, *, finite: bool = True, gaps: bool = False
) -> np.ndarray:
    """Values (m,) as float64, or in the shorter floats they were stored in; text is read as decimal numbers or true and
    false.

    Raises
    ------
    UserError
        If a value is missing or not a number, or not finite where ``finite``: naming row and column. Where ``gaps``,
        missing ones are NaN, which is no error then.
    """
    column = _plain(column)
    if gaps:
        column = _opened(column)
    else:
        _refuse_missing(column, name, first)
    kind = column.type
    if pa.types.is_null(kind):
        values = np.full(len(column), np.nan)
    elif _is_text(kind):
        values = _parsed(pc.utf8_trim_whitespace(column), name, first)
    elif pa.types.is_floating(kind) and kind.bit_width < 64:
        values = column.to_numpy(zero_copy_only=False)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    elif pa.types.is_boolean(kind):
        values = column.cast(pa.int8()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    else:
        raise UserError(f"Column {name!r} holds {kind}: numbers are needed{_hint(kind)}.")
    if finite and not (good := np.isfinite(values) | (gaps & np.isnan(values))).all():
        at = int(np.argmin(good))
        _refuse(name, first + at, f"holds {values[at]}, which is not a finite number")
    return values


def missing(column: Column) -> np.ndarray:
    """Which cells (m,) hold nothing: null, or text of nothing but blanks."""
    column = _plain(column)
    if _is_text(column.type):
        column = pc.utf8_trim_whitespace(column)
    return _gaps(column)


def without(column: Column, words: Collection[str]) -> Column:
    """The column with null in place of cells that hold one of these words."""
    column = _plain(column)
    if not _is_text(column.type):
        return column
    return pc.if_else(_are_words(column, words), pa.scalar(None, column.type), column)


def held(column: Column, words: Collection[str]) -> set[str]:
    """Which of these words cells of the column hold."""
    column = _plain(column)
    if not _is_text(column.type):
        return set()
    return set(pc.unique(pc.utf8_trim_whitespace(pc.filter(column, _are_words(column, words)))).to_pylist())


def _are_words(column: Column, words: Collection[str]) -> Column:
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.fill_null(pc.is_in(trimmed, value_set=pa.array(sorted(words), type=trimmed.type)), False)


def digits_of(column: Column) -> Column:
    """The column with "1" and "0" in place of text that says true and false, in any case."""
    column = _plain(column)
    if not _is_text(column.type):
        return column
    said = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    as_digit = pc.if_else(pc.equal(said, "true"), "1", pc.if_else(pc.equal(said, "false"), "0", column))
    return as_digit.cast(column.type)


def texts(column: Column, name: str, first: int = 0, *, blank: bool = False) -> list[str]:
    """Values as text: whole numbers without a decimal point, so that ids match across file formats.

    Text of nothing but blanks is missing unless ``blank``.

    Raises
    ------
    UserError
        If a value is missing, of another kind, or a whole number stored as a float too short to tell it from its
        neighbours: naming row and column.
    """
    column = _plain(column)
    if not (blank and _is_text(column.type) and column.null_count == 0):
        _refuse_missing(column, name, first)
    if pa.types.is_floating(column.type):
        _refuse_ambiguous(column, name, first)
        return [str(int(v)) if v.is_integer() else repr(v) for v in column.to_pylist()]
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        raise UserError(f"Column {name!r} holds {column.type}: text or whole numbers are needed.")
    try:
        return [v if isinstance(v, str) else str(v) for v in column.to_pylist()]
    except UnicodeDecodeError as error:
        raise UserError(
            f"Column {name!r} holds text that is not UTF-8 ({error}): the file is damaged."
        ) from error


def _refuse_ambiguous(column: Column, name: str, first: int) -> None:
    """Refuse floats from 2^53 on (2^24 of 32 bits): each may stand for several whole numbers."""
    values = column.to_numpy(zero_copy_only=False)
    limit = 2.0 ** (np.finfo(values.dtype).nmant + 1)
    if (large := np.isfinite(values) & (np.abs(values) >= limit)).any():
        at = int(np.argmax(large))
        _refuse(
            name,
            first + at,
            f"holds {int(values[at])} as a {8 * values.itemsize}-bit float, which may have been rounded from "
            "another whole number. Store ids as whole numbers or text in every step before; a column that was joined "
            "with missing values becomes floats",
        )


def as_lists(column: Column, name: str, first: int = 0) -> Column:
    """The column; text whose first value starts with a bracket becomes JSON lists of numbers, null where it is empty.

    Raises
    ------
    UserError
        If a value is not such a list: naming row and column.
    """
    column = _plain(column)
    if not _is_text(column.type):
        return column
    cells = pc.drop_null(_opened(column))
    if not len(cells) or not cells[0].as_py().lstrip().startswith("["):
        return column
    return _lists_from_text(column, name, first)


def vectors(column: Column, name: str, first: int = 0) -> np.ndarray:
    """Values (m, width) of a column of lists of numbers; text is read as a JSON list.

    Raises
    ------
    UserError
        If a value is missing, no list of numbers, or of another length than the first.
    """
    column = _plain(column)
    _refuse_missing(column, name, first)
    if _is_text(column.type):
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


def vectors_with_gaps(column: Column, name: str, first: int = 0, *, width: int) -> np.ndarray:
    """Values (m, width) of a column of lists of numbers, NaN where a list or one of its numbers is missing.

    Raises
    ------
    UserError
        If a value is no list of ``width`` numbers: naming its row.
    """
    column = as_lists(column, name, first)
    values = np.full((len(column), width), np.nan, dtype=np.float16)  # joined to others, it takes their type
    rows = np.flatnonzero(~missing(column))
    if len(rows):
        column = column.take(pa.array(rows))
        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        if (odd := lengths != width).any():
            at = int(np.argmax(odd))
            _refuse(name, first + int(rows[at]), f"holds a list of {lengths[at]} where {width} are needed")
        found = numbers(column.flatten(), name, finite=False, gaps=True).reshape(-1, width)
        values = values.astype(found.dtype)
        values[rows] = found
    return values


def _lists_from_text(column: Column, name: str, first: int) -> Column:
    lists = []
    for at, text in enumerate(_opened(column).to_pylist()):
        if text is None:
            lists.append(None)
            continue
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


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


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
        flags = digits_of(column)
        if set(pc.unique(pc.drop_null(flags)).to_pylist()) <= {"0", "1"}:
            return flags.cast(pa.float64()).to_numpy(zero_copy_only=False)
        for at, text in enumerate(column.to_pylist()):
            try:
                pa.scalar(text).cast(pa.float64())
            except pa.ArrowInvalid:
                hint = ": write a decimal point and no separators of thousands" if "," in text else ""
                _refuse(name, first + at, f"holds {_short(text)}, which is not a number{hint}")
        raise


def _gaps(column: Column) -> np.ndarray:
    gaps = column.is_null()
    if _is_text(column.type):
        gaps = pc.or_(gaps, pc.equal(pc.fill_null(column, ""), ""))
    return gaps.to_numpy(zero_copy_only=False)


def _opened(column: Column) -> Column:
    """The column with null in place of text that is blank."""
    if not _is_text(column.type):
        return column
    return pc.if_else(pa.array(missing(column)), pa.scalar(None, column.type), column)


def _refuse_missing(column: Column, name: str, first: int) -> None:
    if column.null_count == 0 and not _is_text(column.type):
        return
    gaps = _gaps(column)
    if gaps.any():
        _refuse(name, first + int(np.argmax(gaps)), "is empty: fill it in, or leave the row out of the file")


def _refuse(name: str, row: int, what: str) -> NoReturn:
    raise UserError(f"Row {row + 1}, column {name!r} {what}.")


def _hint(kind: pa.DataType) -> str:
    return " (a list column is given by --embedding)" if pa.types.is_list(kind) or _is_list(kind) else ""


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
