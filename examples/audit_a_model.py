"""
Whose model leaks
=================

A spam filter of twenty features answers with a score. How many answers until somebody has it, and does rounding help?
``python examples/audit_a_model.py FOLDER`` writes a page. It rates weights at hand and asks nothing over a network.
"""

import sys
from pathlib import Path

import numpy as np

from limbeck.budget.leak import ScoringModel, audit_leak
from limbeck.pages.audit import page
from limbeck.report import write

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
rng = np.random.default_rng(0)
model = ScoringModel(rng.standard_normal((1, 20)), np.array([-0.5]))

# %%
# Exact scores, rounded ones, and labels only.

report = audit_leak(model, decimals=(1, 2, 3, 4), repeats=1, held_out=4000, rng=rng)
for leak in report.leaks:
    found = leak.until(0.99)
    print(
        f"{leak.answers}: {'more than ' + str(leak.n[-1]) if found is None else found} answers for 99 % agreement"
    )
write(page(report, {"example": "a filter of twenty features"}), folder / "audit.html")
