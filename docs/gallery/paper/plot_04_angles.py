r"""
4. Data geometry in one function: p(θ)  (Figure 1)
==================================================

*Section 4.2.* How fast a student learns depends on how the points lie about the teacher, and on nothing
else. What counts is the angle between a random point and the teacher's axis, signs ignored, and the share
of points at an angle of at least :math:`\theta`:

.. math::

   \bar\alpha(w_*, x) = \cos^{-1} \frac{|w_*^\top x|}{\|w_*\|\,\|x\|}, \qquad
   p(\theta) = P_x\big[\bar\alpha(w_*, x) \ge \theta\big], \quad \theta \in [0, \pi/2].
   \tag{16, 17}

Where :math:`p` falls quickly, points are easy: they lie along the teacher and far from its boundary. The
functions are :func:`limbeck.theory.unsigned_angle` and the tails: :class:`limbeck.theory.PolynomialTail`,
:class:`limbeck.theory.MarginTail`, and :class:`limbeck.theory.EmpiricalTail` for points you have, with its
confidence band.
"""

import numpy as np

from limbeck.displays.paper import figure_1
from limbeck.theory import EmpiricalTail, MarginTask, PolynomialTask

rng = np.random.default_rng(3)
tasks = {
    "Task A: well aligned": PolynomialTask(2.0, 2),
    "Task B: with a margin": MarginTask(np.pi / 3, 2),
    "Task C: badly aligned": PolynomialTask(0.25, 2),
}
theta = np.linspace(0, np.pi / 2, 181)

clouds, tails = [], []
for task in tasks.values():
    X = task.sample(500, rng=rng).X[:, ::-1]  # the teacher points up
    tail = EmpiricalTail.of(X, [0, 1])
    p, half = tail(theta), tail.band(0.975)  # two one-sided bands: 95 % for all theta at once
    clouds.append(X)
    tails.append(
        {
            "theta": theta,
            "p": p,
            "low": np.maximum(p - half, 0),
            "high": np.minimum(p + half, 1),
            "exact": task.tail(theta),
        }
    )

figure = figure_1(list(tasks), clouds, tails)

# %%
# Above: circles are the teacher's class 1, crosses its class 0, the dotted line its boundary. Below:
# :math:`p(\theta)` of the 500 points, and of the law they come from. In Task B no point comes near the
# boundary, so :math:`p` reaches zero early; in Task C many do.
#
# For points and a linear model of your own: ``limbeck.displays.TailDisplay.from_estimator(model, X).plot()``.
