r"""
6. Two kinds of task (Corollaries 1 and 2, Figure 2)
====================================================

*Section 4.2.* Theorem 3 for two shapes of :math:`p(\theta)`. With an **angular margin**, a wedge about the
boundary that no point enters, the risk falls exponentially; with a **polynomial** tail it falls like a
power:

.. math::

   p(\beta) = 0,\ \gamma = p(\pi/2 - \beta) < 1 \;\Rightarrow\; E[R] \le \gamma^n
   \tag{20}

.. math::

   p(\theta) \le \big(1 - \tfrac{2}{\pi}\theta\big)^\kappa \;\Rightarrow\; E[R] \le \frac{1 + (\log n)^\kappa}{n^\kappa}
   \tag{21}

The functions are :func:`limbeck.theory.margin_bound` and :func:`limbeck.theory.polynomial_bound`. The
paper's (21) has a factor :math:`c` on both sides; with :math:`c > 1` it is false
(:doc:`/generated/errata/plot_errata`), so the function has none.
"""

import numpy as np

from limbeck.displays.paper import figure_2
from limbeck.displays.style import CYCLE, house_style, new_figure
from limbeck.theory import MarginTask, PolynomialTask, margin_bound, polynomial_bound

rng = np.random.default_rng(5)
beta = 5 * np.pi / 12
plane = {
    "Margin, β = 5π/12": MarginTask(beta, 2),
    "Polynomial, κ = 1": PolynomialTask(1.0, 2),
    "Polynomial, κ = 2": PolynomialTask(2.0, 2),
}
figure = figure_2(list(plane), [task.sample(500, rng=rng).X[:, ::-1] for task in plane.values()])

# %%
# The same three tasks in a thousand dimensions: what the corollaries promise (dashed) and what happens
# (solid).

n, d = np.arange(1, 61), 1000
margin = MarginTask(beta, d)
curves = {
    "margin": (margin, [margin_bound(margin.tail, int(m), beta) for m in n]),
    "κ = 1": (PolynomialTask(1.0, d), [polynomial_bound(int(m), 1.0) for m in n]),
    "κ = 2": (PolynomialTask(2.0, d), [polynomial_bound(int(m), 2.0) for m in n]),
}

with house_style():
    decay, (ax,) = new_figure(width=6.2, height=4.0)
    for (name, (task, bound)), colour in zip(curves.items(), CYCLE, strict=False):
        risk = task.learning_curve(len(n), 400, rng=rng).risk
        ax.plot(n[risk > 0], risk[risk > 0], color=colour, label=f"{name}: exact risk")
        ax.plot(n, np.minimum(bound, 1), color=colour, ls="--", lw=1.1, label=f"{name}: corollary")
    ax.set(yscale="log", xlabel="labels n", ylabel="transfer risk", ylim=(1e-8, 1.3))
    decay.legend(loc="outside lower center", ncols=3)

# %%
# With the margin the student is *perfect* after a few labels, long before the bound says so: once its angle
# to the teacher is below the margin no point is left to err on.
