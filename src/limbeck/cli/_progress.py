"""Progress on standard error: a bar with time left on a terminal, a line every tenth of the work elsewhere."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bar:
    """Progress through a known number of pieces.

    Parameters
    ----------
    console : Console
        Where it is shown.
    unit : str
        What a piece is called, in the plural.
    """

    def __init__(self, console: Console, unit: str = "cells") -> None:
        self._console, self._unit = console, unit
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task, self._total, self._done, self._said = None, 0, 0, 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._bar.stop()

    def begin(self, total: int | None, description: str, done: int = 0) -> None:
        """Show the whole; None where nobody knows how much there is."""
        self._total, self._done = total or 0, done
        self._task = self._bar.add_task(description, total=total, completed=done)

    def step(self, description: str | None = None) -> None:
        """Show one more piece."""
        self._done += 1
        if self._task is not None:
            self._bar.update(self._task, advance=1, description=description)
        tenth = 10 * self._done // self._total if self._total else 0
        if not self._console.is_terminal and tenth > self._said:
            self._said = tenth
            said = f" ({description})" if description else ""
            self._console.print(f"{self._done} of {self._total} {self._unit} finished{said}")
