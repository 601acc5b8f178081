"""The paper's three factors against the width of the student."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limbeck.displays.style import CYCLE, MARKERS, house_style, new_figure

Columns = Mapping[str, np.ndarray]


def nonlinear(columns: Columns) -> Figure:
    """Risk by geometry, risk by bias and monotonicity index, a column a data set and teacher.

    Parameters
    ----------
    columns : mapping
        The table of ``limbeck reproduce nonlinear``.
    """
    tasks = list(dict.fromkeys(zip(columns["data"], columns["teacher"], strict=True)))
    with house_style():
        figure, axes = new_figure(len(tasks), 3, width=2.6 * len(tasks), height=7.4)
        for j, (data, teacher) in enumerate(tasks):
            here = (columns["data"] == data) & (columns["teacher"] == teacher)
            geometry, bias, index = axes[j], axes[len(tasks) + j], axes[2 * len(tasks) + j]
            geometry.set_title(f"{'MNIST 0/1' if data == 'digits' else data}, {teacher} teacher")
            risk = here & (columns["quantity"] == "risk")
            levels = np.unique(columns["geometry"][risk])
            base = columns["geometry"][here & (columns["quantity"] == "gain")][0]
            name = "power" if data == "digits" else "κ"
            _lines(geometry, columns, risk & (columns["delta"] == 0), "geometry", levels, f"{name} = {{:g}}")
            at_base = risk & (columns["geometry"] == base)
            deltas = np.unique(columns["delta"][at_base])
            _lines(bias, columns, at_base, "delta", deltas, "δ = {:g}")
            nearer = here & (columns["quantity"] == "nearer")
            _lines(index, columns, nearer, "delta", np.array([0.0, 1.0]), "δ = {:g}")
            index.axhline(0.5, color="#888888", lw=0.8, ls=":")
            index.set_xlabel("width")
            for ax, top in ((geometry, None), (bias, None), (index, 1.0)):
                # Room for the legend above the lines.
                ax.set_ylim(0, 1.3 * (ax.get_ylim()[1] if top is None else top))
                ax.legend(fontsize=7, ncols=2, loc="upper center")
        for row, label in enumerate(("transfer risk", "transfer risk of w_δ", "monotonicity index")):
            axes[row * len(tasks)].set_ylabel(label)
        return figure


def _lines(ax: Axes, columns: Columns, rows: np.ndarray, by: str, values: np.ndarray, label: str) -> None:
    """One line a value against the width; the kernel limit and the linear student as points to the right."""
    networks = np.unique(columns["width"][rows & (columns["student"] == "network")])
    places = [float(np.log2(width)) for width in networks]
    right = places[-1] + 2 if places else 0.0
    for value, colour, marker in zip(values, CYCLE, MARKERS, strict=False):
        line = rows & (columns[by] == value)
        for student, at in (("network", places), ("kernel", [right]), ("linear", [right + 1.5])):
            chosen = np.flatnonzero(line & (columns["student"] == student))
            chosen = chosen[np.argsort(columns["width"][chosen])]
            if chosen.size:
                ax.errorbar(
                    at,
                    columns["mean"][chosen],
                    1.96 * columns["stderr"][chosen],
                    color=colour,
                    marker=marker,
                    ms=3.5,
                    lw=1.2,
                    label=label.format(value) if student == "kernel" else None,
                )
    shown = [place for place in places if place % 4 == 0]
    ax.set_xticks([*shown, right, right + 1.5], [*(f"{2**p:.0f}" for p in shown), "∞", "lin"])
