r"""
5. How fast the student learns (Theorem 3)
==========================================

*Section 4.2.* The expected transfer risk after :math:`n` soft labels is exactly 0 from :math:`n = d` on,
and before that, for any angle :math:`\beta \in [0, \pi/2]`, at most

.. math:: E[R(\hat w)] \le p(\beta) + p(\pi/2 - \beta)^n. \tag{18, 19}

The idea fits in two lines. A new point at an angle below :math:`\beta` is answered rightly as soon as *one*
of the :math:`n` points was within :math:`\pi/2 - \beta` of the teacher (triangle inequality). So one errs
only on hard points, a share :math:`p(\beta)`, or if all :math:`n` points were poor ones, probability
:math:`p(\pi/2 - \beta)^n`.

The function is :func:`limbeck.theory.transfer_risk_bound`, which picks the best :math:`\beta`;
:func:`limbeck.theory.transfer_risk_bound_tight` is the proof's own last line, which keeps a factor that
(19) drops.
"""

import numpy as np

from limbeck.displays import TransferRiskDisplay
from limbeck.displays.style import BLUE, GREEN, ORANGE, house_style, new_figure
from limbeck.theory import PolynomialTask, transfer_risk_bound

task, n = PolynomialTask(kappa=1, d=1000), 20
beta = np.linspace(0, np.pi / 2, 200)
hard, poor = task.tail(beta), task.tail(np.pi / 2 - beta) ** n

# %%
# Left: the two terms against :math:`\beta`. Right: the bound, its proof's version, and what the risk really
# is. The real one comes from an exact one-dimensional chain (:meth:`PolynomialTask.learning_curve
# <limbeck.theory.PolynomialTask.learning_curve>`) and costs the same in a thousand dimensions as in a
# million.

with house_style():
    figure, (left, right) = new_figure(2, width=8.6, height=3.5)
    left.plot(beta, hard, color=ORANGE, ls="-.", label="hard points, p(β)")
    left.plot(beta, poor, color=GREEN, ls="--", label="no good point, $p(π/2-β)^n$")
    left.plot(beta, hard + poor, color=BLUE, label="their sum, (19)")
    left.set(xlabel="β", ylabel=f"bound after n = {n} labels", ylim=(0, 1.1))
    left.set_xticks([0, np.pi / 4, np.pi / 2], ["0", "π/4", "π/2"])
    left.legend(loc="upper center")
    TransferRiskDisplay.from_task(task, 100, 400, rng=np.random.default_rng(4)).plot(right)

print(f"Theorem 3 at n = {n}: {transfer_risk_bound(task.tail, n, d=task.d):.3f}")
print(f"exact risk:          {task.learning_curve(n, 20_000, rng=np.random.default_rng(4)).risk[-1]:.5f}")

# %%
# The bound holds, and it is loose: by a factor of hundreds here. It does not know the dimension, while the
# risk falls like :math:`(n \sqrt d)^{-\kappa}`. What one can say *after* seeing the labels is far sharper:
# the risk is at most :math:`p(\pi/2 - \alpha)` at the angle :math:`\alpha` reached
# (:func:`limbeck.theory.bound_at_angle`).
#
# A student that is only close to :math:`\hat w`, such as a deep one, has Theorem D.1 of the appendix, in
# the form that holds: :func:`limbeck.theory.approximate_risk_bound`.
