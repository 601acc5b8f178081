"""``limbeck predict``: a saved student's answers for a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from limbeck.cli import _options as options
from limbeck.cli._console import messages, results
from limbeck.records import UserError

if TYPE_CHECKING:
    from limbeck.students import SavedStudent
    from limbeck.students._certify import ProvedAnswers
    from limbeck.students.evidence import Evidence

EPILOG = """Example:

\b
  limbeck predict student.json new.parquet --id doc --out answers.csv

Columns of the output: id, label, and a probability for every class; with --teacher-norm also whether the answer is
proved, and the norm below which it would be."""


def predict(
    student: Annotated[Path, typer.Argument(metavar="STUDENT", help="A student saved by limbeck distill.")],
    table: options.TableArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Answers: .csv, .jsonl or .parquet.")],
    identifier: options.Identifier = None,
    teacher_norm: Annotated[
        float | None,
        typer.Option(
            metavar="B",
            help="Say which answers are proved for every linear teacher whose weights have at most this norm; "
            "needs a student distilled with --alpha 0 --evidence.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Answer for every row of a table, a chunk at a time: the table need not fit in memory."""
    from limbeck.data.features import Features
    from limbeck.data.pool import chunks_of
    from limbeck.data.results import ENDINGS, Results
    from limbeck.students.saving import read

    options.check_output(out, overwrite, list(ENDINGS))
    saved = read(student)
    try:
        features = Features.from_json(saved.features["table"])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{student} was not saved by limbeck distill: it does not say which columns of a table are its features. "
            "Load it in Python with limbeck.load."
        ) from error
    points = options.open_points(table)
    identifier = options.identifier_of(points, identifier)
    evidence = None if teacher_norm is None else _evidence(student, saved, teacher_norm)
    model, count, proved, said = saved.student, 0, 0, ()
    with Results(out) as answers, messages().status("predicting") as status:
        for ids, X in chunks_of(points, features, identifier):
            P = model.predict_proba(X)
            columns = {
                "id": ids,
                "label": [str(label) for label in model.predict(X)],
                **{f"probability_{name}": P[:, k].tolist() for k, name in enumerate(model.classes_)},
            }
            if evidence is not None and teacher_norm is not None:
                found = _proved(evidence, X, teacher_norm)
                columns["proved"] = found.proved.astype(int).tolist()
                columns["proved_below"] = found.largest_bound.tolist()
                proved += int(found.proved.sum())
                said = found.assumptions
            answers.write(columns)
            count += len(ids)
            status.update(f"{count} rows answered")
    results().print(Text(f"{count} rows answered: {out}"), soft_wrap=True)
    if evidence is not None:
        results().print(Text(f"{proved} of them are proved to be the teacher's, provided that"))
        for assumption in said:
            results().print(Text(f"- {assumption}"))


def _evidence(path: Path, saved: SavedStudent, teacher_norm: float) -> Evidence:
    from limbeck.students.evidence import Evidence

    if not 0 < teacher_norm < float("inf"):
        raise UserError(f"--teacher-norm {teacher_norm:g}: a positive number is needed.")
    if "evidence" not in saved.features:
        raise UserError(
            f"{path} does not hold the points it was learned from, without which nothing is proved: distil it again "
            "with --alpha 0 --evidence."
        )
    return Evidence.from_json(saved.features["evidence"])


def _proved(evidence: Evidence, X: Any, teacher_norm: float) -> ProvedAnswers:
    try:
        return evidence.prove(X, teacher_norm)
    except ValueError as error:
        raise UserError(f"--teacher-norm: {error}") from error
