"""``limbeck distill``: from a table of a teacher's answers to a student that can be shipped."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.cli import _agreement as agreement
from limbeck.cli import _answers as spoken
from limbeck.cli import _options as options
from limbeck.cli import _provenance as provenance
from limbeck.cli import _streamed as streamed
from limbeck.cli._console import Line, messages, tell
from limbeck.cli._progress import Bar
from limbeck.records import UserError

if TYPE_CHECKING:
    import numpy as np

    from limbeck.data.answers import Answers
    from limbeck.data.pool import Answered, Pool
    from limbeck.report import Page
    from limbeck.students.study import Distilled, Recipe
    from limbeck.theory.scaling import Scaling

EPILOG = """Examples:

\b
  limbeck distill reviews.csv --text review --teacher-probability p_spam \\
      --out student.json --report report.html
\b
  limbeck distill pool.parquet --embedding vector --id doc \\
      --answers bought.csv --teacher-logit z --out student.json
\b
  limbeck distill pool.csv --features 'x*' --answers bought/answers.csv \\
      --out student.json
      (what limbeck label bought: its answers and audit sample are found)
\b
  limbeck distill rows.csv --features 'x*' --out student.json \\
      --teacher-log-probability 'lp_*' --top-k uniform --unanswered drop
      (the top few of many classes; rows without an answer are left out)
\b
  limbeck distill digits.npz --out student.json
      (the keys X, id and teacher_probability need no options)

Then: limbeck predict student.json new.parquet --out answers.csv"""


def distill(
    table: options.TableArgument,
    out: Annotated[Path, typer.Option(metavar="JSON", help="Where the student is saved.")],
    features: options.FeatureGlobs = None,
    embedding: options.Embedding = None,
    text: options.Text = None,
    vocabulary: options.Vocabulary = 4000,
    identifier: options.Identifier = None,
    probability: options.Probability = None,
    logit: options.Logit = None,
    log_probability: options.LogProbability = None,
    label: options.Label = None,
    top_k: options.TopK = None,
    classes: options.Classes = None,
    unanswered: options.Unanswered = "error",
    answers: options.AnswersTable = None,
    audit: options.Audit = None,
    weight: options.Weight = None,
    alpha: options.Ridge = "loo",
    intercept: Annotated[bool, typer.Option(help="Whether to learn an intercept.")] = True,
    saturated: Annotated[
        str, typer.Option(help="At alpha 0, answers of exactly 0 or 1: raise, drop or bound.")
    ] = "raise",
    scale: options.Scale = "none",
    held_out: Annotated[
        float, typer.Option(help="Share of the answers kept aside, at random, to rate the student.")
    ] = 0.2,
    repeats: Annotated[int, typer.Option(min=2, help="Random orders behind the report's curves.")] = 10,
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence", help="Save the points learned from too, so that predict can prove answers."
        ),
    ] = False,
    report: options.Report = None,
    stream: options.Stream = None,
    memory: options.Memory = 4.0,
    scheduler: options.Scheduler = "local",
    jobs: options.Jobs = None,
    seed: options.Seed = 0,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Distil a table of a teacher's answers into a linear student, and say how often it agrees."""
    recipe = _recipe(alpha, intercept, saturated, scale)
    if not 0 <= held_out < 1:
        raise UserError(f"--held-out {held_out}: a share from 0 up to, not including, 1 is needed.")
    if report is not None and held_out == 0:
        raise UserError("--report rates the student on held-out rows: give --held-out a share above 0.")
    options.check_output(out, overwrite, [".json"])
    options.check_output(report, overwrite, [".html"])

    wanted = spoken.Wanted(probability, logit, log_probability, label, classes, unanswered, top_k, audit)
    found = spoken.Tables.of(table, answers, wanted, identifier, features, embedding, text, weight=weight)
    in_blocks = streamed.wanted(table, stream, memory)
    streamed.check_scheduler(scheduler, in_blocks)
    if scheduler != "local" and answers is not None:
        raise UserError(
            "--scheduler cannot help with --answers: the answered points are learned from at once."
        )
    if in_blocks and answers is None:
        _check_blocks(report, evidence, found.marked, held_out, weight)
        streamed.in_blocks(
            table, found, recipe, out=out, held_out=held_out, seed=seed, scheduler=scheduler,
            jobs=options.threads(jobs), resume=resume, overwrite=overwrite, as_json=as_json,
        )  # fmt: skip
        return
    few = None
    if in_blocks and answers is not None:
        if weight is not None and found.said is not None and weight not in found.said.columns:
            raise UserError(
                f"--weight: read in blocks, column {weight!r} must be in {answers}, or give --at-once."
            )
        few = streamed.answered_only(table, found.features, found.identifier, answers)
    rows = _Rows.of(found, few, held_out, seed, vocabulary)
    options.warn_of_deciding(rows.pool.X[rows.answered.rows], rows.answered.answers, rows.pool.features)
    made = rows.distilled(recipe)
    notes = [*found.lines(rows.answered, rows.random), *spoken.wordless(rows.pool.features, rows.pool.X)]
    sources = provenance.sources(
        {"points": table, "answers": answers},
        rows=f"{rows.points} points, {len(rows.answered.rows)} answered",
        seed=str(seed),
        **spoken.notes(notes),
    )
    described = {"table": rows.pool.features.to_json(), "scale": recipe.scale}
    if evidence:  # refused, if it must be, before the curves are drawn
        from limbeck.students.evidence import Evidence

        described["evidence"] = Evidence.of(made).to_json()
    page = None if report is None else _page(rows, made, recipe, repeats, seed, sources)
    from limbeck.students.saving import save

    save(made.student(), out, provenance=sources, features=described)
    if report is not None and page is not None:
        from limbeck.report import write

        write(page, report)
    lines, facts = _found(made, rows, out, report)
    facts |= {
        "unanswered": rows.answered.unanswered,
        "without_words": rows.pool.features.without_words(rows.pool.X),
    }
    tell([*notes, *lines], facts, as_json)


