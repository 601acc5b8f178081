"""How the command line speaks: messages and progress on standard error, results on standard output."""

from __future__ import annotations

import errno
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from limbeck.records import UserError

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal would obey rather than show: control characters, turns of writing, halves of characters."""


class _Harmless(Console):
    """A console on which ids, names and paths from files are seen and never obeyed."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(self._shown(o) for o in objects), **options)

    def _shown(self, thing: Any) -> Any:
        if isinstance(thing, str):
            return self._seen(thing)
        if isinstance(thing, Text) and self._seen(thing.plain) != thing.plain:
            return Text(self._seen(thing.plain), style=thing.style)
        return thing

    def _seen(self, text: str) -> str:
        text = CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding)


def messages() -> Console:
    """Console for progress and errors."""
    return _Harmless(stderr=True, highlight=False)


def results() -> Console:
    """Console for what a command found."""
    return _Harmless(highlight=False)


Line = tuple[str | None, str | Path]
"""A name and what is said under it, or None and a sentence."""


def tell(lines: Iterable[Line | Table], facts: Mapping[str, Any], as_json: bool) -> None:
    """What a command found: names with what is said of them, and tables, for people; or one JSON object for scripts.

    Raises
    ------
    UserError
        If standard output cannot take it: what the command wrote elsewhere is whole by then.
    """
    try:
        if as_json:
            _write_json(facts)
        else:
            _write_lines(lines)
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:  # nobody listens any more
            raise
        raise UserError(
            f"Standard output could not be written: {error.strerror}. Only what the command says of its results "
            "is lost; the files it was to write are whole."
        ) from error


def _write_json(facts: Mapping[str, Any]) -> None:
    """One object on one line; escaped where the stream's encoding does not hold it."""
    if sys.stdout is None:  # closed by whoever started the command
        return
    text = json.dumps(_plain(facts), ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(_plain(facts), allow_nan=False)
    sys.stdout.write(text + "\n")


def _write_lines(lines: Iterable[Line | Table]) -> None:
    console = results()
    for line in lines:
        if isinstance(line, Table):
            console.print(line)
            continue
        name, said = line
        if isinstance(said, Path):  # in one piece, so that it can be copied
            console.print(Text(f"{name:<9} {said}"), soft_wrap=True)
            continue
        if name is None:
            console.print(Text(said))
            continue
        for piece in Text(said).wrap(console, max(20, console.width - 10)):
            console.print(Text(f"{name:<10}{piece.plain.rstrip()}"), soft_wrap=True)
            name = ""


def _plain(value: Any) -> Any:
    """Plain JSON: arrays as lists, null for what is no finite number; objects that are no results are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({f.name: getattr(value, f.name) for f in fields(value) if f.repr})
    if isinstance(value, Mapping):
        return {str(name): _plain(said) for name, said in value.items() if not _foreign(said)}
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value if not _foreign(one)]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _foreign(value: Any) -> bool:
    known = str | int | float | Path | Mapping | list | tuple | np.ndarray | np.generic | None
    return not (isinstance(value, known) or is_dataclass(value))


def warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a Python warning as one paragraph on standard error, without the place in the code that issued it."""
    messages().print(Text("Warning:", style="bold yellow"), Text(str(message)))


def fail(message: str, code: int) -> NoReturn:
    """Say what went wrong and leave with this exit code."""
    # As text, not markup: a file name may hold square brackets.
    messages().print(Text("Error:", style="bold red"), Text(message))
    sys.exit(code)
