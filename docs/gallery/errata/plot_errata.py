r"""
Where the paper slips
=====================

The paper's theorems hold when checked. These places do not, or say less than they seem to; limbeck computes
the right thing and this page runs an example of each, the same ones that ``limbeck reproduce theorems`` and
the test suite run. *Refuted*: false as printed, by this much. *Loose*: true, and this much is given away.
*Outside*: true under its assumptions; without them things are off by this much. Each has a severity: a false
statement, a loose or missing constant, a typo, or an assumption that practice breaks.
"""

import textwrap

import numpy as np

from limbeck.displays.style import BLUE, CYCLE, ORANGE, PURPLE, house_style, new_figure
from limbeck.experiments import ERRATA, three_clusters
from limbeck.labels import from_probabilities
from limbeck.theory import (
    EmpiricalTail,
    Span,
    disagreement,
    learning_curve,
    polynomial_bound,
    transfer_risk_bound,
    unsigned_angle,
)

for erratum in ERRATA:
    cases, size = erratum.example(np.random.default_rng(0), 12)
    print(textwrap.fill(f"{erratum.name}. {erratum.says}", 100))
    print(f"    {erratum.severity}; {erratum.verdict} by {size:.2g}, {cases} cases\n")

# %%
# Corollary 2 with a factor
# -------------------------
#
# The paper allows :math:`p(\theta) \le c\,(1 - \tfrac{2}{\pi}\theta)^\kappa` and multiplies its bound by
# :math:`c`. Its proof (22) sets :math:`c = 1` and drops :math:`c^n`, while :math:`p(0) = 1` forces :math:`c
# \ge 1`: only :math:`c = 1` is sound. Every point at 80 degrees, :math:`d = 60`, :math:`\kappa = 50`, hence
# :math:`c = 9^{50}`:


d, kappa, rng = 60, 50, np.random.default_rng(0)
tail = EmpiricalTail(np.full(2, np.radians(80.0)))
curve = learning_curve(tail, d, d - 1, 2000, rng=rng)
claimed = np.array([9.0**kappa * polynomial_bound(int(n), kappa) for n in curve.n])
theorem_3 = np.array([transfer_risk_bound(tail, int(n)) for n in curve.n])

with house_style():
    corollary_2, (ax,) = new_figure(width=6.0)
    ax.plot(curve.n, curve.risk, color=BLUE, label="exact risk")
    ax.plot(curve.n, np.minimum(claimed, 1), color=ORANGE, ls="--", label="Corollary 2 with c > 1")
    ax.plot(curve.n, np.minimum(theorem_3, 1), color=PURPLE, ls="-.", label="Theorem 3")
    ax.set(yscale="log", ylim=(1e-10, 2), xlabel="labels n", ylabel="transfer risk")
    ax.legend(loc="lower left")

# %%
# An upper bound that the risk crosses is none. Theorem 3 itself holds, and says nothing here: at these
# angles one good teaching point cannot be had.
#
# More data, more risk
# --------------------
#
# "Training on more data never hurts" is Lemma 1 for the *angle*. The introduction says it of the expected
# risk, and three tight clusters in :math:`R^3` are enough to refute that. The angle falls from each number
# of labels to the next; the risk rises from none to a fifth.


w_star, rng = np.array([1.0, 0, 0]), np.random.default_rng(1)
risks, angles = [], []
for _ in range(400):
    X, T = three_clusters(3, rng), three_clusters(300, rng)
    span = Span(X)
    students = span.prefix_weights(span.coordinates(w_star), [1, 2, 3])
    risks.append(disagreement(students @ T.T, T @ w_star))
    angles.append(unsigned_angle(students, w_star))

with house_style():
    more_data, axes = new_figure(2, width=7.0, height=3.0)
    for ax, values, name in zip(axes, (angles, risks), ("mean angle, radians", "expected risk"), strict=True):
        ax.plot([1, 2, 3], np.mean(values, axis=0), "o-", color=BLUE)
        ax.set(xlabel="labels n", ylabel=name, xticks=[1, 2, 3], ylim=(0, None))

# %%
# Theorem 1 with rounded answers
# ------------------------------
#
# :math:`n \ge d` labels recover the teacher from *exact* logits. Real teachers print probabilities with a
# few decimals; then :math:`n = d` is the most fragile point, and a few more labels mend it.


d, sizes, rng = 100, (60, 80, 90, 100, 110, 125, 150, 200), np.random.default_rng(2)
with house_style():
    rounded, (ax,) = new_figure(width=6.0)
    for decimals, colour in zip((2, 3, 4), CYCLE, strict=False):
        risks = np.zeros(len(sizes))
        for _ in range(10):
            X, T, w = rng.standard_normal((200, d)), rng.standard_normal((4000, d)), rng.standard_normal(d)
            w /= np.linalg.norm(w)
            z = from_probabilities(np.round(1 / (1 + np.exp(-X @ w)), decimals), decimals=decimals).logits
            risks += [disagreement(T @ Span(X[:n]).weights(z[:n]), T @ w) / 10 for n in sizes]
        seen = risks > 0
        ax.plot(np.array(sizes)[seen], risks[seen], "o-", color=colour, label=f"{decimals} decimals")
    ax.axvline(d, color="0.4", ls=":", lw=1)
    ax.set(yscale="log", xlabel="labels n (d = 100)", ylabel="transfer risk, mean of 10")
    ax.legend()
