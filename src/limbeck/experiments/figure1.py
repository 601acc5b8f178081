"""Figure 1: p(theta) of three tasks, well aligned, with a margin, and badly aligned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from limbeck.displays.paper import figure_1
from limbeck.experiments._experiment import Experiment, Finding, Measured, Settings, Table
from limbeck.records import Cell, Record
from limbeck.theory import EmpiricalTail, MarginTask, PolynomialTask, SymmetricTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASKS: dict[str, tuple[str, SymmetricTask]] = {
    "A": ("Task A: well aligned (κ = 2)", PolynomialTask(2.0, 2)),
    "B": ("Task B: with a margin (β = π/3)", MarginTask(np.pi / 3, 2)),
    "C": ("Task C: badly aligned (κ = 1/4)", PolynomialTask(0.25, 2)),
}
GRID = np.linspace(0.0, np.pi / 2, 91)


def cloud(task: SymmetricTask, points: int, rng: np.random.Generator) -> list[list[float]]:
    """Points in the plane with the teacher pointing up, rounded to what a figure can show."""
    X = task.sample(points, rng=rng).X
    return np.round(X[:, ::-1], 6).tolist()


class Figure1(Experiment):
    """Three tasks in the plane and the tail of each, from a sample, with its band."""

    name = "figure-1"
    title = "p(theta) of three tasks"
    defaults: ClassVar[Mapping[str, Any]] = {"points": 1000, "confidence": 0.95}

    def check(self, settings: Settings) -> None:
        """Refuse sizes that cannot be drawn."""
        if settings["points"] < 1:
            raise ValueError(f"points must be at least 1, got {settings['points']}.")
        if not 0 < settings["confidence"] < 1:
            raise ValueError(f"confidence must lie strictly between 0 and 1, got {settings['confidence']}.")

    def plan(self, settings: Settings) -> list[Cell]:
        """One cell a task."""
        return [Cell(self.name, {"task": name}) for name in TASKS]

    def measure(self, cell: Cell, settings: Settings, rng: np.random.Generator) -> Measured:
        """Sample the task in the plane."""
        task = TASKS[cell.parameters["task"]][1]
        return Measured(detail={"cloud": cloud(task, settings["points"], rng)})

    def tabulate(self, records: Sequence[Record], settings: Settings) -> Table:
        """Empirical p(theta) with a two-sided Dvoretzky-Kiefer-Wolfowitz band."""
        rows = []
        for record in records:
            points = np.array(record.detail["cloud"])
            tail = EmpiricalTail.of(points, [0.0, 1.0])
            half = tail.band((1 + settings["confidence"]) / 2)  # two-sided
            p = tail(GRID)
            low, high = np.maximum(p - half, 0.0), np.minimum(p + half, 1.0)
            rows += [
                (record.cell.parameters["task"], *values) for values in zip(GRID, p, low, high, strict=True)
            ]
        return Table(("task", "theta", "p", "low", "high"), rows)

    def draw(self, table: Table, records: Sequence[Record], settings: Settings) -> Figure:
        """Clouds above, tails below."""
        columns, tails = table.as_columns(), []
        for name, (_, task) in TASKS.items():
            rows = columns["task"] == name
            tail = {c: columns[c][rows] for c in ("theta", "p", "low", "high")}
            tails.append({**tail, "exact": task.tail(GRID)})
        clouds = [np.array(record.detail["cloud"])[:400] for record in records]
        return figure_1([title for title, _ in TASKS.values()], clouds, tails)

    def findings(self, table: Table, settings: Settings) -> list[Finding]:
        """Whether the exact tail lies in the band of the sample, and B reaches 0 before pi/2."""
        columns = table.as_columns()
        inside, at_edge = {}, {}
        for name, (_, task) in TASKS.items():
            rows = columns["task"] == name
            exact = task.tail(GRID)
            inside[name] = bool(
                np.all((exact >= columns["low"][rows] - 1e-12) & (exact <= columns["high"][rows] + 1e-12))
            )
            at_edge[name] = float(columns["p"][rows][GRID.searchsorted(1.2)])
        ordered = at_edge["B"] == 0.0 < at_edge["A"] < at_edge["C"]
        return [
            Finding(
                title="Figure 1: the tail p(θ) of a task",
                claim="Well-aligned data make p(θ) fall fast, a margin makes it reach 0 before π/2, badly "
                "aligned data make it fall slowly.",
                measured=f"p(1.2) is {at_edge['A']:.3f} (A), {at_edge['B']:.3f} (B), {at_edge['C']:.3f} (C) on "
                f"{settings['points']} points each; the exact tail lies inside the {100 * settings['confidence']:g} % "
                f"band for {sum(inside.values())} of {len(inside)} tasks.",
                verdict="agrees" if ordered and all(inside.values()) else "differs",
                caption="Above: 400 points of each task, the teacher pointing up. Below: share of points whose "
                "angle to the teacher is at least θ, with a band that holds for all θ at once "
                "(Dvoretzky-Kiefer-Wolfowitz), and the exact tail. The paper draws a schematic; these tasks "
                "are ours.",
            )
        ]
