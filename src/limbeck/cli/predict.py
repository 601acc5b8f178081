"""``limbeck predict``: a saved student's answers for a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.cli import _options as options
from limbeck.cli import _provenance as provenance
from limbeck.cli._console import Line, messages, tell
from limbeck.cli._progress import Bar
from limbeck.records import UserError

if TYPE_CHECKING:
    from limbeck.students import SavedStudent
    from limbeck.students.evidence import Proof

EPILOG = """Example:

\b
  limbeck predict student.json new.parquet --id doc --out answers.csv

On a Dask cluster, whose workers see the same files, into a folder of parts that the workers write themselves:

\b
  limbeck predict student.json pool/ --out answers \\
      --scheduler tcp://host:8786

Columns of the output: id, label, and a probability for every class; with --teacher-norm also whether the answer is
proved, and the norm below which it would be."""


def predict(
    student: Annotated[Path, typer.Argument(metavar="STUDENT", help="A student saved by limbeck distill.")],
    table: options.TableArgument,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Answers: .csv, .jsonl or .parquet; a name without an ending is a folder of .parquet.",
        ),
    ],
    identifier: options.Identifier = None,
    teacher_norm: Annotated[
        float | None,
        typer.Option(
            metavar="B",
            help="Say which answers are proved for every linear teacher whose weights have at most this norm; "
            "needs a student distilled with --alpha 0 --evidence.",
        ),
    ] = None,
    scheduler: options.Scheduler = "local",
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Answer for every row of a table, or of a folder of tables, that need not fit in memory."""
    from limbeck.data.blocks import Blocks
    from limbeck.data.features import Features
    from limbeck.data.results import ENDINGS
    from limbeck.data.sources import TableSource, files_of
    from limbeck.data.unfinished import Unfinished, UnfinishedFolder
    from limbeck.engine import engine, versions
    from limbeck.students.answering import Answering
    from limbeck.students.saving import read

    options.check_output(out, overwrite and bool(out.suffix), list(ENDINGS) if out.suffix else ())
    saved = read(student)
    try:
        features = Features.from_json(saved.features["table"])
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{student} was not saved by limbeck distill: it does not say which columns of a table are its features. "
            "Load it in Python with limbeck.load."
        ) from error
    options.show_features(features)
    proof = None if teacher_norm is None else _proof(student, saved, teacher_norm)
    identifier = options.identifier_of(options.open_head(table), identifier)
    blocks = Blocks(TableSource(table.absolute(), features, identifier))
    tables = [provenance.state_of(path) for path in files_of(table)]
    origin = {
        "student": saved.digest,
        "id": identifier,
        "tables": tables,
        "teacher_norm": teacher_norm,
        "made by": versions(),
    }
    with engine(scheduler, options.threads(jobs)) as at, Bar(messages(), "parts") as bar:
        kind = Unfinished if out.suffix else UnfinishedFolder
        parts = kind(out, origin, resume=resume, overwrite=overwrite)
        bar.begin(blocks.group_count, "predicting")
        for _ in parts.written(at, Answering(saved.student, proof), blocks.groups()):
            bar.step()
        provenance.check_unchanged()
        count = parts.assemble()
    assumptions = () if proof is None else proof.assumptions
    tell(_lines(count, out, assumptions), {"rows": count, "answers": out, "proved_if": assumptions}, as_json)


def _lines(count: int, out: Path, assumptions: Sequence[str]) -> Iterator[Line]:
    yield f"{count} rows answered:", out
    if assumptions:
        yield None, "The answers marked as proved are the teacher's, provided that"
    for assumption in assumptions:
        yield None, f"- {assumption}"


def _proof(path: Path, saved: SavedStudent, teacher_norm: float) -> Proof:
    from limbeck.students.evidence import Evidence, Proof

    if "evidence" not in saved.features:
        raise UserError(
            f"{path} does not hold the points it was learned from, without which nothing is proved: distil it again "
            "with --alpha 0 --evidence."
        )
    return Proof.of(Evidence.from_json(saved.features["evidence"]), teacher_norm)
