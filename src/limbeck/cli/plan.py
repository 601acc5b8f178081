"""``limbeck plan``: how many answers to buy, before any and after a pilot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.cli import _options as options
from limbeck.cli import _provenance as provenance
from limbeck.cli import _streamed as streamed
from limbeck.cli._console import Line, messages, tell
from limbeck.records import UserError

if TYPE_CHECKING:
    import numpy as np

    from limbeck.budget.plan import BudgetPlan
    from limbeck.data.pool import Named
    from limbeck.data.tables import Table
    from limbeck.students import SoftLabelClassifier

EPILOG = """Examples:

\b
  limbeck plan pool.parquet --embedding vector --target-risk 0.01
      (before any answer)
\b
  limbeck plan pool.parquet --embedding vector --target-risk 0.01 \\
      --answers pilot.csv --teacher-logit z --price 0.002

The answers must be those of rows drawn at random. If some were chosen, say which were not: --audit names a column of
0 and 1 beside the answers, as limbeck label writes it."""

TargetRisk = Annotated[
    float, typer.Option(metavar="R", help="Largest share of points decided otherwise than by the teacher.")
]
Confidence = Annotated[float, typer.Option(metavar="C", help="How sure to be, between 0 and 1.")]
Price = Annotated[float | None, typer.Option(metavar="P", help="Of one answer.", show_default="none")]
Ridge = Annotated[
    str,
    typer.Option("--alpha", help='Ridge: a number, 0 for the paper\'s student, or "loo" to choose.'),
]


def plan(
    table: options.TableArgument,
    target_risk: TargetRisk,
    confidence: Confidence = 0.95,
    price: Price = None,
    features: options.FeatureGlobs = None,
    embedding: options.Embedding = None,
    text: options.Text = None,
    vocabulary: options.Vocabulary = 4000,
    identifier: options.Identifier = None,
    answers: options.AnswersTable = None,
    probability: options.Probability = None,
    logit: options.Logit = None,
    log_probability: options.LogProbability = None,
    label: options.Label = None,
    classes: options.Classes = None,
    audit: Annotated[
        str | None,
        typer.Option(
            metavar="COL", help="Column of 0 and 1 beside the answers: 1 where a row was drawn at random."
        ),
    ] = None,
    alpha: Ridge = "loo",
    intercept: Annotated[bool, typer.Option(help="Whether to learn an intercept.")] = True,
    orders: Annotated[int, typer.Option(min=2, help="Random orders behind the curve.")] = 20,
    stream: options.Stream = None,
    memory: options.Memory = 4.0,
    scheduler: options.Scheduler = "local",
    jobs: options.Jobs = None,
    seed: options.Seed = 0,
    report: options.Report = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Say how many answers a target takes: stop, buy so many more, look again, or not reachable."""
    student = student_of(alpha, intercept)
    check_wishes(target_risk, confidence, price)
    options.check_output(report, overwrite, [".html"])
    import numpy as np

    from limbeck.budget.plan import plan_budget
    from limbeck.data.pool import joined
    from limbeck.engine import engine

    points = options.open_head(table)
    said = None if answers is None else options.open_points(answers)
    identifier = options.identifier_of(points, identifier, needed_for="" if said is None else "--answers")
    teacher = None
    if said is not None:
        teacher = options.teacher_of(said, probability, logit, log_probability, label, classes)
    elif any((probability, logit, log_probability, label, audit)):
        raise UserError("Columns of the teacher are given without --answers: name the table that holds them.")
    chosen = options.features_of(points, features, embedding, text, taken=[identifier] if identifier else [])
    in_blocks = streamed.wanted(table, stream, memory)
    streamed.check_scheduler(scheduler, in_blocks)
    pool = streamed.opened(table, points, chosen, identifier, in_blocks, vocabulary)
    rows = replies = random = None
    if said is not None and teacher is not None and identifier is not None:
        answered = joined(pool, points, said, teacher, identifier)
        rows, replies = answered.rows, answered.answers.labels
        random = None if audit is None else _random_rows(said, audit, identifier, pool)
    try:
        with engine(scheduler, options.threads(jobs)) as at, messages().status("planning"):
            made = plan_budget(
                pool.X,
                replies,
                rows=rows,
                audit=random,
                target_risk=target_risk,
                confidence=confidence,
                price=price,
                student=student,
                orders=orders,
                rng=np.random.default_rng(seed),
                at=at,
            )
    except (ValueError, ArithmeticError) as error:
        raise UserError(str(error)) from error
    provenance.check_unchanged()
    if report is not None:
        from limbeck.pages.plan import page
        from limbeck.report import write

        facts = provenance.sources({"points": table, "answers": answers}, seed=str(seed))
        write(page(made, facts), report)
    tell(_lines(made, report), {"verdict": made.verdict, **vars(made), "report": report}, as_json)


