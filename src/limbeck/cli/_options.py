"""Options that several commands share, and how they are read: tables, features, the teacher's answers, output files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.cli import _provenance as provenance
from limbeck.cli._console import messages
from limbeck.records import UserError, check_replaceable, locked

if TYPE_CHECKING:
    from limbeck.data.answers import Teacher
    from limbeck.data.features import Features
    from limbeck.data.tables import Table

TableArgument = Annotated[
    Path, typer.Argument(metavar="TABLE", help="Points: .csv, .tsv, .parquet, .jsonl or .npz.")
]
FeatureGlobs = Annotated[
    list[str] | None,
    typer.Option("--features", metavar="GLOB", help="Numeric columns, such as 'emb_*'. Repeatable."),
]
Embedding = Annotated[str | None, typer.Option(metavar="COL", help="A column holding a list of numbers.")]
Text = Annotated[str | None, typer.Option(metavar="COL", help="A column of text, counted as TF-IDF.")]
Vocabulary = Annotated[int, typer.Option(metavar="N", help="Words of --text that become features.")]
Identifier = Annotated[
    str | None, typer.Option("--id", metavar="COL", help="Column of ids.", show_default="id, if there is one")
]
Probability = Annotated[
    list[str] | None,
    typer.Option(
        "--teacher-probability",
        metavar="GLOB",
        help="The teacher's probability of the second class; or a column a class: repeat, or a pattern such as 'p_*'.",
    ),
]
Logit = Annotated[
    list[str] | None,
    typer.Option("--teacher-logit", metavar="GLOB", help="The same as log-odds, or as scores a class."),
]
LogProbability = Annotated[
    list[str] | None,
    typer.Option("--teacher-log-probability", metavar="GLOB", help="The same as logarithms."),
]
Label = Annotated[
    str | None, typer.Option("--teacher-label", metavar="COL", help="Hard labels, where there is no more.")
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...",
        help="Names of the classes, in the order of the teacher's columns.",
        show_default="what * matched, or the columns' names after a common prefix",
    ),
]
TopK = Annotated[
    str | None,
    typer.Option(
        metavar="uniform|zero|raise",
        help="Log-probabilities of the top few classes, the others' cells empty: their mass is spread, taken as none, "
        "or an error.",
    ),
]
Unanswered = Annotated[
    str,
    typer.Option(
        metavar="error|drop",
        help="A row whose answer cells are all empty: an error, or not learned from, and counted.",
    ),
]
Audit = Annotated[
    str | None,
    typer.Option(
        metavar="COL",
        help="Column of 0 and 1 beside the answers, 1 where a row was drawn at random: only such rows measure. '': "
        "all were.",
        show_default="audit, if there is one of 0 and 1",
    ),
]
AnswersTable = Annotated[
    Path | None,
    typer.Option(
        "--answers",
        metavar="TABLE",
        help="A second table with the answers, joined by --id; without ids, by its column row.",
    ),
]
Scheduler = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="local, or a Dask scheduler: tcp://host:8786. The results are the same."
    ),
]
Stream = Annotated[
    bool | None,
    typer.Option(
        "--stream/--at-once", help="Read the table in blocks, a few times over.", show_default="by --memory"
    ),
]
Memory = Annotated[
    float, typer.Option(metavar="GIB", help="Stream if four copies of the table would not fit in this.")
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Threads, where local; the results are the same.", show_default="all cores"),
]
Scale = Annotated[
    str,
    typer.Option(
        metavar="none|standard|sharpen",
        help="Metric of the features, from the points alone: mean 0 and variance 1, or X S^1/4.",
    ),
]
Ridge = Annotated[
    str,
    typer.Option("--alpha", help='Ridge: a number, 0 for the paper\'s student, or "loo" to choose.'),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random choice.")]
Report = Annotated[Path | None, typer.Option(metavar="HTML", help="Write a report, one self-contained page.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Keep what a run that stopped had finished, and do the rest.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Say what was found as one JSON object, for scripts.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace output files that exist.")]

USUAL = "audit"
ANSWERS = re.compile(r"teacher_(probability|log_probability|logit|label)(_.*)?")
"""Names of columns that hold a teacher's answers, asked for or not."""
"""Column by which ``limbeck label`` says which answers it bought at random."""

HELD = ExitStack()
"""Output files of the command that runs, which no other run may write: released when it ends."""


def check_scale(scale: str) -> None:
    """Refuse a metric that there is none of."""
    from limbeck.students.study import SCALES

    if scale not in SCALES:
        raise UserError(f"--scale {scale}: one of {', '.join(SCALES)} is needed.")


def ridge_of(alpha: str) -> float | str:
    """The number that --alpha gives, or ``loo``."""
    try:
        ridge: float | str = "loo" if alpha == "loo" else float(alpha)
    except ValueError:
        ridge = -1.0
    if ridge != "loo" and not 0 <= float(ridge) < float("inf"):
        raise UserError(f'--alpha {alpha}: a number >= 0, or "loo" to choose it by leave-one-out.')
    return ridge


def open_points(path: Path) -> Table:
    """Open a table, or say which extra reads tables."""
    _need_pyarrow()
    from limbeck.data.tables import open_table

    provenance.note(path)
    return open_table(path)


def _need_pyarrow() -> None:
    if find_spec("pyarrow") is None:
        raise UserError(
            "Tables are read with pyarrow, which is not installed: pip install 'limbeck[tables]'."
        )


def open_head(path: Path) -> Table:
    """Open a table, or the first one of a folder of them, to see what columns there are."""
    if not path.is_dir():
        return open_points(path)
    _need_pyarrow()
    from limbeck.data.sources import files_of

    files = files_of(path)
    for file in files:
        provenance.note(file)
    return open_points(files[0])


def open_whole(path: Path) -> Table:
    """Open a table, or a folder of them as one."""
    if not path.is_dir():
        return open_points(path)
    _need_pyarrow()
    from limbeck.data.sources import FolderTable

    return FolderTable(path)


def features_of(
    table: Table,
    globs: Sequence[str] | None,
    embedding: str | None,
    text: str | None,
    *,
    taken: Sequence[str] = (),
) -> Features:
    """Features asked for; an array ``X`` of an .npz is taken without being asked for.

    A column that says which rows were drawn at random is none, nor is a teacher's answer of another kind than the one
    that is learned, unless it is named exactly.
    """
    from limbeck.data.features import choose

    if not globs and embedding is None and text is None and "X" in table.columns:
        embedding = "X"
    if USUAL not in [*taken, *(globs or ()), embedding, text] and audit_column(table, None) == USUAL:
        taken = [*taken, USUAL]
        if any(fnmatchcase(USUAL, pattern) for pattern in globs or ()):
            messages().print(f"Column {USUAL!r} of 0 and 1 is no feature: --features {USUAL} makes it one.")
    answers = [name for name in table.columns if ANSWERS.fullmatch(name) and name not in (globs or ())]
    if also := [n for n in answers if n not in taken and any(fnmatchcase(n, g) for g in globs or ())]:
        said = ", ".join(map(repr, also[:3])) + (f" and {len(also) - 3} more" if len(also) > 3 else "")
        messages().print(
            f"The teacher's answers ({said}) are no features: --features with their name makes them such."
        )
    return choose(table, globs or (), embedding, text, taken=[*taken, *also])


def audit_column(table: Table, wanted: str | None) -> str | None:
    """Column that says which answers were drawn at random: the one asked for, else ``audit`` where it holds 0 and 1."""
    from limbeck.data.pool import flags
    from limbeck.data.tables import require

    if wanted is not None:
        require(table, [wanted] if wanted else [])
        return wanted or None
    if USUAL not in table.columns:
        return None
    try:
        flags(table, USUAL)
    except UserError:  # a column of another meaning
        return None
    return USUAL


