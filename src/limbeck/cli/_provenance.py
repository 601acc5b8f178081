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


def sources(files: Mapping[str, Path | None], **facts: str) -> dict[str, str]:
    """Command, digests of the files read (of a folder, of its tables), facts, and versions."""
    found = {
        "command": "limbeck " + shlex.join(sys.argv[1:]),
        **{f"{name}, SHA-256": f"{digest(path)}  {path.name}" for name, path in _single(files)},
        **facts,
        "limbeck": __version__,
        "versions": f"Python {platform.python_version()}, NumPy {version('numpy')}, SciPy {version('scipy')}, "
        f"scikit-learn {version('scikit-learn')}",
    }
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
