"""Which points to label, what their geometry promises, and which answers are proved: four figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, ScalarFormatter

from limbeck.displays.style import (
    BLACK,
    CYCLE,
    MARKERS,
    house_style,
    new_figure,
)

Array = np.ndarray
QUARTERS: list[float] = [0, np.pi / 8, np.pi / 4, 3 * np.pi / 8, np.pi / 2]
QUARTER_NAMES = ["0", "π/8", "π/4", "3π/8", "π/2"]


def strategies(
    budgets: Array,
    risk: Mapping[str, Array],
    low: Mapping[str, Array],
    high: Mapping[str, Array],
    *,
    covers: str,
    title: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Transfer risk against labels bought, one line a strategy, with intervals.

    Parameters
    ----------
    budgets : ndarray, shape (k,)
        Numbers of labels.
    risk, low, high : mapping of name to ndarray, shape (k,)
        Of each strategy; drawn in this order.
    covers : str
        What the intervals cover, for the legend's title.
    title : str
    ax : matplotlib Axes, optional
        Default: a figure of its own, with a legend.
    """
    with house_style():
        own = ax is None
        if ax is None:
            _, (ax,) = new_figure(width=6.6, height=3.6)
        shift = np.exp(
            0.02 * (np.arange(len(risk)) - (len(risk) - 1) / 2)
        )  # so that intervals do not hide others
        for i, (name, values) in enumerate(risk.items()):
            ends = np.maximum(np.stack([values - low[name], high[name] - values]), 0.0)
            ax.errorbar(
                budgets * shift[i],
                values,
                ends,
                color=CYCLE[i % len(CYCLE)],
                marker=MARKERS[i % len(MARKERS)],
                ls="-" if i < len(CYCLE) else "--",
                elinewidth=0.8,
                capsize=1.5,
                label=name,
            )
        _labels_axis(ax, budgets)
        ax.set(ylabel="transfer risk", ylim=(0, None), title=title)
        if own:
            ax.figure.legend(
                loc="outside right center", title=covers.replace(" for ", "\nfor "), title_fontsize=7.5
            )
        return _figure(ax)


def residual_energy(budgets: Array, energy: Mapping[str, Array], *, ax: Axes | None = None) -> Figure:
    """Share of the pool's energy outside the span of the labelled points, one line a choice of points.

    Parameters
    ----------
    budgets : ndarray, shape (k,)
    energy : mapping of name to ndarray, shape (k,)
    ax : matplotlib Axes, optional
    """
    with house_style():
        if ax is None:
            _, (ax,) = new_figure()
        for i, (name, values) in enumerate(energy.items()):
            ax.plot(budgets, values, color=CYCLE[i], marker=MARKERS[i], label=name)
        _labels_axis(ax, budgets)
        ax.set(ylabel="energy left outside the span", ylim=(0, None))
        ax.legend()
        return _figure(ax)


def certified(
    n: Array,
    shares: Sequence[Array],
    names: Sequence[str],
    *,
    agreement: Array | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Share of the answers that is proved, against labels, one line a bound on the teacher's norm.

    Parameters
    ----------
    n : ndarray, shape (k,)
        Numbers of labels.
    shares : sequence of ndarray, shape (k,)
        Of each bound.
    names : sequence of str
        Of the bounds.
    agreement : ndarray, shape (k,), optional
        Share of held-out answers that do agree, where it is known.
    ax : matplotlib Axes, optional
    """
    with house_style():
        if ax is None:
            _, (ax,) = new_figure(width=6.6)
        for i, (share, name) in enumerate(zip(shares, names, strict=True)):
            ax.plot(n, share, color=CYCLE[i], ls=("-", "--", "-.", ":")[i % 4], label=f"proved if {name}")
        if agreement is not None:
            ax.plot(n, agreement, color=BLACK, ls=":", lw=1.2, label="agrees, counted on held-out points")
        _labels_axis(ax, n)
        ax.set(ylabel="share of answers", ylim=(0, 1.03))
        ax.legend(
            title="linear teacher, exact answers",
            title_fontsize=8,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
        )
        return _figure(ax)


def scalings(
    budgets: Array,
    expected: Mapping[str, Array],
    risk: Mapping[str, Array] | None = None,
) -> Figure:
    """What scaling the features does: expected disagreement under each, and risk for one teacher if given.

    Parameters
    ----------
    budgets : ndarray, shape (k,)
    expected : mapping of scaling to ndarray, shape (k,)
        Expected disagreement if every direction in those features is alike.
    risk : mapping of scaling to ndarray, shape (k,), optional
        Disagreement with one and the same teacher.
    """
    with house_style():
        figure, axes = new_figure(1 if risk is None else 2, width=4.4 if risk is None else 8.0, height=3.3)
        for i, name in enumerate(expected):
            axes[0].plot(budgets, expected[name], color=CYCLE[i], marker=MARKERS[i], label=name)
            if risk is not None:
                axes[1].plot(budgets, risk[name], color=CYCLE[i], marker=MARKERS[i])
        axes[0].set(ylabel="expected disagreement", ylim=(0, None), title="each in its own prior")
        axes[0].legend()
        if risk is not None:
            axes[1].set(ylabel="disagreement with the direction", ylim=(0, None), title="one teacher")
        for ax in axes:
            _labels_axis(ax, budgets)
        return figure


def _labels_axis(ax: Axes, budgets: Array) -> None:
    ax.set(xscale="log", xlabel="labels")
    few = np.asarray(budgets)
    ticks = (
        few if len(few) <= 10 else [k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if k <= few.max()]
    )
    ax.xaxis.set_major_locator(FixedLocator([float(k) for k in ticks]))
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())


def _figure(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure
