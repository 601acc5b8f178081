"""Figure 2: distributions in the plane with an angular margin, and with a polynomial tail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from limbeck.displays.paper import figure_2
from limbeck.experiments._experiment import Experiment, Finding, Measured, Settings, Table
from limbeck.experiments.figure1 import cloud
from limbeck.records import Cell, Record
from limbeck.theory import EmpiricalTail, MarginTask, PolynomialTask, SymmetricTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BETA = 5 * np.pi / 12
TASKS: dict[str, tuple[str, SymmetricTask]] = {
    "margin": ("Margin, β = 5π/12", MarginTask(BETA, 2)),
    "polynomial-1": ("Polynomial, κ = 1", PolynomialTask(1.0, 2)),
    "polynomial-2": ("Polynomial, κ = 2", PolynomialTask(2.0, 2)),
}


class Figure2(Experiment):
    """Samples in the plane from the tasks of Corollaries 1 and 2."""

    name = "figure-2"
    title = "large-margin and polynomial tasks in the plane"
    defaults: ClassVar[Mapping[str, Any]] = {"points": 500}

    def check(self, settings: Settings) -> None:
        """Refuse an empty sample."""
        if settings["points"] < 1:
            raise ValueError(f"points must be at least 1, got {settings['points']}.")

    def plan(self, settings: Settings) -> list[Cell]:
        """One cell a task."""
        return [Cell(self.name, {"task": name}) for name in TASKS]

    def measure(self, cell: Cell, settings: Settings, rng: np.random.Generator) -> Measured:
        """Sample the task in the plane."""
        return Measured(detail={"cloud": cloud(TASKS[cell.parameters["task"]][1], settings["points"], rng)})

    def tabulate(self, records: Sequence[Record], settings: Settings) -> Table:
        """All points; x2 is along the teacher."""
        rows = [(r.cell.parameters["task"], *point) for r in records for point in r.detail["cloud"]]
        return Table(("task", "x1", "x2"), rows)

    def draw(self, table: Table, records: Sequence[Record], settings: Settings) -> Figure:
        """Three clouds."""
        return figure_2(
            [title for title, _ in TASKS.values()], [np.array(r.detail["cloud"]) for r in records]
        )

    def findings(self, table: Table, settings: Settings) -> list[Finding]:
        """Largest angle under the margin, and the distance of each sample from its law."""
        columns, worst = table.as_columns(), {}
        for name, (_, task) in TASKS.items():
            rows = columns["task"] == name
            points = np.stack([columns["x1"][rows], columns["x2"][rows]], axis=1)
            tail = EmpiricalTail.of(points, [0.0, 1.0])
            gap = np.abs(tail(tail.angles) - task.tail(tail.angles)).max() + 1 / len(points)
            worst[name] = (float(gap), tail.band(0.995), float(tail.angles[-1]))
        fits = all(gap <= band for gap, band, _ in worst.values())
        clear = worst["margin"][2] <= BETA + 1e-5
        return [
            Finding(
                title="Figure 2: tasks with a margin, and with a polynomial tail",
                claim="A large-margin task has a wedge of zero mass along the boundary (β = 5π/12); a polynomial "
                "task thins out towards it, faster for larger κ.",
                measured=f"Largest angle to the teacher in the margin sample: {worst['margin'][2]:.4f} "
                f"(β = {BETA:.4f}). Largest distance between sample and law: "
                + ", ".join(f"{gap:.3f} ({name})" for name, (gap, _, _) in worst.items())
                + f"; a true law stays below {worst['margin'][1]:.3f} with probability 99 %.",
                verdict="agrees" if fits and clear else "differs",
                caption=f"{settings['points']} points of each task in the plane; circles are the teacher's class "
                "1, crosses class 0, the dotted line its decision boundary. The angle to the teacher's axis "
                "follows the task's law, the length is |N(0, 1)|.",
            )
        ]
