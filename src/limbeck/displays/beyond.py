"""Figures the paper does not have: deep students, and how loose each bound is along the curve."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from limbeck.displays.style import CYCLE, MARKERS, house_style, new_figure
from limbeck.displays.transfer_risk import TransferRiskDisplay

Columns = Mapping[str, np.ndarray]


def deep(columns: Columns) -> Figure:
    """Trajectories, the leak against the size of the start, and the effect of imbalance.

    Parameters
    ----------
    columns : mapping
        The table of ``limbeck reproduce deep``.
    """
    kind, depth = columns["kind"], columns["depth"]
    with house_style():
        figure, (left, middle, right) = new_figure(3, width=9.6, height=3.4)
        for N, colour, marker in zip(np.unique(depth), CYCLE, MARKERS, strict=False):
            rows = (kind == "trajectory") & (depth == N)
            left.plot(columns["time"][rows], columns["distance"][rows], color=colour, label=f"N = {N:.0f}")
            rows = (kind == "leak") & (depth == N)
            x, leak, radius = columns["start_norm"][rows], columns["leak"][rows], columns["radius"][rows]
            middle.plot(x, leak, color=colour, marker=marker)
            middle.plot(x[np.isfinite(radius)], radius[np.isfinite(radius)], color=colour, ls="--", lw=1.1)
            rows = (kind == "imbalance") & (depth == N)
            right.errorbar(
                columns["balance_error"][rows],
                columns["deviation"][rows],
                1.96 * columns["deviation_stderr"][rows],
                color=colour,
                marker=marker,
            )
        left.set(
            xscale="symlog",
            yscale="log",
            xlim=(0, None),
            xlabel="time of the flow",
            ylabel="distance to the exact limit",
        )
        left.set_xscale("symlog", linthresh=1.0)
        left.xaxis.set_major_locator(LogLocator(base=10, numticks=6))
        middle.set(xscale="log", yscale="log", xlabel="‖w(0)‖ / ‖ŵ‖", ylabel="leak ‖w(∞) − ŵ‖ / ‖ŵ‖")
        middle.set_title("solid: exact, dashed: Theorem 2")
        right.set(
            xscale="log", yscale="log", xlabel="balance error", ylabel="deviation from the balanced limit"
        )
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6)
        return figure


def curve(columns: Columns, shown_d: float) -> Figure:
    """Risk against n beside its bounds, one panel a task at dimension ``shown_d``; the last over dimensions.

    Parameters
    ----------
    columns : mapping
        The table of ``limbeck reproduce curve``.
    shown_d : float
        Dimension of the panels.
    """
    titles = list(dict.fromkeys(zip(columns["task"], columns["parameter"], strict=True)))
    with house_style():
        figure, axes = new_figure(3, (len(titles) + 3) // 3, width=9.6, height=5.8)
        for ax, (task, parameter) in zip(axes, titles, strict=False):
            here = (columns["task"] == task) & (columns["parameter"] == parameter)
            rows = here & (columns["d"] == shown_d)
            TransferRiskDisplay(
                columns["n"][rows],
                columns["risk"][rows],
                columns["low"][rows],
                columns["high"][rows],
                {
                    "Theorem 3": columns["bound"][rows],
                    "its proof": columns["bound_tight"][rows],
                    "at the angle reached": columns["bound_at_angle"][rows],
                },
                interval_name="90 % of transfer sets",
            ).plot(ax, legend=False)
            ax.set(title=_title(task, parameter), ylim=(max(1e-12, _least(columns["risk"][rows])), 1.3))
        last = axes[len(titles)]
        first = (columns["task"] == "polynomial") & (columns["parameter"] == 1.0)
        for d, colour in zip(np.unique(columns["d"][first]), CYCLE, strict=False):
            rows = first & (columns["d"] == d)
            last.plot(
                columns["n"][rows],
                columns["risk"][rows],
                color=colour,
                label=f"d = {d:.0e}".replace("e+0", "e"),
            )
            last.plot(columns["n"][rows], columns["asymptotic"][rows], color=colour, ls=":", lw=1.1)
        last.set(xscale="log", yscale="log", xlabel="labels n", title="κ = 1; dotted: asymptotic law")
        last.legend()
        for spare in axes[len(titles) + 1 :]:
            spare.set_axis_off()
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        return figure


def _title(task: str, parameter: float) -> str:
    return (
        f"polynomial κ = {parameter:g}"
        if task == "polynomial"
        else f"margin β = {np.degrees(parameter):.0f}°"
    )


def _least(risk: np.ndarray) -> float:
    positive = risk[risk > 0]
    return 0.3 * float(positive.min()) if positive.size else 1e-9
