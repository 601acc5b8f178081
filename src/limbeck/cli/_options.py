"""Options that several commands share, and how they are read: tables, features, the teacher's answers, output files."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text as Words

from limbeck.cli import _provenance as provenance
from limbeck.cli._console import messages
from limbeck.kinds import RowError
from limbeck.records import UserError, check_replaceable, locked

if TYPE_CHECKING:
    from limbeck.data.answers import Answers, Teacher
    from limbeck.data.features import Features
    from limbeck.data.tables import Table
    from limbeck.labels import SoftLabels

TableArgument = Annotated[
    Path, typer.Argument(metavar="TABLE", help="Points: .csv, .tsv, .jsonl (also .gz), .parquet or .npz.")
]
FeatureGlobs = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        metavar="GLOB",
        help="Numeric columns, such as 'emb_*'. Repeatable. Ids, answers, weights and indexes are left out.",
    ),
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
        help="The teacher's probability of the second class; or a column a class: repeat, or a pattern such as 'p_*'; "
        "or a column of lists or dictionaries; with --teacher-label, the probability of the label.",
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
        help="Answers that name the top few classes, the others' cells empty: the missing mass is spread over them, "
        "taken as zero (each row is divided by its sum), or an error.",
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

Weight = Annotated[
    str | None,
    typer.Option(
        "--weight",
        metavar="COL",
        help="Column of row weights, at least 0: a row of weight 2 counts as two. Beside the answers, or the points.",
    ),
]

USUAL = "audit"
"""Column by which ``limbeck label`` says which answers it bought at random."""
ANSWERS = re.compile(r"teacher_(probability|log_probability|logit|label)(_.*)?")
"""Names of columns that hold a teacher's answers, asked for or not."""
INDEX = re.compile(r"|Unnamed: [\d.]+|__index_level_\d+__")
"""Names that pandas, and tables it wrote, give to a column of row labels."""
SUSPECT = re.compile(r"(p|prob|proba|probability|logit|label|target|prediction)(_.*)?", re.IGNORECASE)
"""Names that many give to a column of answers."""
RUNNING = ("index", "level_0", "row")
"""Names of columns that are an index where they hold running numbers."""

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
    taken: Mapping[str, str] | None = None,
) -> Features:
    """Return the features asked for, and print them with the columns that a pattern matches and that are left out.

    An array ``X`` of an .npz is used if nothing is asked for.

    Parameters
    ----------
    taken : mapping, optional
        Columns of another use, and that use. An index, an audit mark and answers by the usual names are added, unless
        they are named exactly.
    """
    from limbeck.data.features import choose

    if not globs and embedding is None and text is None and "X" in table.columns:
        embedding = "X"
    named, taken = {*(globs or ()), embedding, text}, dict(taken or {})
    wild = [glob for glob in globs or () if glob not in table.columns]
    matched = [name for name in table.columns if any(fnmatchcase(name, glob) for glob in wild)]
    settled = {*named, *taken}
    usual = {name: use for name in matched if name not in settled and (use := _use_of(table, name))}
    chosen = choose(table, globs or (), embedding, text, taken={*taken, *usual})
    show_features(chosen, {name: taken[name] for name in matched if name in taken} | usual)
    known = set(matched)
    if like := [name for name in chosen.columns if name in known and SUSPECT.fullmatch(name)]:
        messages().print(Words(f"Note: features named like answers: {_listed(like)}."))
    if usual:
        example = shlex.quote(next(iter(usual)))
        messages().print(Words(f"To use {example} as a feature, name it: --features {example}."))
    return chosen


def _use_of(table: Table, name: str) -> str:
    """What a column is for, by its name and its values; empty if it can be a feature."""
    from limbeck.data.pool import counts_up

    if ANSWERS.fullmatch(name):
        return "answers"
    if INDEX.fullmatch(name) or (name in RUNNING and counts_up(table, name)):
        return "index"
    return "marks rows drawn at random" if name == USUAL and audit_column(table, None) == USUAL else ""


