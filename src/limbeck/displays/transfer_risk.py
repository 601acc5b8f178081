"""Transfer risk against the number of labels, with its interval and whatever bounds there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from limbeck.displays.style import BLUE, GREEN, ORANGE, PURPLE, SKY, house_style, new_figure
from limbeck.labels import from_probabilities
from limbeck.theory import SymmetricTask, transfer_risk_bound, transfer_risk_bound_tight
from limbeck.theory.curves import DataCurve
from limbeck.theory.risk import wilson

LINES = ((PURPLE, "--"), (GREEN, "-."), (ORANGE, ":"), (SKY, (0, (1, 1))))


@dataclass(eq=False)
class TransferRiskDisplay:
    """Transfer risk after n labels, in the form of scikit-learn's displays.

    Make one with `from_estimator`, `from_predictions`, `from_data` or `from_task`, or from arrays; draw it, again if
    wanted, with `plot`.

    Examples
    --------
    >>> import numpy as np
    >>> from limbeck.theory import PolynomialTask
    >>> display = TransferRiskDisplay.from_task(PolynomialTask(1, 1000), 20, rng=np.random.default_rng(0))
    >>> display.plot().ax_.get_xlabel()
    'labels n'
    """

    n: np.ndarray
    """Numbers of labels, (k,)."""
    risk: np.ndarray
    """Transfer risk, exact or held out, (k,)."""
    low: np.ndarray | None = None
    """Lower end of its interval, (k,)."""
    high: np.ndarray | None = None
    """Upper end, (k,)."""
    bounds: Mapping[str, np.ndarray] = field(default_factory=lambda: MappingProxyType({}))
    """Named upper bounds, (k,) each."""
    name: str = "exact risk"
    """What the risk is, for the legend."""
    interval_name: str = "95 % interval"
    """What the interval covers, for the legend."""
    ax_: Axes | None = None
    """Axes last drawn on."""
    figure_: Figure | None = None
    """Figure last drawn on."""

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        teacher_proba: ArrayLike,
        X_test: Any,
        teacher_proba_test: ArrayLike,
        *,
        n: ArrayLike | None = None,
        confidence: float = 0.95,
    ) -> TransferRiskDisplay:
        """Held-out disagreement of clones of a student fitted on the first n rows, one fit for every n.

        For the exact student of a linear teacher `from_data` has every n for the price of one fit.

        Parameters
        ----------
        estimator : estimator
            Learns by ``fit(X, teacher_proba=...)`` and has `predict_proba`.
        X, teacher_proba : array-like, shapes (m, d) and (m,) or (m, K)
            Rows, in the order in which they are bought, and the teacher's answers.
        X_test, teacher_proba_test : array-like
            Rows drawn at random, none learned from, and the teacher's answers.
        n : array_like of int, optional
            Numbers of labels; default 12 from 4 to m, evenly spaced by ratio.
        confidence : float
            Of Wilson's interval for each student's risk, nominal (`limbeck.theory.held_out_risk`).
        """
        from sklearn.base import clone  # slow to import, needed here only
        from sklearn.utils import _safe_indexing

        given = np.asarray(teacher_proba)
        sizes = np.asarray(_sizes(len(given)) if n is None else n)
        predictions = [
            clone(estimator)
            .fit(_safe_indexing(X, np.arange(m)), teacher_proba=given[:m])
            .predict_proba(X_test)
            for m in sizes
        ]
        return cls.from_predictions(sizes, predictions, teacher_proba_test, confidence=confidence)

    @classmethod
    def from_predictions(
        cls, n: ArrayLike, student_proba: Any, teacher_proba: ArrayLike, *, confidence: float = 0.95
    ) -> TransferRiskDisplay:
        """Held-out disagreement of students of n labels, with Wilson's interval for each one's risk.

        Parameters
        ----------
        n : array_like of int, shape (k,)
            Numbers of labels.
        student_proba : sequence of k array_like, shape (m,) or (m, K)
            What the student of each n says about the held-out rows.
        teacher_proba : array_like, shape (m,) or (m, K)
            What the teacher says about them.
        confidence : float
        """
        truth = from_probabilities(teacher_proba)
        sizes = np.asarray(n)
        if len(student_proba) != len(sizes):
            raise ValueError(f"{len(student_proba)} predictions for {len(sizes)} numbers of labels.")
        said = [from_probabilities(p) for p in student_proba]
        if any(len(s) != len(truth) or s.n_classes != truth.n_classes for s in said):
            raise ValueError("Students and teacher must answer for the same rows and classes.")
        wrong = np.array([np.count_nonzero(s.decisions != truth.decisions) for s in said])
        low, high = wilson(wrong, len(truth), confidence)
        name = f"{confidence:.0%} interval for each student's risk"
        return cls(sizes, wrong / len(truth), low, high, name="held-out disagreement", interval_name=name)

    @classmethod
    def from_data(
        cls, curve: DataCurve, *, bounds: Mapping[str, np.ndarray] = MappingProxyType({})
    ) -> TransferRiskDisplay:
        """Held-out disagreement of the students of given data, with Wilson's intervals; see `data_curve`.

        Parameters
        ----------
        curve : DataCurve
        bounds : mapping, optional
            Named upper bounds to draw beside it, (n,) each.
        """
        said = f"{curve.confidence:.0%} interval for each student's risk"
        return cls(
            curve.n,
            curve.disagreement,
            curve.low,
            curve.high,
            bounds,
            name="held-out disagreement",
            interval_name=said,
        )

    @classmethod
    def from_task(
        cls, task: SymmetricTask, n: int, repeats: int = 1000, *, rng: np.random.Generator
    ) -> TransferRiskDisplay:
        """Exact expected risk of a task symmetric about its teacher, with Theorem 3 as stated and as proved."""
        curve = task.learning_curve(n, repeats, rng=rng)
        bounds = {
            "Theorem 3": [transfer_risk_bound(task.tail, int(m), d=task.d) for m in curve.n],
            "its proof": [transfer_risk_bound_tight(task.tail, int(m), d=task.d) for m in curve.n],
        }
        return cls(
            curve.n,
            curve.risk,
            curve.low,
            curve.high,
            {name: np.array(values) for name, values in bounds.items()},
            name="exact risk, mean",
            interval_name="90 % of transfer sets",
        )

    def plot(self, ax: Axes | None = None, *, log: bool = True, legend: bool = True) -> TransferRiskDisplay:
        """Draw on ``ax`` or on a figure of its own; values of 0 cannot be drawn where ``log`` is set.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        log : bool
            Logarithmic axes, both.
        legend : bool
            Whether to name the lines.
        """
        with house_style():
            if ax is None:
                _, (ax,) = new_figure()
            if self.low is not None and self.high is not None:
                ax.fill_between(
                    self.n, self.low, self.high, color=BLUE, alpha=0.2, lw=0, label=self.interval_name
                )
            for (name, values), (colour, dashes) in zip(self.bounds.items(), LINES, strict=False):
                ax.plot(self.n, np.minimum(values, 1.0), color=colour, ls=dashes, label=name)
            ax.plot(self.n, self.risk, color=BLUE, label=self.name)
            if log:
                ax.set(xscale="log", yscale="log")
            else:
                ax.set_ylim(0, None)
            ax.set(xlabel="labels n", ylabel="transfer risk")
            if legend:
                ax.legend()
        self.ax_, self.figure_ = ax, ax.get_figure(root=True)
        return self


def _sizes(most: int) -> np.ndarray:
    return np.unique(np.geomspace(min(4, most), most, 12).round().astype(int))
