"""
Buying answers one batch at a time
==================================

A teacher that rounds, fails and refuses now and then, as services do. The run is cut short in the middle and goes on
without asking anything twice. ``python examples/buy_answers.py FOLDER`` writes the answers and a page.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.special import expit

from limbeck import BudgetedDistillation
from limbeck.budget.asking import Manners
from limbeck.pages.label import page
from limbeck.report import write

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()) / "bought"
rng = np.random.default_rng(0)
X = rng.standard_normal((1200, 12)) * np.arange(1, 13) ** -0.5
w = rng.standard_normal(12)
asked = []


def teacher(x):
    """A classifier behind a service: three decimals, now and then busy, and silent about outliers."""
    asked.append(x.tobytes())
    if len(asked) == 150:
        raise KeyboardInterrupt  # somebody stops the run
    if rng.random() < 0.03:
        raise ConnectionError("busy")
    return None if abs(x[0, 0]) > 2.5 else np.round(expit(2 * x @ w), 3)


# %%
# The audit sample is bought first; then batches of well-chosen points, until the student is shown good enough.

buy = BudgetedDistillation(
    teacher, budget=500, target_risk=0.05, price=0.002, repeat=10, manners=Manners(backoff=0.0)
)
try:
    buy.run(X, folder=folder)
except KeyboardInterrupt:
    print(f"stopped after {len(asked)} questions; what was bought is in {folder}")

# %%
# The same call goes on.

bought = buy.run(X, folder=folder)
print(
    f"{bought.reason}: wrong on {bought.shown.wrong} of {bought.shown.size}, risk at most {bought.shown.upper:.2%}"
)
print(
    f"{bought.spent} of {bought.budget} questions, {bought.spent * bought.price:.2f} spent; {dict(bought.counts)}"
)
write(page(bought, buy, {"example": "a service that rounds, fails and refuses"}), folder / "report.html")
