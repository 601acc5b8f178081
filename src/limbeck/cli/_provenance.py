"""How a command was run, for reports and saved files."""

from __future__ import annotations

import hashlib
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from limbeck import __version__
from limbeck.records import UserError

READ: dict[Path, list[str | int]] = {}
"""Tables the command has opened, each with its state at that moment."""

WRITTEN: set[Path] = set()
"""Files that the command will write."""


def state_of(path: Path) -> list[str | int]:
    """What tells a file from its changed self; a time of modification alone can be set back."""
    at = path.stat()
    return [str(path.absolute()), at.st_size, at.st_mtime_ns, at.st_ctime_ns, at.st_ino]


def note(path: Path) -> None:
    """Remember the state of a table that is being opened; refuse one that would be overwritten, or is a pipe."""
    if path.is_file():
        READ.setdefault(path.absolute(), state_of(path))
        _check_apart()
    elif path.exists() and not path.is_dir():
        raise UserError(
            f"{path} is a pipe or a device, and tables are read more than once: save it as a file."
        )


def will_write(path: Path) -> None:
    """Remember a file that the command will write; refuse one that it reads."""
    WRITTEN.add(path)
    _check_apart()


def _check_apart() -> None:
    for out in WRITTEN:
        if out.exists() and any(source.exists() and out.samefile(source) for source in READ):
            raise UserError(
                f"{out} is read by this command and would be overwritten: choose another output name."
            )


def changed() -> str | None:
    """What to say of a table that is another one than when the command opened it; None if there is none."""
    for path, before in READ.items():
        if not path.is_file() or state_of(path) != before:
            return (
                f"{path} changed while it was read, so that its rows and answers may not belong together. Nothing was "
                "learned from it: run the command again on a file that is at rest."
            )
    return None


def check_unchanged() -> None:
    """Raise a `UserError` if a table changed since the command opened it."""
    said = changed()
    if said is not None:
        raise UserError(said)


def sources(files: Mapping[str, Path | None], **facts: str) -> dict[str, str]:
    """Command, digests of the files read (of a folder, of its tables), facts, and versions.

    A `UserError` if a table changed meanwhile. To be called once all tables are read: what becomes of them later is
    nobody's business.
    """
    found = {
        "command": "limbeck " + shlex.join(sys.argv[1:]),
        **{f"{name}, SHA-256": f"{digest(path)}  {path.name}" for name, path in _single(files)},
        **facts,
        "limbeck": __version__,
        "versions": f"Python {platform.python_version()}, NumPy {version('numpy')}, SciPy {version('scipy')}, "
        f"scikit-learn {version('scikit-learn')}",
    }
    check_unchanged()
    READ.clear()
    # The name of a file may hold bytes that are no text.
    return {name: text.encode("utf-8", "backslashreplace").decode() for name, text in found.items()}


def _single(files: Mapping[str, Path | None]) -> Iterator[tuple[str, Path]]:
    for name, path in files.items():
        if path is not None and path.is_dir():
            from limbeck.data.sources import files_of

            yield from ((f"{name} {file.name}", file) for file in files_of(path))
        elif path is not None:
            yield name, path


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