def student_of(alpha: str, intercept: bool) -> SoftLabelClassifier:
    """The student that --alpha and --intercept describe."""
    from limbeck.students import SoftLabelClassifier

    try:
        ridge: float | str = "loo" if alpha == "loo" else float(alpha)
    except ValueError:
        ridge = -1.0
    if ridge != "loo" and not 0 <= float(ridge) < float("inf"):
        raise UserError(f'--alpha {alpha}: a number >= 0, or "loo" to choose it by leave-one-out.')
    return SoftLabelClassifier(ridge, fit_intercept=intercept)  # pyright: ignore[reportArgumentType]


def check_wishes(target_risk: float, confidence: float, price: float | None) -> None:
    """Refuse what cannot be meant, before any file is read."""
    if not 0 < target_risk < 1:
        raise UserError(
            f"--target-risk {target_risk:g}: a share between 0 and 1, such as 0.01. No finite sample shows a "
            "disagreement of exactly 0."
        )
    if not 0 < confidence < 1:
        raise UserError(f"--confidence {confidence:g}: a probability between 0 and 1, such as 0.95.")
    if price is not None and not 0 < price < float("inf"):
        raise UserError(f"--price {price:g}: the price of one answer must be positive.")


def _random_rows(table: Table, name: str, identifier: str, pool: Named) -> np.ndarray:
    """Rows of the pool whose answers were drawn at random."""
    import numpy as np

    from limbeck.data.columns import numbers
    from limbeck.data.pool import ids_of
    from limbeck.data.tables import read

    drawn = []
    for chunk in read(table, [identifier, name]):
        flags = numbers(chunk.columns[name], name, chunk.first)
        for at, (key, flag) in enumerate(zip(ids_of(chunk, identifier), flags, strict=True)):
            if flag not in (0, 1):
                raise UserError(
                    f"Row {chunk.first + at + 1}, column {name!r} holds {flag:g}: 0 or 1 is needed."
                )
            drawn += [key] if flag else []
    if not drawn:
        raise UserError(
            f"Column {name!r} marks no row as drawn at random: nothing can be measured without some."
        )
    row_of = pool.rows_of(drawn)
    return np.array([row_of[key] for key in drawn])


def _lines(made: BudgetPlan, report: Path | None) -> Iterator[Line]:
    seen = made.coverage
    yield "rank", f"{seen.rank} of {seen.features} features, effective rank {seen.effective_rank:.3g}"
    only = "" if made.settings["alpha"] in (0, "loo") else " and the student's alpha is 0"
    yield "", f"{seen.rank} answers are exact if the teacher is linear on these features{only}"
    if made.pilot is not None:
        yield "teacher", f"{made.pilot.linearity.verdict} here: {made.pilot.linearity.reason}"
        last = made.pilot.curve
        low, high = last.interval()
        yield (
            "measured",
            f"a student of {last.sizes[-1]} answers disagrees on {last.disagreement[-1]:.2%} "
            f"(95 % interval {low[-1]:.2%} to {high[-1]:.2%})",
        )
    yield "decision", made.verdict + (f", for at most {made.cost:,.2f}" if made.cost else "")
    yield "", made.reason
    if report is not None:
        yield "report", report