def _check_blocks(
    report: Path | None, evidence: bool, marked: str | None, held_out: float, weight: str | None
) -> None:
    """Refuse what needs all rows at once."""
    if weight is not None:
        raise UserError(
            "--weight is not supported for a table that is read in blocks: leave it out, or --at-once."
        )
    if report is not None:
        raise UserError("--report draws curves from all rows at once: leave it out, or --at-once.")
    if evidence:
        raise UserError("--evidence keeps all points learned from: leave it out, or --at-once.")
    if marked is None:
        return
    if held_out > 0:
        raise UserError(
            f"Read in blocks, rows are held out at random, and column {marked!r} says that some were chosen: give "
            "--at-once, --held-out 0, or --audit '' if all were drawn at random."
        )
    messages().print(f"Column {marked!r} says which rows were drawn at random: it is no feature.")


@dataclass(frozen=True)
class _Rows:
    """Points with their answers: some to learn from, others held out at random to rate the student."""

    pool: Pool
    """Every point; of a table that does not fit memory, those with an answer."""
    few: streamed.Few | None
    """That table."""
    answered: Answered
    """Those with an answer."""
    random: spoken.Drawn | None
    """Which of them were drawn at random; None if all were."""
    learn: np.ndarray
    """Those to learn from, as positions among the answered ones."""
    rate: np.ndarray
    """Those held out."""

    @classmethod
    def of(
        cls, found: spoken.Tables, few: streamed.Few | None, held_out: float, seed: int, vocabulary: int
    ) -> _Rows:
        """Read and split; of a table that does not fit memory a ``few`` have been read."""
        from limbeck.data.pool import read_pool

        answered = found.answered(None if few is None else few.pool)
        assert answered is not None
        random = found.drawn(answered, measured=held_out > 0)
        learn, rate = _split(len(answered.rows), held_out, seed, None if random is None else random.random)
        # Words and scaling may see points without answers, but none of those held out.
        apart = answered.rows[rate].tolist()
        pool = (
            read_pool(found.points, found.features, found.identifier, most_terms=vocabulary, apart=apart)
            if few is None
            else few.pool
        )
        return cls(pool, few, answered, random, learn, rate)

    @property
    def taught(self) -> tuple[Any, Answers]:
        """Points and answers to learn from."""
        return self.pool.X[self.answered.rows[self.learn]], self.answered.answers[self.learn]

    @property
    def held_out(self) -> tuple[Any, Answers]:
        """Points and answers to rate by."""
        return self.pool.X[self.answered.rows[self.rate]], self.answered.answers[self.rate]

    @property
    def points(self) -> int:
        """Rows of the table, answered or not."""
        return len(self.pool.ids) if self.few is None else self.few.n

    @property
    def ids_apart(self) -> list[str]:
        """Ids of the rows held out."""
        return self.pool.ids[self.answered.rows[self.rate]].tolist()

    @property
    def seen(self) -> Any:
        """All points but those held out, from which a metric is learned, where they fit memory."""
        import numpy as np

        return self.pool.X[np.setdiff1d(np.arange(len(self.pool.ids)), self.answered.rows[self.rate])]

    def metric(self, kind: str, *, intercept: bool) -> Scaling | None:
        """What all points but those held out say of a scaling."""
        from limbeck.students.study import metric

        if self.few is None:
            return metric(self.seen, kind, intercept=intercept)
        return self.few.metric(kind, set(self.ids_apart), intercept=intercept)

    def distilled(self, recipe: Recipe) -> Distilled:
        """The student."""
        from limbeck.students.study import distil, taught

        try:
            if self.few is None or self.few.n == len(self.pool.ids):
                return distil(*self.taught, recipe, pool=self.seen)
            return taught(*self.taught, recipe, self.metric(recipe.scale, intercept=recipe.fit_intercept))
        except (ValueError, ArithmeticError) as error:
            raise options.in_options(error, saturated=True, rows=self.answered.at[self.learn]) from error


