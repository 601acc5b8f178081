"""``limbeck select``: which points to send to the teacher, by geometry alone or with the answers bought so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    from limbeck.data.answers import Teacher
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
\b
  limbeck select messages.csv --text text --budget 100 --out picks.csv
      (texts, by the TF-IDF of their words, as limbeck distill reads them)

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
    probability: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher-probability",
            metavar="GLOB",
            help="Answers in --given: rows without one are not taken as answered. Names or patterns such as 'p_*'.",
            show_default="teacher_probability, teacher_logit, ... if there are any",
        ),
    ] = None,
    logit: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher-logit",
            metavar="GLOB",
            help="Log-odds in --given: choose by them too; or a column a class, as --teacher-probability.",
        ),
    ] = None,
    log_probability: options.LogProbability = None,
    label: options.Label = None,
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
    wanted = spoken.Wanted(probability, logit, log_probability, label, None, unanswered, None, None)
    if wanted.given and given is None:
        raise UserError(
            "--teacher-... and --unanswered are about the answers in --given, which was not given."
        )
    options.check_output(out, overwrite, [".csv", ".jsonl", ".parquet"])
    options.check_output(report, overwrite, [".html"])
    from limbeck.data.pool import ROW
    from limbeck.engine import engine
    from limbeck.students.streaming import as_seen

    points = options.open_head(table)
    before = None if given is None else options.open_points(given)
    identifier = options.identifier_of(points, identifier, answers=before)
    teacher = None if before is None else _teacher(before, wanted)
    exact = {*(features or ()), embedding, text}
    taken = {} if identifier is None else {identifier: "ids"}
    taken |= {name: "answers" for name in (teacher.columns if teacher else ()) if name not in exact}
    chosen = options.features_of(points, features, embedding, text, taken=taken)
    in_blocks = streamed.wanted(table, stream, memory)
    streamed.check_scheduler(scheduler, in_blocks)
    pool = streamed.opened(table, points, chosen, identifier, in_blocks, vocabulary)
    before_it = (
        Known() if before is None else _known(pool, points, before, identifier, teacher, bool(wanted.logit))
    )
    known, logits = before_it.rows, before_it.logits
    by_row = given is not None and identifier is None
    notes = [*spoken.lines(None, by_row=by_row), *before_it.lines]
    with engine(scheduler, options.threads(jobs)) as at, messages().status("ranking") as status:
        try:
            X = as_seen(pool.X, scale, at, intercept=intercept, ones=intercept)
            ranking = _ranked(X, budget, known, logits, at)
            ids = pool.names(ranking.indices)
            page = None
            if report is not None:
                status.update("measuring the geometry")
                files = {"points": table, "given": given}
                sources = provenance.sources(files, seed=str(seed), **spoken.notes(notes))
                features = as_seen(pool.X, scale, at, intercept=intercept, ones=False)
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
    facts["unanswered"] = before_it.unanswered
    tell([*notes, *_lines(ranking, out, report)], facts, as_json)


@dataclass(frozen=True)
class Known:
    """Rows of the pool that have answers before anything is chosen."""

    rows: np.ndarray | None = None
    """Their numbers, increasing; None if no table was given."""
    logits: np.ndarray | None = None
    """Their log-odds, where those shall help to choose."""
    unanswered: int | None = None
    """Rows of the table without an answer; None where there is no telling."""
    lines: tuple[Line, ...] = ()
    """What is worth saying of them."""


def _teacher(table: Table, wanted: spoken.Wanted) -> Teacher | None:
    """Where the table of points that have answers holds those; None if it lists ids alone."""
    return wanted.teacher(table) if wanted.given or _holds_answers(table) else None


def _known(
    pool: Pool | StoredPool,
    points: Table,
    table: Table,
    identifier: str | None,
    teacher: Teacher | None,
    by_answers: bool,
) -> Known:
    """Which rows have answers; all that the table names where it has no columns of answers."""
    from limbeck.data.pool import joined, located

    if teacher is None:
        rows = located(pool, points, table, identifier)
        said = (
            f"{len(rows)} rows taken as answered: {table.path.name} has no columns of answers by the usual names "
            "(--teacher-... names others)"
        )
        return Known(rows, lines=(("given", said),))
    if not by_answers:
        return _with_answers(pool, points, table, identifier, teacher)
    answered = joined(pool, points, table, teacher, identifier)
    options.warn_of_deciding(pool.X[answered.rows], answered.answers, pool.features)
    left = answered.unanswered
    lines: list[Line] = [("answers", spoken.unanswered_said(left, answered.size))] if left else []
    logits = answered.answers.labels.logits
    if logits.ndim > 1:
        lines.append(("given", "Points are chosen by geometry: answers help to choose for two classes only"))
        return Known(answered.rows, None, left, tuple(lines))
    _check_finite(logits, pool, answered, table)
    return Known(answered.rows, logits, left, tuple(lines))


def _check_finite(logits: np.ndarray, pool: Pool | StoredPool, answered: Answered, table: Table) -> None:
    import numpy as np

    if not np.all(np.isfinite(logits)):
        row = int(np.argmin(np.isfinite(logits)))
        raise UserError(f"{table.path}: the logit of {pool.names(answered.rows[[row]])[0]!r} is not finite.")


def _holds_answers(table: Table) -> bool:
    """Whether it has columns of answers by the names that `options.teacher_of` finds unasked."""
    from limbeck.data.tables import matching

    several = "probability", "logit", "log_probability"
    return any(f"teacher_{kind}" in table.columns for kind in (*several, "label")) or any(
        len(matching(table, f"teacher_{kind}_*")) > 1 for kind in several
    )


def _with_answers(
    pool: Pool | StoredPool, points: Table, table: Table, identifier: str | None, teacher: Teacher
) -> Known:
    """Rows with an answer, whatever it says; one that names some of many classes is one."""
    from dataclasses import replace

    import numpy as np

    from limbeck.data.answers import answered, settled, values_of
    from limbeck.data.pool import id_column, ids_of, located
    from limbeck.data.tables import read

    size = len(located(pool, points, table, identifier))  # every id must be the pool's
    column = id_column(table, points, identifier)
    chunks = list(read(table, list(dict.fromkeys([column, *teacher.columns]))))
    if teacher.kind == "log-probability" and len(teacher.columns) > 2:
        teacher = replace(teacher, top_k="uniform")
    teacher = settled(teacher, chunks)
    names: list[str] = []
    for chunk in chunks:
        there = answered(teacher, values_of(teacher, chunk))
        names += [name for name, kept in zip(ids_of(chunk, column), there, strict=True) if kept]
    rows = np.sort(np.array(list(pool.rows_of(names).values()), dtype=int))
    left = size - len(rows)
    return Known(rows, None, left, (("answers", spoken.unanswered_said(left, size)),) if left else ())


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

    student = None if logits is None else Span(_dense(X[known])).weights(logits)
    direction = student if student is not None and student.any() else None
    seen = geometry(features, intercept=intercept, direction=direction, rng=np.random.default_rng(seed))
    proved = None if logits is None else _proved(X, known, logits, seed, at)
    count = 0 if known is None else len(known)
    return page(Job(ranking, seen, ids, count, logits is not None, proved, sources))


def _dense(rows: Any) -> Any:
    return rows.toarray() if hasattr(rows, "toarray") else rows


def _proved(X: Any, known: Any, logits: Any, seed: int, at: Engine) -> CertifiedShares | str:
    """Share of the pool's answers that is proved, in a random order of the points; or why nothing is."""
    import numpy as np
    from scipy.sparse import issparse

    from limbeck.budget.proved import proved_shares

    if issparse(X):
        return "Answers are proved for dense points only, and a text's words are sparse."
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
