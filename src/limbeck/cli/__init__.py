"""The command line: one module a command. Heavy imports wait until a command runs."""

from __future__ import annotations

import errno
import warnings
from typing import Annotated

import typer

from limbeck import __version__
from limbeck.cli import _provenance as provenance
from limbeck.cli import audit, distill, explore, label, plan, predict, reproduce, select
from limbeck.cli._console import fail, warn
from limbeck.cli._options import HELD
from limbeck.records import UserError

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""Of an `OSError`: a disk that is full, read-only or failing."""

app: typer.Typer = typer.Typer(
    name="limbeck",
    help="Exact knowledge distillation into linear students: what the student will learn, how many teacher "
    "answers it needs, which ones, and how sure you can be.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"limbeck {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


app.command(
    "reproduce",
    short_help="Rerun the paper: figures, theorems, errata, in one page.",
    epilog=reproduce.EPILOG,
)(reproduce.reproduce)
app.command("distill", short_help="Learn a student from a table of answers.", epilog=distill.EPILOG)(
    distill.distill
)
app.command("predict", short_help="A saved student's answers for a table.", epilog=predict.EPILOG)(
    predict.predict
)
app.command("select", short_help="Which points to send to the teacher.", epilog=select.EPILOG)(select.select)
app.command("plan", short_help="How many answers a target takes, and their price.", epilog=plan.EPILOG)(
    plan.plan
)
app.command("label", short_help="Buy answers in batches; stop when it is shown.", epilog=label.EPILOG)(
    label.label
)
app.command("audit", short_help="How soon your own linear model is copied.", epilog=audit.EPILOG)(audit.audit)
app.command("explore", short_help="A local page: move a number, see the theory.", epilog=explore.EPILOG)(
    explore.explore
)


def main() -> None:
    """Run the command; errors the user can put right exit with 2."""
    provenance.READ.clear()
    provenance.WRITTEN.clear()
    try:
        with HELD, warnings.catch_warnings():
            warnings.showwarning = warn
            app()
    except UserError as error:
        fail(provenance.changed() or str(error), 2)
    except (ValueError, LookupError, ArithmeticError):  # of rows that do not fit together any more
        said = provenance.changed()
        if said is None:
            raise
        fail(said, 2)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            fail(f"{error.filename}: {error.strerror}. Choose a shorter name.", 2)
        if error.errno not in NO_ROOM:
            raise
        where = "" if error.filename is None else f" ({error.filename})"
        fail(
            f"Writing failed{where}: {error.strerror}. What was being written is removed, files finished before are "
            "whole. Make room, or choose another place, and run the command again.",
            2,
        )
