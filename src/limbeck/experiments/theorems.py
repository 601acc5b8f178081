"""Every statement of the paper checked on data, and every slip shown by an example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

import limbeck.experiments._deep_statements  # noqa: F401 - registers its statements
from limbeck.experiments._errata import ERRATA
from limbeck.experiments._experiment import Experiment, Finding, Measured, Settings, Table
from limbeck.experiments._statements import STATEMENTS
from limbeck.records import Cell, Record

SLIPS = {"refuted": "are refuted", "loose": "are loose", "outside": "speak outside their assumptions"}


class Theorems(Experiment):
    """One row a statement, one row an erratum."""

    name = "theorems"
    title = "every theorem, lemma and corollary on data; the errata"
    repeats: ClassVar[int] = 60
    quick_repeats: ClassVar[int] = 12
    block: ClassVar[int] = 60

    def plan(self, settings: Settings) -> list[Cell]:
        """One cell a statement or erratum."""
        rows = [("statement", s.name) for s in STATEMENTS] + [("erratum", e.name) for e in ERRATA]
        return [
            Cell(self.name, {"kind": kind, "name": name}, repeats=settings.repeats) for kind, name in rows
        ]

    def measure(self, cell: Cell, settings: Settings, rng: np.random.Generator) -> Measured:
        """Run one check."""
        name = cell.parameters["name"]
        if cell.parameters["kind"] == "statement":
            (found,) = (s for s in STATEMENTS if s.name == name)
            cases, violation = found.check(rng, cell.repeats)
            verdict = "holds" if violation <= found.tolerance else "fails"
        else:
            (found,) = (e for e in ERRATA if e.name == name)
            cases, violation = found.example(rng, cell.repeats)
            verdict = found.verdict if violation > 0 else "not shown"
        return Measured(
            detail={"cases": cases, "violation": violation, "verdict": verdict, "says": found.says}
        )

    def tabulate(self, records: Sequence[Record], settings: Settings) -> Table:
        """Statement, kind, severity of an erratum, cases, largest violation, verdict."""
        severity = {e.name: e.severity for e in ERRATA}
        rows = [
            (
                r.cell.parameters["name"],
                r.cell.parameters["kind"],
                severity.get(r.cell.parameters["name"], ""),
                r.detail["cases"],
                float(f"{r.detail['violation']:.3g}"),
                r.detail["verdict"],
            )
            for r in records
        ]
        return Table(("statement", "kind", "severity", "cases", "largest_violation", "verdict"), rows)

    def findings(self, table: Table, settings: Settings) -> list[Finding]:
        """How many statements hold and how many slips were shown."""
        c = table.as_columns()
        statements, errata = c["kind"] == "statement", c["kind"] == "erratum"
        held = int(np.sum(c["verdict"][statements] == "holds"))
        found = Counter(c["verdict"][errata].tolist())
        severities = ", ".join(f"{n} {s}" for s, n in Counter(c["severity"][errata].tolist()).most_common())
        everything = held == statements.sum() and not found["not shown"]
        # The statements as limbeck has them hold; where the print slips is a row of its own.
        verdict = "agrees in part" if errata.any() else "agrees"
        slips = ", ".join(f"{found[kind]} {what}" for kind, what in SLIPS.items() if found[kind])
        return [
            Finding(
                title="Theorems and errata",
                claim="The paper's theorems, corollaries and lemmas.",
                measured=f"{held} of {int(statements.sum())} statements, corrected where the print slips, hold on "
                f"every case looked at. Of {int(errata.sum())} errata ({severities}) {found['refuted']} refute the "
                f"print, {found['loose']} show it true but loose, {found['outside']} show what is so outside its "
                f"assumptions; {found['not shown']} could not be shown.",
                verdict=verdict if everything else "differs",
                caption="",
                part=f"as printed, {slips}; corrected, all hold" if everything and slips else "",
            )
        ]
