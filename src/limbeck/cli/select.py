"""``limbeck select``: which points to send to the teacher, by geometry alone or with the answers bought so far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text as Words

from limbeck.cli import _options as options
from limbeck.cli import _provenance as provenance
from limbeck.cli._console import messages, results
from limbeck.records import UserError

if TYPE_CHECKING:
    import numpy as np

    from limbeck.budget import Ranking
    from limbeck.data.pool import Pool
    from limbeck.data.tables import Table
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
        typer.Option(metavar="TABLE", help="Points that have answers already, by --id: not chosen again."),
    ] = None,
    logit: Annotated[
        str | None,
        typer.Option("--teacher-logit", metavar="COL", help="Log-odds in --given: choose by them too."),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="Metric of the features, as distil's: none, standard or sharpen.")
    ] = "none",
    intercept: Annotated[bool, typer.Option(help="Whether the student will have an intercept.")] = True,
    report: options.Report = None,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
) -> None:
    """Rank the points whose answers teach a linear student most, from their geometry alone."""
    if scale not in ("none", "standard", "sharpen"):
        raise UserError(f"--scale {scale}: one of none, standard, sharpen is needed.")
    if logit is not None and given is None:
        raise UserError("--teacher-logit names a column of --given, which was not given.")
    options.check_output(out, overwrite, [".csv", ".jsonl", ".parquet"])
    options.check_output(report, overwrite, [".html"])
    from limbeck.data.pool import read_pool

    points = options.open_points(table)
    identifier = options.identifier_of(points, identifier, needed_for="" if given is None else "--given")
    taken = [] if identifier is None else [identifier]
    chosen = options.features_of(points, features, embedding, text, taken=taken)
    pool = read_pool(points, chosen, identifier, most_terms=vocabulary)
    known, logits = (None, None) if given is None else _known(pool, points, given, identifier, logit)
    X = _metric(pool.X, scale, intercept)
    with messages().status("ranking"):
        try:
            ranking = _ranked(X, budget, known, logits)
        except (ValueError, TypeError) as error:
            raise UserError(str(error)) from error
    page = None
    if report is not None:
        page = _page(
            pool, X, ranking, known, logits, seed, provenance.sources({"points": table, "given": given})
        )
    _write(out, pool, ranking)
    if page is not None and report is not None:
        from limbeck.report import write

        write(page, report)
    _tell(ranking, out, report)


def _known(
    pool: Pool, points: Table, given: Path, identifier: str | None, logit: str | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of the pool that have answers, and their logits if those shall help to choose."""
    import numpy as np

    from limbeck.data.answers import Teacher
    from limbeck.data.pool import joined, located

    assert identifier is not None
    table = options.open_points(given)
    if logit is None:
        return located(pool, points, table, identifier), None
    answered = joined(pool, points, table, Teacher("logit", (logit,)), identifier)
    logits = answered.answers.labels.logits
    if not np.all(np.isfinite(logits)):
        row = int(np.argmin(np.isfinite(logits)))
        raise UserError(f"{given}: the logit of {pool.ids[answered.rows[row]]!r} is not finite.")
    return answered.rows, logits


def _metric(X: Any, scale: str, intercept: bool) -> Any:
    """The points as the student will see them."""
    import numpy as np
    from scipy.sparse import issparse

    from limbeck.theory.scaling import Scaling

    if issparse(X):
        raise UserError(
            "Selection keeps a dense features-by-features matrix, and a text's words are sparse: use --embedding, or "
            "reduce the words first (TruncatedSVD)."
        )
    scaled = Scaling.of(X, scale).apply(X)
    return np.hstack([scaled, np.ones((len(scaled), 1), dtype=scaled.dtype)]) if intercept else scaled


def _ranked(X: Any, budget: int, known: Any, logits: Any) -> Ranking:
    from dataclasses import replace

    from limbeck.budget import AnswerSelection, SpanSelection

    ranking = SpanSelection().rank(X, budget, known)
    if logits is None:
        return ranking
    return replace(ranking, indices=AnswerSelection().query(X, budget, known, logits))


def _page(
    pool: Pool, X: Any, ranking: Ranking, known: Any, logits: Any, seed: int, sources: dict[str, str]
) -> Any:
    import numpy as np

    from limbeck.budget import geometry
    from limbeck.pages.select import Job, page
    from limbeck.theory import Span

    student = None if logits is None else Span(X[known]).weights(logits)
    with messages().status("measuring the geometry"):
        direction = student if student is not None and student.any() else None
        seen = geometry(X, direction=direction, rng=np.random.default_rng(seed))
        proved = None if logits is None else _proved(X, known, logits, seed)
    count = 0 if known is None else len(known)
    return page(
        Job(ranking, seen, pool.ids, count, logits is not None, proved, {**sources, "seed": str(seed)})
    )


def _proved(X: Any, known: Any, logits: Any, seed: int) -> CertifiedShares | str:
    """Share of the pool's answers that is proved, in a random order of the points; or why nothing is."""
    import numpy as np

    from limbeck.theory import certified_shares

    order = np.random.default_rng([seed, 1]).permutation(len(known))
    try:
        return certified_shares(X[known[order]], logits[order], X)
    except ValueError as error:
        return str(error)


def _write(out: Path, pool: Pool, ranking: Ranking) -> None:
    from limbeck.data.results import Results

    with Results(out) as file:
        file.write(
            {
                "rank": list(range(1, len(ranking.indices) + 1)),
                "id": [pool.ids[row] for row in ranking.indices],
                "gain": ranking.gains.tolist(),
                "energy_left": ranking.energy.tolist(),
                "adds_direction": [int(k < ranking.useful) for k in range(len(ranking.indices))],
            }
        )


def _tell(ranking: Ranking, out: Path, report: Path | None) -> None:
    console = results()
    left = ranking.energy[ranking.useful - 1] if ranking.useful else ranking.energy_given
    console.print(
        Words(
            f"{len(ranking.indices)} points ranked; {left:.3g} of the pool's energy lies outside their span"
        )
    )
    if ranking.reason:
        console.print(Words(ranking.reason))
    console.print(Words(f"picks     {out}"), soft_wrap=True)
    if report is not None:
        console.print(Words(f"report    {report}"), soft_wrap=True)
