"""p(theta), the share of points at an angle of at least theta to a weight vector, with its band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from limbeck.displays.style import BLUE, house_style, new_figure
from limbeck.theory.angles import RIGHT, EmpiricalTail


@dataclass
class TailDisplay:
    """p(theta) of a sample (Eq. 17) with its Dvoretzky-Kiefer-Wolfowitz band, in the form of scikit-learn's displays.

    Make one with `from_estimator` or `from_predictions`; draw it, again if wanted, with `plot`.
    """

    tail: EmpiricalTail
    """Of the sample."""
    confidence: float = 0.95
    """Probability that the band holds the true p everywhere, for a random sample and weights that did not see it."""
    name: str = "sample"
    """What the sample is, for the legend."""
    ax_: Axes | None = None
    """Axes last drawn on."""
    figure_: Figure | None = None
    """Figure last drawn on."""

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *, confidence: float = 0.95) -> TailDisplay:
        """Angles between the rows of X and a linear estimator's weights, its intercept one more coordinate (of 1).

        Where the student stands in for the teacher the tail is as good as the student.

        Parameters
        ----------
        estimator : fitted estimator with ``coef_`` and ``intercept_``, of two classes
        X : array_like, shape (m, d)
            Dense rows drawn at random, none learned from.
        confidence : float

        Raises
        ------
        ValueError
            If there are more classes: a tail belongs to one boundary.
        """
        if issparse(X):
            raise ValueError("The tail needs dense points: give some of them as an array.")
        w = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64))
        if len(w) != 1:
            raise ValueError(f"A tail belongs to one boundary, and this student has {len(w)} classes.")
        points, w = np.asarray(X, dtype=np.float64), w[0]
        b = float(np.ravel(estimator.intercept_)[0])
        if b != 0 or getattr(estimator, "fit_intercept", False):
            points, w = np.column_stack([points, np.ones(len(points))]), np.append(w, b)
        return cls(EmpiricalTail.of(points, w), confidence)

    @classmethod
    def from_predictions(cls, angles: ArrayLike, *, confidence: float = 0.95) -> TailDisplay:
        """From the angles themselves, radians in [0, pi/2], (m,)."""
        return cls(EmpiricalTail(np.asarray(angles)), confidence)

    def plot(self, ax: Axes | None = None, *, legend: bool = True) -> TailDisplay:
        """Draw on ``ax`` or on a figure of its own.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        legend : bool
            Whether to name line and band.
        """
        grid = np.linspace(0.0, RIGHT, 361)
        p, half = self.tail(grid), self.tail.band((1 + self.confidence) / 2)  # two one-sided bands
        with house_style():
            if ax is None:
                _, (ax,) = new_figure()
            low, high = np.maximum(p - half, 0), np.minimum(p + half, 1)
            band = f"{self.confidence:.0%} band, {len(self.tail.angles)} points"
            ax.fill_between(grid, low, high, color=BLUE, alpha=0.2, lw=0, label=band)
            ax.plot(grid, p, color=BLUE, label=self.name)
            ax.set(xlim=(0, RIGHT), ylim=(0, 1.02), xlabel="angle θ to the weights", ylabel="p(θ)")
            ax.set_xticks([0, RIGHT / 2, RIGHT], ["0", "π/4", "π/2"])
            if legend:
                ax.legend()
        self.ax_, self.figure_ = ax, ax.get_figure(root=True)
        return self
