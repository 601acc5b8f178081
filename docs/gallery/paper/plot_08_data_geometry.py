r"""
8. First factor: data geometry (Figure 3)
=========================================

*Section 5.1.* The better the points are aligned with the teacher, the faster the student learns. A family
of tasks with one dial, :math:`\kappa`: draw the angle from :math:`P[a \ge \theta] = (1 -
\tfrac{2}{\pi}\theta)^\kappa`, a direction uniformly among those at that angle, and a length :math:`\nu \sim
N(0, 1)` with its sign.

The paper trains students at :math:`d = 1000`, :math:`n = 20` and counts their mistakes. On such tasks the
expected risk can be *computed*, without drawing anything: :func:`limbeck.theory.expected_risk`. For many
:math:`\kappa` it is quicker to simulate the student's angle, one number a transfer set, and to rate it
exactly.
"""

import numpy as np

from limbeck.displays.paper import figure_3
from limbeck.theory import (
    PolynomialTask,
    disagreement,
    expected_risk,
    expected_risk_interval,
    transfer_risk_bound,
    transfer_risk_bound_tight,
)
from limbeck.theory.chain import cotangents
from limbeck.theory.flow import train
from limbeck.theory.risk import symmetric_risk_at_cotangent

rng = np.random.default_rng(7)
d, n, repeats = 1000, 20, 50
kappas = 2.0 ** np.arange(-5, 2)


def trained_risk(task):
    """The paper's protocol once: draw, train to convergence, count on 200 new points."""
    transfer, test = task.sample(n, rng=rng), task.sample(200, rng=rng)
    return float(disagreement(test.X @ train(transfer.X, transfer.z), test.z))


rows = []
for kappa in kappas:
    task = PolynomialTask(kappa, d)
    held = expected_risk_interval([trained_risk(task) for _ in range(repeats)])
    bounds = (bound(task.tail, n, d=d) for bound in (transfer_risk_bound, transfer_risk_bound_tight))
    angles = cotangents(task.tail, d, n, 4000, rng=rng)
    risk = symmetric_risk_at_cotangent(angles, task.tail, d).mean()
    rows.append((kappa, risk, held.estimate, held.low, held.high, *bounds))
    print(f"kappa = {kappa:7.5f}: expected risk {risk:.3g}")

print(f"kappa = 1 without drawing anything: {expected_risk(1.0, d, n).risk:.6g}")

names = ("kappa", "risk", "heldout_risk", "heldout_low", "heldout_high", "bound", "bound_tight")
figure = figure_3(dict(zip(names, np.transpose(rows), strict=True)))

# %%
# Left, the paper's figure: the line is exact, the dots are 50 trained students each, with 95 %
# intervals. Right, on a logarithmic scale, what Theorem 3 promises. In full, with 200 students a dot:
# ``limbeck reproduce figure-3``.
