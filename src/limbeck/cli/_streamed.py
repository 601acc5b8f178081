"""Tables that do not fit memory: when they are read in blocks, and ``limbeck distill`` from them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.cli import _agreement as agreement
from limbeck.cli import _answers as spoken
from limbeck.cli import _options as options
from limbeck.cli import _provenance as provenance
from limbeck.cli._console import Line, messages, tell
from limbeck.records import UserError

if TYPE_CHECKING:
    from limbeck.data.answers import Teacher
    from limbeck.data.blocks import Block, Blocks
    from limbeck.data.features import Features
    from limbeck.data.pool import Pool
    from limbeck.data.sources import StoredPool
    from limbeck.data.tables import Table
    from limbeck.students.streaming import Streamed
    from limbeck.students.study import Recipe
    from limbeck.theory.scaling import Scaling

COPIES = 4
"""Copies of the points in float64 that distilling at once takes: read, joined, split and factorised."""
PACKED = 4
"""Bytes of text that a byte of gzip holds, about: numbers of many digits two, few-digit ones five."""


def wanted(table: Path, stream: bool | None, memory: float) -> bool:
    """Whether to read the table in blocks: as asked, else if it is a folder or four copies of it would not fit.

    A CSV or JSON file is taken to hold a number in eight bytes, as a column of the others does at least.
    """
    if stream is not None:
        if table.is_dir() and not stream:
            raise UserError(f"{table} is a folder of tables, which is read in blocks: leave out --at-once.")
        return stream
    packed = PACKED if table.suffix.lower() == ".gz" else 1
    return table.is_dir() or COPIES * packed * table.stat().st_size > memory * 2**30


def check_scheduler(scheduler: str, stream: bool) -> None:
    """Refuse a cluster that would have nothing to do."""
    if scheduler != "local" and not stream:
        raise UserError("--scheduler shares out a table that is read in blocks: give --stream too.")


def opened(
    path: Path, table: Table, chosen: Features, identifier: str | None, stream: bool, vocabulary: int
) -> Pool | StoredPool:
    """The points of a table: read now, or when they are asked for."""
    if not stream:
        from limbeck.data.pool import read_pool

        return read_pool(table, chosen, identifier, most_terms=vocabulary)
    from limbeck.data.sources import StoredPool

    if chosen.text is not None:
        raise UserError("--text makes sparse points, which are read at once: leave out --stream.")
    return StoredPool(path.absolute(), chosen, identifier)


def in_blocks(
    table: Path,
    tables: spoken.Tables,
    recipe: Recipe,
    *,
    out: Path,
    held_out: float,
    seed: int,
    scheduler: str,
    jobs: int,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Distil in a few passes over the table, save the student, and say what it is worth."""
    from limbeck.data.answers import settled
    from limbeck.data.blocks import Blocks
    from limbeck.data.sources import TableSource, files_of
    from limbeck.data.tables import read
    from limbeck.data.unfinished import Journal
    from limbeck.engine import engine, versions
    from limbeck.students.saving import save
    from limbeck.students.streaming import distil_blocks

    chosen, teacher = tables.features, tables.teacher
    assert teacher is not None
    if chosen.text is not None:
        raise UserError("--text collects the words of all rows at once: make its features beforehand.")
    if teacher.kind == "label" and teacher.classes is None:
        raise UserError("Labels that are read in blocks need their names: --classes A,B,...")
    teacher = settled(teacher, read(options.open_whole(table), teacher.columns))
    blocks = Blocks(TableSource(table.absolute(), chosen, tables.identifier, teacher))
    _warn_of_deciding(next(iter(blocks)), teacher, chosen)
    chosen = replace(chosen, width=0 if chosen.embedding is None else blocks.d - len(chosen.columns))
    origin = {
        "tables": [provenance.state_of(path) for path in files_of(table)],
        "features": chosen.to_json(),
        "teacher": [teacher.kind, *teacher.columns],
        "unanswered": teacher.unanswered,
        "top_k": teacher.top_k,
        "classes": list(teacher.classes or ()),
        "recipe": asdict(recipe),
        "held_out": held_out,
        "seed": seed,
        "made by": versions(),
    }
    with engine(scheduler, jobs) as at, messages().status("reading") as status:
        kept = Journal(out, origin, resume=resume, overwrite=overwrite)
        try:
            found = distil_blocks(
                blocks, teacher, recipe, held_out=held_out, seed=seed, at=at,
                advance=_told(status.update, blocks.group_count), kept=kept,
            )  # fmt: skip
        except (UserError, ValueError, ArithmeticError) as error:
            if not kept.full:  # other rows or options are needed, with which the passes would not go together
                kept.remove()
            raise options.in_options(error, saturated=True) from error
    sources = provenance.sources(
        {f"points {path.name}": path for path in files_of(table)},
        rows=f"{found.n} learned from in {found.passes} passes",
        seed=str(seed),
        **({"answers": gaps} if (gaps := spoken.unanswered_said(found.unanswered, found.size or 0)) else {}),
    )
    save(
        found.made.student(),
        out,
        provenance=sources,
        features={"table": chosen.to_json(), "scale": recipe.scale},
    )
    kept.remove()
    tell(*_found(found, out), as_json)


