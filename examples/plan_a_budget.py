"""
How many answers does this teacher need?
========================================

Three pilots of 100 random answers: a linear teacher in 40 features, one that is not linear, and one that contradicts
itself so much that the target cannot be reached. ``python examples/plan_a_budget.py FOLDER`` writes a page for each.
"""

import sys
from pathlib import Path

import numpy as np

from limbeck import plan_budget
from limbeck.labels import from_logits
from limbeck.pages.plan import page
from limbeck.report import write

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
rng = np.random.default_rng(0)

# %%
# A pool with a falling spectrum, as embeddings have it, and three teachers of it.

X = rng.standard_normal((1500, 40)) * np.arange(1, 41) ** -0.5
w = rng.standard_normal(40)
straight = X @ w
teachers = {
    "linear": straight,
    "bent": straight + 1.5 * np.sin(2 * straight) + X[:, 0] * X[:, 1],
    "noisy": straight + 2 * straight.std() * rng.standard_normal(len(X)),
}

# %%
# What is known before any answer is the same for all three.

first = plan_budget(X, target_risk=0.05, price=0.002, rng=rng)
print(f"rank {first.coverage.rank}, effective rank {first.coverage.effective_rank:.1f}: {first.verdict}")

# %%
# A pilot of the first 400 rows, which are a random sample here, tells them apart.

for name, logits in teachers.items():
    plan = plan_budget(X, from_logits(logits[:400]), target_risk=0.05, price=0.002, orders=5, rng=rng)
    print(f"{name}: {plan.pilot.linearity.verdict}; {plan.verdict}. {plan.reason}")
    write(page(plan, {"example": name}), folder / f"plan-{name}.html")
