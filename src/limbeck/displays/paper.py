"""The paper's five figures, from the columns of their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter

from limbeck.displays.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, house_style, new_figure

Columns = Mapping[str, np.ndarray]

QUARTERS: list[float] = [0, np.pi / 8, np.pi / 4, 3 * np.pi / 8, np.pi / 2]
QUARTER_NAMES = ["0", "π/8", "π/4", "3π/8", "π/2"]


def figure_1(names: Sequence[str], clouds: Sequence[np.ndarray], tails: Sequence[Columns]) -> Figure:
    """Figure 1: three tasks in the plane above, the tail p(theta) of each below.

    Parameters
    ----------
    names : sequence of str
        Titles of the tasks.
    clouds : sequence of ndarray, shape (m, 2)
        Points of each task, the teacher pointing up.
    tails : sequence of mapping
        Columns ``theta``, ``p``, ``low``, ``high`` and ``exact`` of each task.
    """
    with house_style():
        figure, axes = new_figure(len(names), 2, width=7.2, height=4.6)
        for ax, name, cloud in zip(axes, names, clouds, strict=False):
            _plane(ax, cloud)
            ax.set_title(name)
        for i, (ax, tail) in enumerate(zip(axes[len(names) :], tails, strict=True)):
            ax.fill_between(
                tail["theta"], tail["low"], tail["high"], color=BLUE, alpha=0.25, lw=0, label="95 % band"
            )
            ax.plot(tail["theta"], tail["p"], color=BLUE, label="sample")
            ax.plot(tail["theta"], tail["exact"], color=BLACK, ls="--", lw=1.2, label="exact")
            ax.set(xlim=(0, np.pi / 2), ylim=(0, 1.03), xlabel="angle θ")
            ax.set_xticks(QUARTERS, QUARTER_NAMES)
            if i == 0:
                ax.set_ylabel("p(θ)")
                ax.legend(loc="upper right")
        return figure


def figure_2(names: Sequence[str], clouds: Sequence[np.ndarray]) -> Figure:
    """Figure 2: large-margin and polynomial distributions in the plane, the teacher pointing up."""
    with house_style():
        figure, axes = new_figure(len(names), 1, width=7.2, height=2.7)
        for ax, name, cloud in zip(axes, names, clouds, strict=True):
            _plane(ax, cloud)
            ax.set_title(name)
        return figure


def _plane(ax: Axes, cloud: np.ndarray) -> None:
    radius = 2.6
    above = cloud[:, 1] >= 0
    for chosen, colour, marker in ((above, BLUE, "o"), (~above, ORANGE, "x")):
        ax.scatter(*cloud[chosen].T, s=7, c=colour, marker=marker, lw=0.7 if marker == "x" else 0, alpha=0.75)
    ax.axhline(0, color=BLACK, lw=0.8, ls=":")
    ax.annotate("", (0, 0.82 * radius), (0, 0), arrowprops={"arrowstyle": "-|>", "color": BLACK, "lw": 1.4})
    name = ax.text(0.12, 0.80 * radius, "$w_*$", color=BLACK, fontsize=11)
    name.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    ax.set(xlim=(-radius, radius), ylim=(-radius, radius), aspect="equal")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)


def figure_3(columns: Columns) -> Figure:
    """Figure 3: transfer risk against angular alignment, exact and held out; bounds on a log scale."""
    kappa, risk = columns["kappa"], columns["risk"]
    held = columns["heldout_risk"]
    errors = np.abs(np.stack([held - columns["heldout_low"], columns["heldout_high"] - held]))
    with house_style():
        figure, (left, right) = new_figure(2, width=7.4, height=3.3)
        left.plot(kappa, risk, color=BLUE, label="exact risk")
        left.errorbar(kappa, held, errors, fmt="o", color=ORANGE, label="trained and held out, 95 %")
        left.set(ylabel="transfer risk", ylim=(0, 0.5))
        left.legend()
        right.plot(kappa, columns["bound"], color=PURPLE, ls="--", marker="v", label="Theorem 3")
        right.plot(kappa, columns["bound_tight"], color=GREEN, ls="-.", marker="^", label="its proof")
        right.plot(kappa, risk, color=BLUE, marker="o", label="exact risk")
        right.set_ylabel("transfer risk")
        if risk.any():
            right.set_yscale("log")
            right.yaxis.set_major_locator(LogLocator(base=10, numticks=12))
        right.legend(loc="lower left")
        for ax in (left, right):
            ax.set_xscale("log", base=2)
            ax.xaxis.set_major_locator(FixedLocator(list(kappa)))
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.set_xlabel("κ (angular alignment)")
        return figure


def figure_4(columns: Columns) -> Figure:
    """Figure 4: transfer risk against delta on digits 0 and 1, with the limit of no bias at all."""
    delta, risk, stderr = columns["delta"], columns["risk"], columns["stderr"]
    finite = np.isfinite(delta)
    with house_style():
        figure, (ax,) = new_figure()
        ax.errorbar(
            delta[finite],
            risk[finite],
            1.96 * stderr[finite],
            marker="o",
            color=BLUE,
            label="$w_δ$, mean and 95 %",
        )
        if not finite.all():
            limit = risk[~finite][0]
            ax.axhline(limit, color=ORANGE, ls="--", lw=1.2, label=f"|δ| → ∞: {limit:.2f}")
        ax.set(xlabel="δ (larger = less optimisation bias)", ylabel="transfer risk", ylim=(0, None))
        ax.legend(loc="lower right")
        return figure


def figure_5(columns: Columns) -> Figure:
    """Figure 5: risk against monotonicity index, one panel for each reading of the random direction q."""
    learner, drawn = columns["learner"], columns["q"]
    looks = {
        "distillation": (BLUE, "o", "distillation $ŵ$"),
        "hard-target-steps": (ORANGE, "s", "hard target, steps"),
        "hard-target-limit": (ORANGE, "D", "hard target, limit"),
        "biased": (GREEN, "^", "reduced bias $w_δ$"),
    }
    with house_style():
        figure, axes = new_figure(2, width=7.4, height=3.4)
        for ax, q, title in zip(
            axes, ("fresh", "shared"), ("q drawn anew", "q shared, re-projected"), strict=True
        ):
            for name, (colour, marker, label) in looks.items():
                rows = (learner == name) & ((drawn == q) | (drawn == ""))
                ax.errorbar(
                    columns["monotonicity"][rows],
                    columns["risk"][rows],
                    xerr=1.96 * columns["monotonicity_stderr"][rows],
                    yerr=1.96 * columns["stderr"][rows],
                    fmt=marker,
                    color=colour,
                    markerfacecolor="white" if name == "hard-target-limit" else colour,
                    label=label,
                )
            for i, row in enumerate(np.flatnonzero((learner == "biased") & (drawn == q))):
                ax.annotate(
                    _fraction(columns["delta"][row]),
                    (columns["monotonicity"][row], columns["risk"][row]),
                    (4, -11) if i == 0 else (5, 4),
                    textcoords="offset points",
                    fontsize=7.5,
                )
            ax.set(xlabel="monotonicity index", xlim=(None, 1.02), ylim=(0, None), title=title)
        axes[0].set_ylabel("transfer risk")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return figure


def _fraction(delta: float) -> str:
    inverse = 1.0 / delta
    return f"δ = 1/{inverse:.0f}" if inverse > 1 and np.isclose(inverse, round(inverse)) else f"δ = {delta:g}"
