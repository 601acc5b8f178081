"""``limbeck predict``: a saved student's answers for a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from limbeck.cli import _options as options
from limbeck.cli._console import messages, results
from limbeck.records import UserError

EPILOG = """Example:

\b
  limbeck predict student.json new.parquet --id doc --out answers.csv

Columns of the output: id, label, and a probability for every class."""


def predict(
    student: Annotated[Path, typer.Argument(metavar="STUDENT", help="A student saved by limbeck distill.")],
    table: options.TableArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Answers: .csv, .jsonl or .parquet.")],
    identifier: options.Identifier = None,
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
    model, count = saved.student, 0
    with Results(out) as answers, messages().status("predicting") as status:
        for ids, X in chunks_of(points, features, identifier):
            P = model.predict_proba(X)
            answers.write(
                {
                    "id": ids,
                    "label": [str(label) for label in model.predict(X)],
                    **{f"probability_{name}": P[:, k].tolist() for k, name in enumerate(model.classes_)},
                }
            )
            count += len(ids)
            status.update(f"{count} rows answered")
    results().print(Text(f"{count} rows answered: {out}"), soft_wrap=True)