def _recipe(alpha: str, intercept: bool, saturated: str, scale: str) -> Recipe:
    from limbeck.students.study import Recipe

    ridge = options.ridge_of(alpha)
    options.check_scale(scale)
    if saturated not in ("raise", "drop", "bound"):
        raise UserError(f"--saturated {saturated}: one of raise, drop, bound is needed.")
    return Recipe(ridge, intercept, saturated, scale)


def _split(n: int, held_out: float, seed: int, random: Any = None) -> tuple[Any, Any]:
    """Rows to learn from, in the table's order, and rows held out at random: of those marked as drawn at random."""
    import numpy as np

    among = np.arange(n) if random is None else np.flatnonzero(random)
    size = min(round(held_out * n), len(among))
    if (held_out > 0 and size == 0) or n - size < 2:
        raise UserError(
            f"{n} answers are too few to hold out {held_out:g} of them: give more, or --held-out 0."
        )
    aside = np.random.default_rng([seed, 0]).permutation(among)[:size]
    return np.setdiff1d(np.arange(n), aside), np.sort(aside)


def _page(
    rows: _Rows, made: Distilled, recipe: Recipe, repeats: int, seed: int, sources: dict[str, str]
) -> Page:
    import numpy as np
    from scipy.sparse import issparse

    from limbeck.pages.distill import Job, page
    from limbeck.students.linearity import rank_of
    from limbeck.students.study import curve_count, study

    (X, answers), (T, truth), pool = rows.taught, rows.held_out, rows.pool
    with Bar(messages(), "students") as bar:
        bar.begin(curve_count(answers, recipe, issparse(X), repeats), "learning curves")
        rng = np.random.default_rng([seed, 1])
        found = study(
            X, answers, T, truth, made, recipe, metrics=partial(rows.metric, intercept=recipe.fit_intercept),
            repeats=repeats, rng=rng, advance=bar.step,
        )  # fmt: skip
    return page(
        Job(
            student=made.inner,
            answers=answers,
            truth=truth,
            ids=rows.ids_apart,
            study=found,
            recipe=recipe,
            says=made.inner.predict_proba(made.scaled(T)),
            features=X.shape[1],
            points=rows.points,
            rank=None if rows.few else rank_of(made.scaled(pool.X), intercept=recipe.fit_intercept),
            idle=made.idle,
            sources=sources,
            unanswered=spoken.unanswered_said(rows.answered.unanswered, rows.answered.size),
        )
    )


def _found(made: Distilled, rows: _Rows, out: Path, report: Path | None) -> tuple[list[Line], dict[str, Any]]:
    """What to say of a student, in lines and as facts."""
    from limbeck.students.study import IDLE
    from limbeck.students.tally import Tally

    (T, truth), student, tally = rows.held_out, made.inner, None
    lines: list[Line] = [
        ("teacher", f"{student.linearity_.verdict} here: {student.linearity_.reason}"),
        ("ridge", f"alpha = {student.alpha_:.3g}"),
        *([("scale", IDLE)] if made.idle else []),
    ]
    if len(truth):
        tally = Tally.of(truth.decisions, made.predict_codes(T), len(truth.classes), truth.labels.ties)
        lines += agreement.lines(tally, truth.classes, drawn=rows.random is not None)
    lines += [("student", out), *([] if report is None else [("report", report)])]
    facts = {
        "linearity": student.linearity_,
        "alpha": student.alpha_,
        **agreement.facts(tally, truth.classes),
    }
    return lines, {**facts, "student": out, "report": report}
