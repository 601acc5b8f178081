"""Students as files: JSON that is data and never code, whole, and known again if somebody changed it.

Every number comes back bit for bit. The digest recognises an edit or a damaged disk; it is no signature, since
whoever edits a file can compute it anew.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sklearn.utils.validation import check_is_fitted

import limbeck
from limbeck.records import UserError, parsed, write_whole
from limbeck.students._described import described, fitted
from limbeck.students.soft_label import SoftLabelClassifier

FORMAT, VERSION, KIND = "limbeck student", 1, "linear"
LARGEST_MIB = 512
DEEPEST = 32

Json = Mapping[str, Any]
"""Plain JSON: texts, whole numbers, finite numbers, booleans, None, lists and mappings of texts to such."""


@dataclass(frozen=True)
class SavedStudent:
    """What a student's file holds."""

    student: SoftLabelClassifier
    """Fitted; predicts what it predicted when it was saved, bit for bit."""
    provenance: dict[str, Any]
    """Where it comes from, as given to `save`."""
    features: dict[str, Any]
    """How a table becomes its features, as given to `save`; empty where that was left out."""
    written_by: str
    """Version of limbeck that wrote the file."""
    digest: str
    """SHA-256 of the content, hexadecimal."""


def save(
    student: SoftLabelClassifier,
    path: str | os.PathLike[str],
    *,
    provenance: Json | None = None,
    features: Json | None = None,
) -> None:
    """Write a fitted student as JSON; the file appears whole or not at all.

    Parameters
    ----------
    student : SoftLabelClassifier
        Fitted. Of a `DistilledClassifier`, its ``student_``.
    path : path-like
        File to write, replaced if there.
    provenance : mapping, optional
        Plain JSON to keep beside the weights: the teacher, the rows, the command, a date.
    features : mapping, optional
        Plain JSON that says how a table becomes the student's features.

    Raises
    ------
    UserError
        If the student is no `SoftLabelClassifier`, or something in it or given cannot be written as plain JSON.
    sklearn.exceptions.NotFittedError
        If the student is not fitted.
    """
    if not isinstance(student, SoftLabelClassifier):
        raise UserError(
            f"save writes a SoftLabelClassifier, got {type(student).__name__}. Of a DistilledClassifier save "
            "student_; other estimators have skops or ONNX."
        )
    check_is_fitted(student)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "limbeck": limbeck.__version__,
        "kind": KIND,
        "student": described(student),
        "features": _plain({} if features is None else features, "features"),
        "provenance": _plain({} if provenance is None else provenance, "provenance"),
    }
    try:
        text = json.dumps({**content, "digest": _digest(content)}, allow_nan=False, ensure_ascii=False)
        data = text.encode("utf-8") + b"\n"
    except UnicodeEncodeError as error:
        _refuse(f"A text holds half a character ({error}), which no file can hold: correct it.", error)
    if len(data) > LARGEST_MIB * 2**20:
        _refuse(
            f"The file would take {len(data) / 2**20:.0f} MiB, and files above {LARGEST_MIB} MiB are not read."
        )
    write_whole(Path(path), data)


def load(path: str | os.PathLike[str]) -> SoftLabelClassifier:
    """Student of a file that `save` wrote, fitted; see `read` for what else the file holds and what is refused."""
    return read(path).student


def read(path: str | os.PathLike[str]) -> SavedStudent:
    """Student of a file that `save` wrote, with its provenance and features. Nothing in the file is run.

    Raises
    ------
    UserError
        If the file is missing, larger than 512 MiB, no JSON or no student, was edited after it was saved, or
        comes from a newer version of limbeck.
    """
    content = _content(Path(path))
    try:
        student = fitted(content["student"])
        plain = {name: _plain(content[name], name) for name in ("provenance", "features")}
        return SavedStudent(student, **plain, written_by=str(content["limbeck"]), digest=content["digest"])
    except (UserError, KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        _refuse(f"{path} is not a student of this version of limbeck: {what}", error)


# -- the file ------------------------------------------------------------------------------------


def _content(path: Path) -> dict[str, Any]:
    """The file's mapping, of a known format and version, with the digest it should have."""
    data = _bytes(path)
    try:
        content = parsed(data.decode("utf-8"))
        found = _digest({k: v for k, v in content.items() if k != "digest"})
    except (ValueError, AttributeError, RecursionError) as error:
        what = "a pickle or another binary file" if data[:1] in (b"\x80", b"P") else "not a student's JSON"
        _refuse(
            f"{path} is {what} ({type(error).__name__}: {str(error)[:80]}). limbeck.save writes one.", error
        )
    if content.get("format") != FORMAT:
        _refuse(f"{path} is JSON, but not a student of limbeck: limbeck.save writes one.")
    version = content.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        _refuse(f"{path} has format version {version!r}, which never existed: save the student again.")
    if version > VERSION or content.get("kind") != KIND:
        _refuse(
            f"{path} comes from a newer version of limbeck (format {version}, kind {content.get('kind')!r}, written "
            f"by {content.get('limbeck')!r}); this one, {limbeck.__version__}, reads format {VERSION}: upgrade."
        )
    if content.get("digest") != found:
        _refuse(
            f"{path} was edited after it was saved, or is damaged: its content does not have the digest it was "
            "saved with. Save the student again."
        )
    return content


def _bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for a writer
            _refuse(f"{path} is a folder, a pipe or a device, not a file.")
        with path.open("rb") as file:
            data = file.read(LARGEST_MIB * 2**20 + 1)
    except OSError as error:
        _refuse(f"{path} cannot be read: {error.strerror or error}.", error)
    if len(data) > LARGEST_MIB * 2**20:
        _refuse(f"{path} is larger than {LARGEST_MIB} MiB, the most that is read.")
    return data


def _digest(content: Json) -> str:
    """SHA-256 of the content written canonically: spaces and the order of keys do not matter, all else does."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _plain(value: Any, at: str, depth: int = 0) -> Any:
    """The value as plain JSON that comes back equal; UserError naming the place where it is not."""
    if depth > DEEPEST:
        raise UserError(f"{at[:60]} is nested more than {DEEPEST} deep.")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(v, f"{at}.{key}", depth + 1) for key, v in value.items()}
    if depth and isinstance(value, list):
        return [_plain(v, f"{at}[{i}]", depth + 1) for i, v in enumerate(value)]
    if depth and isinstance(value, (int, float)) and math.isfinite(value):
        return value
    raise UserError(
        f"{at} is {value!r:.60} ({type(value).__name__}), which is not plain JSON: give texts, numbers, booleans, "
        "None, lists, and mappings of texts to such."
    )


def _refuse(message: str, error: BaseException | None = None) -> NoReturn:
    raise UserError(message) from error


__all__ = ["SavedStudent", "load", "read", "save"]
