"""How loose the theory is, at a glance: risk against n beside every bound, for several tasks and dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from limbeck.displays.beyond import curve as draw_curve
from limbeck.experiments._experiment import Experiment, Finding, Measured, Settings, Table, grouped
from limbeck.records import Cell, Estimate, Record, pool
from limbeck.theory import (
    MarginTask,
    PolynomialTask,
    SymmetricTask,
    transfer_risk_bound,
    transfer_risk_bound_tight,
)
from limbeck.theory.chain import asymptotic_risk, cotangent_steps
from limbeck.theory.risk import symmetric_risk_at_cotangent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TASKS = (
    ("polynomial", 0.25),
    ("polynomial", 1.0),
    ("polynomial", 4.0),
    ("margin", 5 * np.pi / 12),
    ("margin", 1.5),
)
SIZES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000)
SHOWN = 1000


class Curve(Experiment):
    """Theorem 3, its proof's last line, the bound at the angle reached, and the exact expected risk."""

    name = "curve"
    title = "risk against n beside every bound, several tasks and dimensions"
    repeats: ClassVar[int] = 1000
    quick_repeats: ClassVar[int] = 100
    block: ClassVar[int] = 250
    defaults: ClassVar[Mapping[str, Any]] = {"most": 1000}

    def check(self, settings: Settings) -> None:
        """Refuse an empty grid."""
        if settings["most"] < 1:
            raise ValueError(f"most must be at least 1, got {settings['most']}.")

    def plan(self, settings: Settings) -> list[Cell]:
        """Blocks of simulated transfer sets for each task in each dimension."""
        return [
            cell
            for task, parameter in TASKS
            for d in (100, SHOWN, 10**6)
            for cell in self.blocks(settings, {"task": task, "parameter": parameter, "d": d})
        ]

    def measure(self, cell: Cell, settings: Settings, rng: np.random.Generator) -> Measured:
        """Exact risk at the simulated angles, and the bound there."""
        task, estimates, quantiles = _task(cell.parameters), {}, {}
        sizes = _sizes(task.d, settings)
        for n, cot in enumerate(cotangent_steps(task.tail, task.d, cell.repeats, rng=rng), 1):
            if n in sizes:
                risk = symmetric_risk_at_cotangent(cot, task.tail, task.d)
                estimates[f"risk {n}"] = Estimate.of(risk)
                # p(pi/2 - alpha), whose cotangent is tan(alpha), halved: the task is symmetric.
                with np.errstate(divide="ignore"):
                    estimates[f"angle {n}"] = Estimate.of(0.5 * task.tail.at_cotangent(1.0 / cot))
                quantiles[str(n)] = [float(q) for q in np.quantile(risk, [0.05, 0.95])]
            if n == sizes[-1]:
                break
        return Measured(estimates, quantiles)

    def tabulate(self, records: Sequence[Record], settings: Settings) -> Table:
        """One row a task, dimension and number of labels."""
        rows = []
        for parameters, blocks in grouped(records):
            task, pooled = _task(parameters), pool(blocks)
            for n in _sizes(task.d, settings):
                risk, at_angle = pooled[f"risk {n}"], pooled[f"angle {n}"]
                low, high = np.mean([block.detail[str(n)] for block in blocks], axis=0)
                polynomial = parameters["task"] == "polynomial"
                rows.append(
                    (
                        parameters["task"],
                        parameters["parameter"],
                        task.d,
                        n,
                        risk.mean,
                        risk.stderr,
                        float(low),
                        float(high),
                        transfer_risk_bound(task.tail, n, d=task.d),
                        transfer_risk_bound_tight(task.tail, n, d=task.d),
                        at_angle.mean,
                        asymptotic_risk(parameters["parameter"], task.d, n) if polynomial else None,
                        risk.count,
                    )
                )
        columns = (
            "task parameter d n risk stderr low high bound bound_tight bound_at_angle asymptotic repeats"
        )
        return Table(columns.split(), rows)

    def draw(self, table: Table, records: Sequence[Record], settings: Settings) -> Figure:
        """A panel a task."""
        return draw_curve(table.as_columns(), SHOWN)

    def findings(self, table: Table, settings: Settings) -> list[Finding]:
        """Whether the bounds are ordered, and how loose they are."""
        c = table.as_columns()
        slack = 4 * c["stderr"] + 1e-12
        ordered = bool(
            np.all(c["risk"] - slack <= c["bound_at_angle"])
            and np.all(c["risk"] - slack <= c["bound_tight"])
            and np.all(c["bound_tight"] <= c["bound"] + 1e-12)
        )
        texts, at = [], max(n for n in _sizes(SHOWN, settings) if n <= 20)
        for task, parameter in TASKS:
            here = (c["task"] == task) & (c["parameter"] == parameter) & (c["d"] == SHOWN)
            i = np.flatnonzero(here)[np.argmax(c["n"][here] == at)]
            name = f"κ = {parameter:g}" if task == "polynomial" else f"β = {np.degrees(parameter):.0f}°"
            values = (c[name][i] for name in ("bound", "bound_tight", "bound_at_angle", "risk"))
            texts.append(f"{name}: {', '.join(f'{value:.3g}' for value in values)}")
        return [
            Finding(
                title="Learning curves: how loose is the theory?",
                claim="Theorem 3 bounds the expected transfer risk after n labels.",
                measured=f"At n = {at}, d = {SHOWN}: Theorem 3, its proof's last line, the bound at the "
                f"angle reached, and the exact risk. {'; '.join(texts)}. The bounds forget d; the risk does not: it "
                "falls as (n √d)^−κ.",
                verdict="agrees" if ordered else "differs",
                caption=f"Tasks symmetric about the teacher, d = {SHOWN}; exact risk given the angle, mean over "
                f"{int(c['repeats'][0])} transfer sets simulated by the one-dimensional chain (largest standard error "
                f"{c['stderr'].max():.1g}); shaded, the middle 90 % of transfer sets (5 % and 95 % quantiles of each "
                "block, averaged). Last panel: κ = 1 in three dimensions, with the asymptotic law.",
            )
        ]


def _task(parameters) -> SymmetricTask:
    if parameters["task"] == "polynomial":
        return PolynomialTask(parameters["parameter"], parameters["d"])
    return MarginTask(parameters["parameter"], parameters["d"])


def _sizes(d: int, settings: Settings) -> list[int]:
    return [n for n in SIZES if n < d and n <= settings["most"]]