def _warn_of_deciding(block: Block, teacher: Teacher, chosen: Features) -> None:
    """Look at the first block alone for a feature that determines the answers."""
    import numpy as np

    from limbeck.data.answers import answered, answers_of, soft_labels

    assert block.answers is not None
    rows = np.flatnonzero(answered(teacher, block.answers))
    if len(rows):
        labels = soft_labels(teacher, block.answers)
        options.warn_of_deciding(block.X[rows], answers_of(teacher, block.answers[rows], labels), chosen)


def _told(say, groups: int | None):
    """A line for the status: which pass, and how far."""
    now = {"what": "", "done": 0}

    def advance(what: str) -> None:
        now["done"] = now["done"] % (groups or 1 << 60) + 1 if what == now["what"] else 1
        now["what"] = what
        say(f"{what}: part {now['done']}" + (f" of {groups}" if groups else ""))

    return advance


@dataclass(frozen=True)
class Few:
    """The answered points of a table that does not fit memory."""

    pool: Pool
    """They alone."""
    blocks: Blocks
    """All points."""
    n: int
    """How many those are."""

    def metric(self, kind: str, apart: Collection[str], *, intercept: bool) -> Scaling:
        """The scaling that all points say, but those of the ids ``apart``."""
        from limbeck.data.blocks import Blocks, LeavingOut
        from limbeck.engine import engine
        from limbeck.students.streaming import scaling_of

        with engine("local", 1) as at:
            return scaling_of(Blocks(LeavingOut(self.blocks.source, apart)), kind, at, centred=intercept)


def answered_only(table: Path, chosen: Features, identifier: str | None, answers: Path) -> Few:
    """The points of a table that another one has answers for, in one pass."""
    import numpy as np

    from limbeck.data.blocks import Blocks, joined_blocks
    from limbeck.data.pool import Pool, id_column, ids_of
    from limbeck.data.sources import TableSource
    from limbeck.data.tables import read

    said = options.open_points(answers)
    column = id_column(said, options.open_head(table), identifier)
    bought = {name for chunk in read(said, [column]) for name in ids_of(chunk, column)}
    if chosen.text is not None:
        raise UserError("--text collects the words of all rows at once: make its features beforehand.")
    blocks = Blocks(TableSource(table.absolute(), chosen, identifier))
    kept, n = [], 0
    for block in blocks:
        kept.append(block.take(np.flatnonzero([name in bought for name in block.names])))
        n += len(block)
    found = joined_blocks([block for block in kept if len(block)] or kept[:1])
    chosen = replace(chosen, width=0 if chosen.embedding is None else blocks.d - len(chosen.columns))
    return Few(Pool(found.names, found.X, chosen), blocks, n)


def _found(found: Streamed, out: Path) -> tuple[list[Line], dict[str, Any]]:
    """What to say of a student, in lines and as facts."""
    student, solved, tally = found.made.inner, found.solved, found.tally
    chosen = "" if found.sampled is None else f", by leave-one-out on {found.sampled} rows drawn at random"
    lines: list[Line] = [
        ("teacher", f"{student.linearity_.verdict} here: {student.linearity_.reason}"),
        ("ridge", f"alpha = {student.alpha_:.3g}{chosen}"),
    ]
    if solved is not None:
        said = f"condition {solved.condition:.2g}, rank {solved.rank}, solved by {solved.route}"
        lines.append(("points", said))
    if tally is not None:
        lines += agreement.lines(tally, student.classes_)
    if found.unanswered:
        lines.insert(0, ("answers", spoken.unanswered_said(found.unanswered, found.size or 0)))
    lines.append(("student", f"{out}, from {found.n} rows in {found.passes} passes"))
    facts = {"linearity": student.linearity_, "alpha": student.alpha_, "student": out}
    facts |= {**agreement.facts(tally, student.classes_), "unanswered": found.unanswered}
    return lines, {**facts, "rows": found.n, "passes": found.passes, "sampled": found.sampled}
