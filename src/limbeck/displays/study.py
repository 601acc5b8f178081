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
    """Leave-one-out soft cross-entropy along the ridge; alpha = 0 stands apart at the left."""
    with house_style():
        figure, (ax,) = new_figure(width=6.0, height=3.2)
        positive = alphas > 0
        x = np.where(positive, alphas, alphas[positive].min() / 30)
        ax.errorbar(x[positive], losses[positive], 2 * stderrs[positive], color=BLUE, marker="o", capsize=2)
        if not positive.all():
            ax.errorbar(x[~positive], losses[~positive], 2 * stderrs[~positive], color=BLUE, marker="s")
            ax.annotate("α = 0", (x[~positive][0], losses[~positive][0]), (0, 9), textcoords="offset points")
        ax.axvline(
            chosen if chosen > 0 else x[~positive][0], color=BLACK, ls=":", lw=1.2, label="chosen", zorder=0
        )
        least = losses.min()
        # At alpha = 0 near n = rank the loss may be of any size: the choice is what is to be seen.
        ax.set_ylim(0.98 * least, max(1.02 * least, min(losses.max(), 3 * np.median(losses))))
        ax.set(xscale="log", xlabel="ridge α", ylabel="leave-one-out loss, nats")
        ax.legend()
        return figure
