"""``limbeck plan``: how many answers to buy, before any and after a pilot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.cli import _answers as spoken
from limbeck.cli import _options as options
from limbeck.cli import _provenance as provenance
from limbeck.cli import _streamed as streamed
from limbeck.cli._console import Line, messages, tell
from limbeck.records import UserError

if TYPE_CHECKING:
    from limbeck.budget.plan import BudgetPlan
    from limbeck.engine import Engine
    from limbeck.students import SoftLabelClassifier

EPILOG = """Examples:

\b
  limbeck plan pool.parquet --embedding vector --target-risk 0.01
      (before any answer)
\b
  limbeck plan pool.parquet --embedding vector --target-risk 0.01 \\
      --answers pilot.csv --teacher-logit z --price 0.002
\b
  limbeck plan rows.csv --features 'x*' --target-risk 0.01 \\
      --teacher-probability 'p_*' --unanswered drop
      (answers beside the points: those that have one are the pilot)

The answers must be those of rows drawn at random. If some were chosen, say which were not: --audit names a column of
0 and 1 beside the answers. The one that limbeck label writes is used unasked, and said; --audit '' overrides it."""

TargetRisk = Annotated[
    float, typer.Option(metavar="R", help="Largest share of points decided otherwise than by the teacher.")
]
Confidence = Annotated[float, typer.Option(metavar="C", help="How sure to be, between 0 and 1.")]
Price = Annotated[float | None, typer.Option(metavar="P", help="Of one answer.", show_default="none")]


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
    top_k: options.TopK = None,
    classes: options.Classes = None,
    unanswered: options.Unanswered = "error",
    audit: options.Audit = None,
    scale: options.Scale = "none",
    alpha: options.Ridge = "loo",
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
    """Print how many answers a target takes: stop, buy so many more, look again, nothing left, or not reachable."""
    student = student_of(alpha, intercept)
    options.check_scale(scale)
    check_wishes(target_risk, confidence, price)
    options.check_output(report, overwrite, [".html"])
    import numpy as np

    from limbeck.budget.plan import plan_budget
    from limbeck.engine import engine

    wanted = spoken.Wanted(probability, logit, log_probability, label, classes, unanswered, top_k, audit)
    found = spoken.Tables.of(table, answers, wanted, identifier, features, embedding, text, needed=False)
    in_blocks = streamed.wanted(table, stream, memory)
    streamed.check_scheduler(scheduler, in_blocks)
    pool = streamed.opened(table, found.points, found.features, found.identifier, in_blocks, vocabulary)
    answered = found.answered(pool)
    random = found.drawn(answered)
    try:
        with engine(scheduler, options.threads(jobs)) as at, messages().status("planning"):
            made = plan_budget(
                _scaled(pool.X, scale, at, intercept=intercept),
                None if answered is None else answered.answers.labels,
                rows=None if answered is None else answered.rows,
                audit=None if answered is None or random is None else answered.rows[random.random],
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
    notes = found.lines(answered, random)
    if report is not None:
        from limbeck.pages.plan import page
        from limbeck.report import write

        said_of = spoken.notes(notes)
        files = {"points": table, "answers": answers}
        sources = provenance.sources(files, scale=scale, seed=str(seed), **said_of)
        write(page(made, sources, said_of.values()), report)
    facts = {"unanswered": None if answered is None else answered.unanswered, "report": report}
    tell([*notes, *_lines(made, report)], {"verdict": made.verdict, **vars(made), **facts}, as_json)


def student_of(alpha: str, intercept: bool) -> SoftLabelClassifier:
    """The student that --alpha and --intercept describe."""
    from limbeck.students import SoftLabelClassifier

    ridge = options.ridge_of(alpha)
    return SoftLabelClassifier(ridge, fit_intercept=intercept)  # pyright: ignore[reportArgumentType]


def _scaled(X: Any, scale: str, at: Engine, *, intercept: bool) -> Any:
    """The pool in the metric in which the student will be learned."""
    from limbeck.students.streaming import as_seen

    return as_seen(X, scale, at, intercept=intercept, ones=False)


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
