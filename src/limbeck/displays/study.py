"""Figures of one student: learning curves side by side, the ridge path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure

from limbeck.displays.style import BLACK, BLUE, CYCLE, MARKERS, house_style, new_figure


class Curve(Protocol):
    """Risk after n labels with its interval, as `limbeck.students.study.Curve` has it."""

    @property
    def n(self) -> np.ndarray:
        """Numbers of labels, (k,)."""
        ...

    @property
    def risk(self) -> np.ndarray:
        """Risk after each, (k,)."""
        ...

    @property
    def low(self) -> np.ndarray:
        """Lower end of its interval, (k,)."""
        ...

    @property
    def high(self) -> np.ndarray:
        """Upper end, (k,)."""
        ...


def learning_curves(curves: Mapping[str, Curve]) -> Figure:
    """Held-out disagreement against the number of labels, one named line a curve, with error bars."""
    with house_style():
        figure, (ax,) = new_figure(width=6.0, height=3.6)
        for i, (name, curve) in enumerate(curves.items()):
            colour, marker = CYCLE[i % len(CYCLE)], MARKERS[i % len(MARKERS)]
            x = curve.n * 1.03 ** (
                i - (len(curves) - 1) / 2
            )  # side by side, so that bars do not hide each other
            bars = np.array([curve.risk - curve.low, curve.high - curve.risk])
            ax.errorbar(x, curve.risk, bars, color=colour, marker=marker, label=name, lw=1.4)
        ax.set(xscale="log", xlabel="answers learned from", ylabel="disagreement on held-out rows")
        ax.set_ylim(0, None)
        figure.legend(loc="outside lower center", ncols=min(len(curves), 2))
        return figure


def alpha_path(alphas: np.ndarray, losses: np.ndarray, stderrs: np.ndarray, chosen: float) -> Figure:
    """Leave-one-out soft cross-entropy along the ridge; alpha = 0 stands apart at the left, or above the scale."""
    with house_style():
        figure, (ax,) = new_figure(width=6.0, height=3.2)
        positive, bars = alphas > 0, 2 * stderrs
        x = np.where(positive, alphas, alphas[positive].min() / 30)
        # At alpha = 0 near n = rank the loss may be of any size: the choice is what is to be seen.
        shown = losses <= max(1.02 * losses.min(), 3 * np.median(losses))
        ends = np.concatenate(
            [(losses - bars)[shown & np.isfinite(bars)], (losses + bars)[shown & np.isfinite(bars)]]
        )
        low, high = np.min([*ends, *losses[shown]]), np.max([*ends, *losses[shown]])
        room = 0.06 * (high - low) or 0.02 * high
        ax.set_ylim(max(low, 0.0) - room, high + 3 * room)
        inside = positive & shown
        ax.errorbar(x[inside], losses[inside], bars[inside], color=BLUE, marker="o", capsize=2)
        for i in np.flatnonzero(~positive):
            if shown[i]:
                ax.errorbar(x[i], losses[i], bars[i], color=BLUE, marker="s", capsize=2)
                ax.annotate("α = 0", (x[i], losses[i]), (6, 6), textcoords="offset points")
            else:
                ax.plot(x[i], high + room, color=BLUE, marker="^", ls="")
                ax.annotate(
                    f"α = 0: {losses[i]:.3g}, above the scale",
                    (x[i], high + room),
                    (7, 0),
                    textcoords="offset points",
                    va="center",
                )
        ax.axvline(
            chosen if chosen > 0 else x[~positive][0], color=BLACK, ls=":", lw=1.2, label="chosen", zorder=0
        )
        ax.set(xscale="log", xlabel="ridge α", ylabel="leave-one-out loss, nats")
        figure.legend(loc="outside upper right")
        return figure