def show_features(chosen: Features, excluded: Mapping[str, str] | None = None) -> None:
    """Print what a point is made of, and which columns are left out for what use."""
    by_use: dict[str, list[str]] = {}
    for name, use in (excluded or {}).items():
        by_use.setdefault(use, []).append(name)
    shown = [f"{_listed(names)} ({use})" for use, names in by_use.items()]
    messages().print(Words(f"Features: {chosen}." + (f" Not used: {', '.join(shown)}." if shown else "")))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def warn_of_deciding(X: Any, answers: Answers | SoftLabels, features: Features) -> None:
    """Print a warning if one feature of several alone determines the teacher's decisions."""
    from limbeck.data.features import deciding

    found = deciding(X, answers.decisions)
    if len(found):
        names = features.names
        first = repr(names[found[0]]) if found[0] < len(names) else f"number {found[0] + 1}"
        more = f" (and {len(found) - 1} others)" if len(found) > 1 else ""
        messages().print(
            Words(
                f"Warning: feature {first} alone{more} determines the decisions of all "
                f"{len(answers)} answers. If it was computed from the answers, leave it out of --features."
            )
        )


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
    decided = found.keys() == {"probability", "label"} and any(given.values())
    if len(found) != 1 and not decided:
        said = " and ".join(found) if found else "none"
        raise UserError(
            f"{table.path}: one kind of answer is needed, {said} given. Use one of --teacher-probability, "
            "--teacher-logit, --teacher-log-probability, --teacher-label."
        )
    if decided:
        return _decided(table, found["probability"], found["label"], names_of(classes), unanswered, top_k)
    ((kind, patterns),) = found.items()
    if top_k is not None and kind not in ("log-probability", "probability"):
        raise UserError(
            "--top-k reads log-probabilities (--teacher-log-probability) or probabilities (--teacher-probability), "
            f"{kind} was given."
        )
    if kind == "label":
        require(table, patterns)
        return Teacher(kind, patterns, names_of(classes), unanswered)
    columns = columns_named(table, f"--teacher-{kind}", patterns)
    names = classes_named(table, patterns, columns) if classes is None else names_of(classes)
    return Teacher(kind, columns, names, unanswered, top_k)


def _decided(
    table: Table,
    probability: Sequence[str],
    label: Sequence[str],
    classes: tuple[str, ...] | None,
    unanswered: str,
    top_k: str | None,
) -> Teacher:
    """A column of labels and one of the probability of each."""
    from limbeck.data.answers import Teacher, columns_named
    from limbeck.data.tables import require

    require(table, label)
    columns = columns_named(table, "--teacher-probability", probability)
    if len(columns) != 1:
        raise UserError(
            f"With --teacher-label, --teacher-probability is one column, the probability of the label; "
            f"{len(columns)} were given. Of a column for each class, leave --teacher-label out."
        )
    return Teacher("probability", (*columns, *label), classes, unanswered, top_k, decided=True)


SYNTAX = (
    (r"saturated='(\w+)'", r"--saturated \1"),
    (r"\balpha > 0", "a positive --alpha"),
    (r"\balpha='?(\w+)'?", r"--alpha \1"),
    (r"give alpha a number", "give --alpha a number"),
    (r"fit_intercept=False", "--no-intercept"),
)
"""Parameters that messages of the estimators name, and the options for them."""


def in_options(error: Exception, *, saturated: bool = False, rows: Any = None) -> UserError:
    """An estimator's error in terms of a command's options, of which --saturated may not be one.

    ``rows`` are the table's rows, from 0, that the estimator saw.
    """
    if isinstance(error, UserError):
        return error
    text = str(error)
    if isinstance(error, RowError):
        row = error.row if rows is None else int(rows[error.row])
        text = error.text("command", row + 1, None if error.column is None else error.column + 1)
    if not saturated:
        text = re.sub(r"saturated='\w+'(, | or )", "", text)
    for pattern, option in SYNTAX:
        text = re.sub(pattern, option, text)
    return UserError(text)


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
