"""Figures of a budget: the pool's geometry, the forecast, p(theta) at several norms, looks, and leaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limbeck.displays.style import BLACK, BLUE, CYCLE, GREEN, MARKERS, ORANGE, house_style, new_figure
from limbeck.theory.angles import RIGHT, Tail


def forecast(
    measured: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    carried_on: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    target: float,
    marks: Mapping[str, int],
) -> Figure:
    """The pilot's curve, what it leaves possible beyond, and the target.

    Parameters
    ----------
    measured : sizes, disagreement, low, high
    carried_on : sizes, median, low, high
    target : float
    marks : mapping
        Named numbers of answers.
    """
    n, mean, least, most = measured
    sizes, median, low, high = carried_on
    with house_style():
        figure, (ax,) = new_figure(width=6.0, height=3.6)
        floor = 0.3 * min(float(np.min(median)), target, float(np.min(mean[mean > 0], initial=1.0)))
        ax.fill_between(
            sizes, np.maximum(low, floor), high, color=BLUE, alpha=0.2, lw=0, label="90 % of fits"
        )
        ax.plot(sizes, median, color=BLUE, label="median fit")
        bars = np.array([mean - np.maximum(least, floor), most - mean]).clip(0)
        seen = mean > 0
        ax.errorbar(
            n[seen], mean[seen], bars[:, seen], color=BLACK, marker="o", ls="none", label="measured", lw=1.2
        )
        ax.plot(n[~seen], most[~seen], color=BLACK, marker="v", ls="none")
        ax.axhline(target, color=ORANGE, ls="--", lw=1.2, label="target")
        for (name, at), colour in zip(marks.items(), (GREEN, BLACK), strict=False):
            ax.axvline(at, color=colour, ls=":", lw=1.2, label=name)
        ax.set(xscale="log", yscale="log", xlabel="answers learned from", ylabel="disagreement")
        ax.set_ylim(floor, None)
        figure.legend(loc="outside lower center", ncols=3)
        return figure


def tails(named: Mapping[str, Tail], band: float) -> Figure:
    """P(theta) for several bounds on the teacher's norm, each with its upper band dotted."""
    grid = np.linspace(0.0, RIGHT, 181)
    with house_style():
        figure, (ax,) = new_figure(width=6.0, height=3.2)
        for (name, tail), colour in zip(named.items(), CYCLE, strict=False):
            ax.plot(grid, tail(grid), color=colour, label=name)
            ax.plot(grid, np.minimum(tail(grid) + band, 1.0), color=colour, ls=":", lw=1.0)
        ax.set(xlim=(0, RIGHT), ylim=(0, 1.02), xlabel="angle θ to the teacher", ylabel="p(θ)")
        ax.set_xticks([0, RIGHT / 2, RIGHT], ["0", "π/4", "π/2"])
        ax.legend(loc="lower left")
        return figure


def looks(learned: np.ndarray, share: np.ndarray, upper: np.ndarray, target: float) -> Figure:
    """Audit disagreement after each batch, with the bound that holds at all looks."""
    with house_style():
        figure, (ax,) = new_figure(width=6.0, height=3.2)
        ax.plot(learned, upper, color=ORANGE, marker="v", label="bound, true at all looks")
        ax.plot(learned, share, color=BLUE, marker="o", label="audit sample")
        ax.axhline(target, color=BLACK, ls="--", lw=1.2, label="target")
        ax.set(xlabel="answers learned from", ylabel="disagreement", ylim=(0, None))
        ax.legend()
        return figure


def leaks(curves: Sequence[tuple[str, np.ndarray, np.ndarray]], equations: int) -> Figure:
    """Disagreement of the best copy against the answers seen, one line for each kind of answer."""
    with house_style():
        figure, (ax,) = new_figure(width=6.4, height=4.2)
        for i, (name, n, disagreement) in enumerate(curves):
            ax.plot(
                n,
                disagreement,
                color=CYCLE[i % len(CYCLE)],
                ls="-" if i % 2 == 0 else "--",
                marker=MARKERS[i % len(MARKERS)],
                label=name,
                lw=max(1.0, 2.6 - 0.2 * i),  # where two run together, the wider one shows beneath
                clip_on=False,
            )
        _agreement_lines(ax)
        ax.axvline(equations, color=BLACK, ls=":", lw=1.0)
        least = min((float(d[d > 0].min()) for _, _, d in curves if np.any(d > 0)), default=1e-3)
        ax.set_yscale("symlog", linthresh=min(least, 5e-4), linscale=0.5)  # zero has a place of its own
        ax.set(xscale="log", ylim=(0, 1), xlabel="answers seen", ylabel="disagreement of the best copy")
        figure.legend(loc="outside lower center", ncols=4)
        return figure


def _agreement_lines(ax: Axes) -> None:
    for share, name in ((0.01, "99 %"), (0.001, "99.9 %")):
        ax.axhline(share, color=BLACK, lw=0.8, ls=(0, (1, 2)))
        ax.annotate(name, (0.995, share), (0, 2), xycoords=("axes fraction", "data"), ha="right", fontsize=8,
                    textcoords="offset points")  # fmt: skip
