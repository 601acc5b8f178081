"""Which points to label: MNIST 0 against 1
========================================

The points are chosen from the images alone, before any label is seen; a student of the first few of them is set
beside students of random points. ``python examples/select_points.py FOLDER`` writes the figures; needs
``pip install 'limbeck[digits]'``; runs offline.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from limbeck.budget import SpanSelection, compare, geometry, mean_comparison
from limbeck.data import load_digits
from limbeck.displays import save
from limbeck.displays.selection import residual_energy, scalings, strategies
from limbeck.displays.tail import TailDisplay

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
BUDGETS = (1, 2, 3, 5, 10, 20, 50)

# %%
# A pool, held-out images, and a teacher: a logistic regression of all of them.
digits = load_digits(classes=(0, 1))
teacher = LogisticRegression(C=1.0, fit_intercept=False).fit(digits.X, digits.y).coef_[0]
rng = np.random.default_rng(0)


def split() -> tuple[np.ndarray, np.ndarray]:
    rows = rng.permutation(len(digits.X))
    return digits.X[rows[:500]], digits.X[rows[500:]]


# %%
# One ranking serves all budgets; what each pick adds is known beforehand.
pool, held_out = split()
ranking = SpanSelection().rank(pool, 50)
for k in (1, 3, 10, 50):
    print(f"{k:3d} labels: {ranking.energy[k - 1]:.1%} of the pool's energy outside their span")

# %%
# What they are worth, with 5 splits, beside what else one would do.
found = []
for _ in range(5):
    P, T = split()
    found.append(compare(P, P @ teacher, T, T @ teacher, BUDGETS, rng=rng, w_star=teacher))
mean = mean_comparison(found)
for name, risk in zip(mean.strategies, mean.risk, strict=True):
    print(f"{name:18s}", "  ".join(f"{r:.3f}" for r in risk))
shown = ("span", "answers", "random", "core-set", "oracle")
parts = (
    {name: part[mean.strategies.index(name)] for name in shown} for part in (mean.risk, mean.low, mean.high)
)
beside = strategies(mean.budgets, *parts, covers=mean.covers, title="MNIST 0 v 1")
save(beside, folder / "select_points")

# %%
# The geometry that decides it: before any answer, except p(theta) and the right panel of the scalings, for which
# the teacher is used here.
shape = geometry(pool, budgets=BUDGETS, direction=teacher, rng=rng)
print(
    f"rank {shape.rank}, effective rank {shape.effective_rank:.1f}; better scaling: {shape.better or 'none'}"
)
given = shape.scalings[0]
energy = {"selected": given.energy_selected, "random": given.energy_random}
left = residual_energy(shape.budgets, energy)
save(left, folder / "select_energy")
tail = TailDisplay(given.tail, name="MNIST 0 v 1").plot().figure_
save(tail, folder / "select_tail")
expected = {curve.name: curve.expected_selected for curve in shape.scalings}
risk = {curve.name: curve.risk_selected for curve in shape.scalings}
scaled = scalings(shape.budgets, expected, risk)
save(scaled, folder / "select_scalings")