def identifier_of(table: Table, wanted: str | None, *, answers: Table | None = None) -> str | None:
    """Column of ids: the one asked for, else ``id`` if there is one; it must do to join ``answers``."""
    from limbeck.data.pool import id_column
    from limbeck.data.tables import require

    if wanted is None and "id" in table.columns:
        wanted = "id"
    if wanted is not None:
        require(table, [wanted])
    if answers is not None:
        id_column(answers, table, wanted)
    return wanted


def teacher_of(
    table: Table,
    probability: Sequence[str] | None,
    logit: Sequence[str] | None,
    log_probability: Sequence[str] | None,
    label: str | None,
    classes: str | None,
    *,
    unanswered: str = "error",
    top_k: str | None = None,
) -> Teacher:
    """Where the answers are: exactly one kind; columns that bear the kind's name are found without being asked for."""
    from limbeck.data.answers import Teacher, classes_named, columns_named
    from limbeck.data.tables import matching, require
    from limbeck.labels import TAILS

    if unanswered not in ("error", "drop"):
        raise UserError(f"--unanswered {unanswered}: error or drop is needed.")
    if top_k is not None and top_k not in TAILS:
        raise UserError(f"--top-k {top_k}: what becomes of the mass not named? One of {', '.join(TAILS)}.")
    given = {
        "probability": tuple(probability or ()),
        "logit": tuple(logit or ()),
        "log-probability": tuple(log_probability or ()),
        "label": () if label is None else (label,),
    }
    found = {kind: columns for kind, columns in given.items() if columns}
    if not found:
        usual = {kind: f"teacher_{kind.replace('-', '_')}" for kind in given}
        found = {kind: (name,) for kind, name in usual.items() if name in table.columns}
        if not found:  # one a class, as limbeck label writes them
            several = {kind: f"{name}_*" for kind, name in usual.items() if kind != "label"}
            found = {kind: (glob,) for kind, glob in several.items() if len(matching(table, glob)) > 1}
    if len(found) != 1:
        said = " and ".join(found) if found else "none"
        raise UserError(
            f"{table.path}: one kind of answer is needed, {said} given. Use one of --teacher-probability, "
            "--teacher-logit, --teacher-log-probability, --teacher-label."
        )
    ((kind, patterns),) = found.items()
    if top_k is not None and kind != "log-probability":
        raise UserError(f"--top-k reads log-probabilities (--teacher-log-probability), {kind} was given.")
    if kind == "label":
        require(table, patterns)
        return Teacher(kind, patterns, names_of(classes), unanswered)
    columns = columns_named(table, f"--teacher-{kind}", patterns)
    names = classes_named(table, patterns, columns) if classes is None else names_of(classes)
    return Teacher(kind, columns, names, unanswered, top_k)


def threads(jobs: int | None) -> int:
    """Threads asked for, else one a core."""
    return jobs if jobs is not None else os.cpu_count() or 1


def names_of(classes: str | None) -> tuple[str, ...] | None:
    """Class names from ``a,b,c``."""
    if classes is None:
        return None
    names = tuple(name.strip() for name in classes.split(","))
    if len(names) < 2 or "" in names or len(set(names)) < len(names):
        raise UserError(
            f"--classes {classes}: write at least two different names, such as --classes ham,spam."
        )
    return names


def check_output(path: Path | None, overwrite: bool, endings: Sequence[str] = ()) -> None:
    """Refuse, before any work, an output file that could not or should not be written; else hold it until the end."""
    if path is None:
        return
    if endings and path.suffix.lower() not in endings:
        raise UserError(f"{path}: the output must end in {' or '.join(endings)}.")
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{path}: the name holds bytes that are no UTF-8. Choose another one.") from error
    try:
        folder = path.parent
        if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UserError(f"{path} cannot be written: its folder does not exist or is read-only.")
        HELD.enter_context(locked(path))
        if (path.exists() or path.is_symlink()) and not overwrite:
            raise UserError(f"{path} exists. Choose another name, or --overwrite to replace it.")
        check_replaceable(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}. Choose another name or folder."
        ) from error
    provenance.will_write(path)
