"""What the commands say of answers: rows without one, and which were drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from limbeck.cli._console import Line
from limbeck.records import UserError

if TYPE_CHECKING:
    import numpy as np

    from limbeck.data.pool import Answered
    from limbeck.data.tables import Table

USUAL = "audit"
"""Column by which ``limbeck label`` says which answers it bought at random."""


def unanswered_said(unanswered: int, size: int) -> str:
    """How many rows have no answer; nothing if all have one."""
    if not unanswered:
        return ""
    return f"{unanswered} of {size} rows {'has' if unanswered == 1 else 'have'} no answer: not learned from"


@dataclass(frozen=True)
class Drawn:
    """Which answers were drawn at random, where a column says that others were chosen."""

    column: str
    """The column."""
    table: str
    """Name of its file."""
    asked: bool
    """Whether it was named, or found."""
    random: np.ndarray
    """Which answers (m,) it marks."""

    @property
    def said(self) -> str:
        """In a sentence."""
        found = "" if self.asked else ", found unasked (--audit '' takes all for random)"
        count = int(self.random.sum())
        return (
            f"{count} of {len(self.random)} answers were drawn at random, says column {self.column!r} of "
            f"{self.table}{found}"
        )


def audit_column(table: Table, wanted: str | None) -> str | None:
    """Column that says which answers were drawn at random: the one asked for, else ``audit`` where it holds 0 and 1."""
    from limbeck.data.pool import flags
    from limbeck.data.tables import require

    if wanted is not None:
        require(table, [wanted] if wanted else [])
        return wanted or None
    if USUAL not in table.columns:
        return None
    try:
        flags(table, USUAL)
    except UserError:  # a column of another meaning
        return None
    return USUAL


def drawn(
    table: Table, column: str | None, wanted: str | None, answered: Answered, *, measured: bool = True
) -> Drawn | None:
    """Which of the answers a column of 0 and 1 marks as drawn at random; None where there is no such column.

    Raises
    ------
    UserError
        If an answered row is not marked 0 or 1, or none is marked 1 where something is to be ``measured``.
    """
    if column is None:
        return None
    import numpy as np

    from limbeck.data.pool import flags

    marks = flags(table, column)[answered.at]
    if (empty := np.isnan(marks)).any():
        row = int(answered.at[int(np.argmax(empty))]) + 1
        raise UserError(
            f"{table.path}: row {row}, column {column!r} is empty where there is an answer: 0 or 1 is needed, by which "
            "rows drawn at random are told from others. If all were drawn at random, say --audit ''."
        )
    if measured and not marks.any():
        raise UserError(
            f"{table.path}: column {column!r} marks no answer as drawn at random, and nothing can be measured without "
            "some. If all were drawn at random, say --audit ''."
        )
    return Drawn(column, table.path.name, wanted is not None, marks.astype(bool))


def lines(answered: Answered | None, random: Drawn | None = None, *, by_row: bool = False) -> list[Line]:
    """What is worth saying of them: joined by row number, rows without an answer, rows that were chosen."""
    said: list[Line] = []
    if by_row:
        said.append(("ids", "Answers are joined by row number, counted from 1: the points have no ids"))
    if answered is not None and answered.unanswered:
        said.append(("answers", unanswered_said(answered.unanswered, answered.size)))
    if random is not None:
        said.append(("audit", random.said))
    return said


def notes(said: list[Line]) -> dict[str, str]:
    """The same `lines` for a page and a saved file."""
    return {str(name): str(text) for name, text in said}
