"""``limbeck audit``: after how many answers somebody has got one's own linear model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text as Words

from limbeck.cli import _options as options
from limbeck.cli import _provenance as provenance
from limbeck.cli._console import Line, messages, tell
from limbeck.records import UserError

if TYPE_CHECKING:
    from limbeck.budget.leak import ScoringModel
    from limbeck.data.features import Features

EPILOG = """Examples:

\b
  limbeck audit student.json pool.parquet --decimals 2..4 --report leak.html
\b
  limbeck audit weights.npz
      (arrays coef and intercept, of a model of standardised features)

It rates a model you own, with the weights at hand; nothing is asked over a network."""

MOST_DECIMALS = 12
MOST_DENSE = 10**8
"""Entries of a sparse pool that is made dense."""


def audit(
    model: Annotated[Path, typer.Argument(metavar="STUDENT.json|WEIGHTS.npz", help="The model you own.")],
    pool: Annotated[
        Path | None,
        typer.Argument(
            metavar="[POOL]",
            help="Points such as are asked about; required with STUDENT.json. Default: standard normal points, which "
            "suit weights of standardised features only.",
        ),
    ] = None,
    decimals: Annotated[
        str, typer.Option(metavar="A..B", help="Decimals that answers might be rounded to.")
    ] = "0..6",
    features: options.FeatureGlobs = None,
    embedding: options.Embedding = None,
    repeats: Annotated[int, typer.Option(min=1, help="Independent sets of queries.")] = 3,
    seed: options.Seed = 0,
    report: options.Report = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Rate how fast your own linear scoring model is copied from its answers: exact, rounded, or labels only."""
    places = _places(decimals)
    options.check_output(report, overwrite, [".html"])
    import numpy as np

    from limbeck.budget.leak import audit_leak

    scoring, known = _model(model)
    if pool is None and model.suffix.lower() == ".json":
        raise UserError(
            f"{model}: no pool is given. Standard normal points mean nothing to a student whose features have units of "
            "their own. Give the points that are asked about: limbeck audit STUDENT.json POOL."
        )
    points = None if pool is None else _points(pool, features, embedding, known)
    try:
        with messages().status("copying") as status:
            found = audit_leak(
                scoring,
                points,
                decimals=places,
                repeats=repeats,
                watch=lambda what: status.update(f"copying from {what}"),
                rng=np.random.default_rng(seed),
            )
    except ValueError as error:
        raise UserError(str(error)) from error
    from limbeck.pages.audit import COLUMNS, notes, page, queries, rows

    shown = Table(*COLUMNS, box=None, pad_edge=False)
    for row in rows(found):
        shown.add_row(*map(Words, row))
    if report is not None:
        from limbeck.report import write

        write(page(found, provenance.sources({"model": model, "pool": pool}, seed=str(seed))), report)
    lines: list[Line | Table] = [
        shown,
        (None, f"{found.equations} exact answers are as many as there are unknowns in a class."),
        *((None, note) for note in notes(found)),
        ("queries", queries(found)),
        *([] if report is None else [("report", report)]),
    ]
    tell(lines, {**vars(found), "report": report}, as_json)


def _places(text: str) -> list[int]:
    match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if first > last or last > MOST_DECIMALS:
        raise UserError(
            f"--decimals {text}: write a number or a range, such as 3 or 0..6, up to {MOST_DECIMALS}."
        )
    return list(range(first, last + 1))


def _model(path: Path) -> tuple[ScoringModel, Features | None]:
    import numpy as np

    from limbeck.budget.leak import ScoringModel, from_arrays

    if not path.is_file():
        raise UserError(f"{path}: no such file.")
    try:
        if path.suffix.lower() == ".npz":
            options.open_points(path)  # refuses archives that would unpack to more than a table may
            with np.load(path, allow_pickle=False) as arrays:
                return from_arrays({name: arrays[name] for name in arrays.files}), None
        if path.suffix.lower() == ".json":
            from limbeck.data.features import Features
            from limbeck.students import read

            saved = read(path)
            made = saved.features.get("table")
            weights = ScoringModel(saved.student.coef_, saved.student.intercept_)
            return weights, None if made is None else Features.from_json(made)
    except UserError:
        raise
    except Exception as error:  # a damaged archive raises anything from BadZipFile to UnpicklingError
        raise UserError(f"{path} holds no linear model: {error}") from error
    raise UserError(f"{path}: the model is a student's .json or an .npz with arrays coef and intercept.")


def _points(path: Path, globs: list[str] | None, embedding: str | None, known: Features | None):
    from scipy.sparse import issparse

    from limbeck.data.pool import read_pool

    table = options.open_points(path)
    asked = bool(globs or embedding)
    chosen = known if known is not None and not asked else options.features_of(table, globs, embedding, None)
    X = read_pool(table, chosen, None).X
    if not issparse(X):
        return X
    n, d = X.shape
    if n * d > MOST_DENSE:
        raise UserError(
            f"{path}: the audit factorises dense points, and {n:,} rows of {d:,} features would take "
            f"{n * d * 8 / 2**30:,.1f} GiB. Give at most {MOST_DENSE // d:,} rows, drawn at random."
        )
    messages().print(
        f"The audit factorises dense points: {n:,} x {d:,} are made dense, {n * d * 8 >> 20:,} MiB."
    )
    return X.toarray()
