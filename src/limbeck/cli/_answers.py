"""Where the answers are, beside the points or in a table of their own, and what the commands say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.cli import _options as options
from limbeck.cli._console import Line, messages
from limbeck.records import UserError

if TYPE_CHECKING:
    import numpy as np

    from limbeck.data.answers import Answers, Teacher
    from limbeck.data.features import Features
    from limbeck.data.pool import Answered, Pool
    from limbeck.data.sources import StoredPool
    from limbeck.data.tables import Table


MANY_CLASSES = 50
"""Classes of hard labels from which on their number is printed before work starts."""


@dataclass(frozen=True)
class Wanted:
    """What the options say of the answers."""

    probability: Sequence[str] | None
    """As `limbeck.cli._options` has it; the others, too."""
    logit: Sequence[str] | None
    log_probability: Sequence[str] | None
    label: str | None
    classes: str | None
    unanswered: str
    top_k: str | None
    audit: str | None

    @property
    def given(self) -> bool:
        """Whether they say anything."""
        columns = self.probability, self.logit, self.log_probability, self.label
        return any((*columns, self.audit, self.top_k, self.unanswered != "error"))

    def teacher(self, said: Table) -> Teacher:
        """Columns of the answers in this table."""
        columns = self.probability, self.logit, self.log_probability, self.label, self.classes
        return options.teacher_of(said, *columns, unanswered=self.unanswered, top_k=self.top_k)


@dataclass(frozen=True)
class Tables:
    """A command's points and, where there are any, the answers to learn from."""

    points: Table
    """The table of the points; of a folder, its first."""
    identifier: str | None
    """Column of ids."""
    features: Features
    """The columns that are features: those of ids and answers are none."""
    said: Table | None
    """Where the answers are; None if none are asked for."""
    teacher: Teacher | None
    """Their columns."""
    marked: str | None
    """Column that says which rows were drawn at random."""
    wanted: Wanted
    """The options."""
    apart: bool
    """Whether the answers are in a table of their own."""
    weight: str | None = None
    """Column of row weights, beside the answers if there, else beside the points."""

    @classmethod
    def of(
        cls,
        table: Path,
        answers: Path | None,
        wanted: Wanted,
        identifier: str | None,
        features: Sequence[str] | None,
        embedding: str | None,
        text: str | None,
        *,
        needed: bool = True,
        weight: str | None = None,
    ) -> Tables:
        """Find all columns; UserError if one is missing. Answers that are not ``needed`` are looked for if wanted."""
        from limbeck.data.pool import id_column
        from limbeck.data.tables import require, same_rows

        points = options.open_head(table)
        said = None
        if answers is not None:
            said = options.open_points(answers)
        elif needed or wanted.given:
            said = options.open_whole(table) if table.is_dir() else points
        identifier = options.identifier_of(points, identifier, answers=None if answers is None else said)
        teacher = marked = None
        beside: list[str] = []
        taken = {} if identifier is None else {identifier: "ids"}
        if said is not None:
            try:
                teacher = wanted.teacher(said)
            except UserError as error:
                looked = answers is None and not needed
                where = " (They are looked for beside the points without --answers TABLE.)" if looked else ""
                raise UserError(f"{error}{where}") from error
            marked = options.audit_column(said, wanted.audit)
            beside = [*teacher.columns, *([] if marked is None else [marked])]
            if weight is not None and weight in said.columns:
                beside.append(weight)
            used = dict.fromkeys(teacher.columns, "answers") | ({} if marked is None else {marked: "audit"})
            exact = {*(features or ()), embedding, text}
            # In a table of points alone, a column of the same name holds answers too, unless it is named.
            taken |= {n: use for n, use in used.items() if answers is None or n not in exact}
        if weight is not None:
            if said is None or weight not in said.columns:
                require(points, [weight])
            taken[weight] = "weights"
        chosen = options.features_of(points, features, embedding, text, taken=taken)
        own = [*chosen.needed, *([] if identifier is None else [identifier])]
        own += [weight] if weight is not None and weight not in beside else []
        if said is not None and answers is not None:
            same_rows(said, [id_column(said, points, identifier), *beside])
        else:
            own += beside
        same_rows(points, own)
        return cls(points, identifier, chosen, said, teacher, marked, wanted, answers is not None, weight)

    def answered(self, pool: Pool | StoredPool | None = None) -> Answered | None:
        """The answers, and which points they are of, in the pool where it has been read; None if none are asked for."""
        from limbeck.data.pool import answers_in, joined, read_ids

        if self.said is None or self.teacher is None:
            return None
        if not self.apart:
            answered = answers_in(self.said, self.teacher)
        else:
            known = read_ids(self.points, self.identifier) if pool is None else pool
            answered = joined(known, self.points, self.said, self.teacher, self.identifier)
        _warn_of_many(answered.answers)
        return self._weighted(answered)

    def _weighted(self, answered: Answered) -> Answered:
        from limbeck.data.pool import weights_in

        if self.weight is None or self.said is None:
            return answered
        beside = self.weight in self.said.columns
        weights = weights_in(self.said if beside else self.points, self.weight)
        weights = weights[answered.at if beside else answered.rows]
        if not weights.any():
            raise UserError(f"--weight {self.weight}: every answered row has weight 0, so that none counts.")
        return replace(answered, answers=replace(answered.answers, weights=weights))

    def drawn(self, answered: Answered | None, *, measured: bool = True) -> Drawn | None:
        """Which of them were drawn at random, see `drawn`; None if all were."""
        if self.said is None or answered is None:
            return None
        return drawn(self.said, self.marked, self.wanted.audit, answered, measured=measured)

    def lines(self, answered: Answered | None, random: Drawn | None) -> list[Line]:
        """What is worth saying of them, see `lines`."""
        weighted: list[Line] = []
        if answered is not None and (weights := answered.answers.weights) is not None:
            shown = f"column {self.weight!r}: {len(weights)} rows count as {weights.sum():.6g}"
            weighted = [("weights", f"{shown}; agreement counts each held-out row once")]
        return [*lines(answered, random, by_row=self.apart and self.identifier is None), *weighted]


def _warn_of_many(answers: Answers) -> None:
    """Print, before the work starts, that labels make many classes."""
    names = answers.classes
    if answers.kind == "label" and len(names) > MANY_CLASSES:
        messages().print(
            f"The labels make {len(names)} classes ({', '.join(map(repr, names[:3]))}, ...): each is learned, which "
            "takes time. Scores are divided by the largest possible one and given as --teacher-probability."
        )


def wordless(features: Features, X: Any) -> list[Line]:
    """How many rows' text holds no known word; nothing if there are none."""
    count = features.without_words(X)
    if not count:
        return []
    has = "has" if count == 1 else "have"
    return [("text", f"{count} of {X.shape[0]} rows {has} no known word in column {features.text!r}")]


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
        words = ", ".join(map(repr, answered.answers.missing))
        note = (
            f" ({words} counts as missing; if it is a class, name it in --classes)"
            if words and answered.answers.kind == "label"
            else ""
        )
        said.append(("answers", unanswered_said(answered.unanswered, answered.size) + note))
    if random is not None:
        said.append(("audit", random.said))
    return said


def notes(said: list[Line]) -> dict[str, str]:
    """The same `lines` for a page and a saved file."""
    return {str(name): str(text) for name, text in said}
