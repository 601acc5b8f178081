"""``limbeck select``: which points to send to the teacher, by geometry alone or with the answers bought so far."""

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
    import numpy as np

    from limbeck.budget import Ranking
    from limbeck.data.pool import Answered, Pool
    from limbeck.data.sources import StoredPool
    from limbeck.data.tables import Table
    from limbeck.engine import Engine
    from limbeck.theory import CertifiedShares

EPILOG = """Examples:

\b
  limbeck select pool.parquet --embedding vector --id doc --budget 100 \\
      --out picks.csv --report select.html
\b
  limbeck select pool.parquet --embedding vector --id doc --budget 20 \\
      --given bought.csv --out more.csv
\b
  ... --given bought.csv --teacher-logit z
      (the answers themselves help to choose; two classes)

Every prefix of the ranking is the choice for that budget."""


def select(
    table: options.TableArgument,
    budget: Annotated[int, typer.Option(min=1, metavar="N", help="Points to choose.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The ranking: .csv, .jsonl or .parquet.")],
    features: options.FeatureGlobs = None,
    embedding: options.Embedding = None,
    text: options.Text = None,
    vocabulary: options.Vocabulary = 4000,
    identifier: options.Identifier = None,
    given: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE", help="Points that have answers already, by --id (or row): not chosen again."
        ),
    ] = None,
    logit: Annotated[
        str | None,
        typer.Option("--teacher-logit", metavar="COL", help="Log-odds in --given: choose by them too."),
    ] = None,
    unanswered: options.Unanswered = "error",
    scale: options.Scale = "none",
    intercept: Annotated[bool, typer.Option(help="Whether the student will have an intercept.")] = True,
    report: options.Report = None,
    stream: options.Stream = None,
    memory: options.Memory = 4.0,
    scheduler: options.Scheduler = "local",
    jobs: options.Jobs = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Rank the points whose answers teach a linear student most, from their geometry alone."""
    options.check_scale(scale)
    if logit is not None and given is None:
        raise UserError("--teacher-logit names a column of --given, which was not given.")
    if unanswered != "error" and logit is None:
        raise UserError("--unanswered is about empty cells of --teacher-logit, which was not given.")
    options.check_output(out, overwrite, [".csv", ".jsonl", ".parquet"])
    options.check_output(report, overwrite, [".html"])
    from limbeck.data.pool import ROW
    from limbeck.engine import engine

    points = options.open_head(table)
    before = None if given is None else options.open_points(given)
    identifier = options.identifier_of(points, identifier, answers=before)
    taken = [] if identifier is None else [identifier]
    chosen = options.features_of(points, features, embedding, text, taken=taken)
    in_blocks = streamed.wanted(table, stream, memory)
    streamed.check_scheduler(scheduler, in_blocks)
    pool = streamed.opened(table, points, chosen, identifier, in_blocks, vocabulary)
    known, logits, answered = (None, None, None)
    if before is not None:
        known, logits, answered = _known(pool, points, before, identifier, logit, unanswered)
    notes = spoken.lines(answered, by_row=given is not None and identifier is None)
    with engine(scheduler, options.threads(jobs)) as at, messages().status("ranking") as status:
        try:
            X = _metric(pool.X, scale, at, intercept=intercept, ones=intercept)
            ranking = _ranked(X, budget, known, logits, at)
            ids = pool.names(ranking.indices)
            page = None
            if report is not None:
                status.update("measuring the geometry")
                files = {"points": table, "given": given}
                sources = provenance.sources(files, seed=str(seed), **spoken.notes(notes))
                features = _metric(pool.X, scale, at, intercept=intercept, ones=False)
                page = _page(ids, X, features, intercept, ranking, known, logits, seed, sources, at)
        except (ValueError, TypeError) as error:
            raise UserError(str(error)) from error
    provenance.check_unchanged()
    _write(out, ROW if identifier is None else "id", ids, ranking)
    if page is not None and report is not None:
        from limbeck.report import write

        write(page, report)
    facts = {
        "ids": ids.tolist(),
        "useful": ranking.useful,
        "energy_left": ranking.energy,
        "reason": ranking.reason,
        "picks": out,
        "report": report,
    }
    facts["unanswered"] = None if answered is None else answered.unanswered
    tell([*notes, *_lines(ranking, out, report)], facts, as_json)


def _known(
    pool: Pool | StoredPool,
    points: Table,
    table: Table,
    identifier: str | None,
    logit: str | None,
    unanswered: str,
) -> tuple[np.ndarray, np.ndarray | None, Answered | None]:
    """Rows of the pool that have answers; their logits, and how they were read, if those shall help to choose."""
    import numpy as np

    from limbeck.data.pool import joined, located

    if logit is None:
        return located(pool, points, table, identifier), None, None
    teacher = options.teacher_of(table, None, [logit], None, None, None, unanswered=unanswered)
    answered = joined(pool, points, table, teacher, identifier)
    logits = answered.answers.labels.logits
    if not np.all(np.isfinite(logits)):
        row = int(np.argmin(np.isfinite(logits)))
        raise UserError(f"{table.path}: the logit of {pool.names(answered.rows[[row]])[0]!r} is not finite.")
    return answered.rows, logits, answered


def _metric(X: Any, scale: str, at: Engine, *, intercept: bool, ones: bool) -> Any:
    """The points as the student will see them."""
    from scipy.sparse import issparse

    from limbeck.students.streaming import as_seen

    if issparse(X):
        raise UserError(
            "Selection keeps a dense features-by-features matrix, and a text's words are sparse: use --embedding, or "
            "reduce the words first (TruncatedSVD)."
        )
    return as_seen(X, scale, at, intercept=intercept, ones=ones)


def _ranked(X: Any, budget: int, known: Any, logits: Any, at: Engine) -> Ranking:
    from limbeck.budget import AnswerSelection, SpanSelection

    if logits is None:
        return SpanSelection().rank(X, budget, known, at=at)
    return AnswerSelection().rank(X, budget, known, logits, at=at)


def _page(
    ids: np.ndarray, X: Any, features: Any, intercept: bool, ranking: Ranking, known: Any, logits: Any, seed: int,
    sources: dict[str, str], at: Engine,
) -> Any:  # fmt: skip
    import numpy as np

    from limbeck.budget import geometry
    from limbeck.pages.select import Job, page
    from limbeck.theory import Span

    student = None if logits is None else Span(X[known]).weights(logits)
    direction = student if student is not None and student.any() else None
    seen = geometry(features, intercept=intercept, direction=direction, rng=np.random.default_rng(seed))
    proved = None if logits is None else _proved(X, known, logits, seed, at)
    count = 0 if known is None else len(known)
    return page(Job(ranking, seen, ids, count, logits is not None, proved, sources))


def _proved(X: Any, known: Any, logits: Any, seed: int, at: Engine) -> CertifiedShares | str:
    """Share of the pool's answers that is proved, in a random order of the points; or why nothing is."""
    import numpy as np

    from limbeck.budget.proved import proved_shares

    order = np.random.default_rng([seed, 1]).permutation(len(known))
    try:
        return proved_shares(X[known[order]], logits[order], X, at)
    except ValueError as error:
        return str(error)


def _write(out: Path, name: str, ids: np.ndarray, ranking: Ranking) -> None:
    from limbeck.data.results import Results

    with Results(out) as file:
        file.write(
            {
                "rank": list(range(1, len(ranking.indices) + 1)),
                name: list(ids),
                "gain": ranking.gains.tolist(),
                "energy_left": ranking.energy.tolist(),
                "adds_direction": [int(k < ranking.useful) for k in range(len(ranking.indices))],
            }
        )


def _lines(ranking: Ranking, out: Path, report: Path | None) -> Iterator[Line]:
    left = ranking.energy[ranking.useful - 1] if ranking.useful else ranking.energy_given
    count = len(ranking.indices)
    yield None, f"{count} points ranked; {left:.3g} of the pool's energy lies outside their span"
    if ranking.reason:
        yield None, ranking.reason
    yield "picks", out
    if report is not None:
        yield "report", report
