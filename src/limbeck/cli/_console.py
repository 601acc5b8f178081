"""How the command line speaks: messages and progress on standard error, results on standard output."""

from __future__ import annotations

import sys
from typing import NoReturn

from rich.console import Console
from rich.text import Text


def messages() -> Console:
    """Console for progress and errors."""
    return Console(stderr=True, highlight=False)


def results() -> Console:
    """Console for what a command found."""
    return Console(highlight=False)


def fail(message: str, code: int) -> NoReturn:
    """Say what went wrong and leave with this exit code."""
    # As text, not markup: a file name may hold square brackets.
    messages().print(Text("Error: ", style="bold red").append(Text(message, style="not bold default")))
    sys.exit(code)
