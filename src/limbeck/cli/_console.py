"""How the command line speaks: messages and progress on standard error, results on standard output."""

from __future__ import annotations

import re
import sys
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

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


def fail(message: str, code: int) -> NoReturn:
    """Say what went wrong and leave with this exit code."""
    # As text, not markup: a file name may hold square brackets.
    messages().print(Text("Error:", style="bold red"), Text(message))
    sys.exit(code)
