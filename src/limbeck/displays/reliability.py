"""Is what the student says what the teacher says, on average, at every level?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from limbeck import _check
from limbeck.displays.style import BLACK, BLUE, ORANGE, house_style, new_figure
from limbeck.labels import Array, from_probabilities


@dataclass(eq=False)
class ReliabilityDisplay:
    """Mean soft label of the teacher against the student's probability, in the form of scikit-learn's displays.

    Make one with `from_estimator` or `from_predictions`; draw it, again if wanted, with `plot`.
    """

    student: Array
    """Mean probability of the student in each bin, (b,)."""
    teacher: Array
    """Mean soft label of the teacher there, (b,)."""
    stderr: Array
    """Standard error of the teacher's mean, (b,); NaN for a bin of one row."""
    spread: Array
    """Quantiles of the teacher's soft labels in each bin, 10 % and 90 %, (2, b)."""
    count: np.ndarray
    """Rows in each bin, (b,)."""
    class_name: str = "class 1"
    """Class whose probabilities these are, for the axes."""
    ax_: Axes | None = None
    """Axes last drawn on."""
    figure_: Figure | None = None
    """Figure last drawn on."""

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, teacher_proba: ArrayLike, *, code: int = 1, bins: int = 10
    ) -> ReliabilityDisplay:
        """From a fitted student and the teacher's answers on the same rows, which it should not have learned from.

        Parameters
        ----------
        estimator : fitted estimator with `predict_proba`
        X : array-like, shape (m, d)
        teacher_proba : array_like, shape (m,) or (m, K)
        code, bins
            As in `from_predictions`.
        """
        made = cls.from_predictions(teacher_proba, estimator.predict_proba(X), code=code, bins=bins)
        made.class_name = f"class {estimator.classes_[code]}"
        return made

    @classmethod
    def from_predictions(
        cls, teacher_proba: ArrayLike, student_proba: ArrayLike, *, code: int = 1, bins: int = 10
    ) -> ReliabilityDisplay:
        """From probabilities; bins hold equal numbers of rows, ordered by the student's probability.

        Rows of one and the same probability stay in one bin.

        Parameters
        ----------
        teacher_proba, student_proba : array_like, shape (m,) or (m, K)
        code : int
            Class, as its column.
        bins : int
            Most bins, at least 1.
        """
        p, q = _column(teacher_proba, code), _column(student_proba, code)
        if len(p) != len(q):
            raise ValueError(f"{len(p)} answers of the teacher for {len(q)} of the student.")
        if bins < 1:
            raise ValueError(f"bins must be at least 1, got {bins}.")
        edges = np.unique(np.quantile(q, np.linspace(0, 1, bins + 1)[1:-1]))
        index = np.searchsorted(edges, q, side="left")
        members = [p[index == i] for i in np.unique(index)]
        with np.errstate(invalid="ignore", divide="ignore"):
            sizes = np.array([len(m) for m in members])
            squares = np.array([np.sum(np.square(m - m.mean())) for m in members])
            stderr = np.sqrt(squares / (sizes - 1) / sizes)
        return cls(
            np.array([q[index == i].mean() for i in np.unique(index)]),
            np.array([m.mean() for m in members]),
            stderr,
            np.array([np.quantile(m, [0.1, 0.9]) for m in members]).T,
            sizes,
            f"class {code}",
        )

    def plot(self, ax: Axes | None = None, *, legend: bool = True) -> ReliabilityDisplay:
        """Draw on ``ax`` or on a figure of its own.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        legend : bool
            Whether to name the parts.
        """
        with house_style():
            if ax is None:
                _, (ax,) = new_figure(width=4.2, height=4.0)
            ax.plot([0, 1], [0, 1], color=BLACK, ls="--", lw=1.0, label="the same", zorder=1)
            ax.vlines(self.student, *self.spread, color=ORANGE, lw=4, alpha=0.45, label="80 % of the answers")
            bars = 2 * np.nan_to_num(self.stderr)
            ax.errorbar(
                self.student,
                self.teacher,
                bars,
                color=BLUE,
                marker="o",
                lw=1.2,
                label="mean ± 2 standard errors",
            )
            ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
            ax.set(xlabel=f"student's P[{self.class_name}]", ylabel=f"teacher's P[{self.class_name}]")
            if legend:
                ax.legend(loc="upper left")
        self.ax_, self.figure_ = ax, ax.get_figure(root=True)
        return self


def _column(proba: ArrayLike, code: int) -> Array:
    """P[class ``code``], (m,)."""
    labels = from_probabilities(proba)
    _check.count(code, "code", 0)
    if not 0 <= code < labels.n_classes:
        raise ValueError(f"code must be a class, 0 to {labels.n_classes - 1}, got {code}.")
    p = labels.probabilities
    return p[:, code] if p.ndim == 2 else p if code == 1 else 1 - p
