r"""
7. More data never hurts the angle (Lemma 1)
============================================

*Section 4.3.* Add points to the transfer set, whichever they are: the student's angle to the teacher cannot
grow,

.. math::

   X_- \subset X_+ \;\Longrightarrow\; \bar\alpha\big(w_*, \hat w(X_+)\big) \le \bar\alpha\big(w_*, \hat w(X_-)\big).
   \tag{24}

It is one line once the points are factorised, :math:`X = L Q`: then :math:`\cos\bar\alpha = \|Q w_*\| /
\|w_*\|` (26), and a further point adds a square to that norm. Theorem 3 is this lemma and the triangle
inequality.

The function is :meth:`Span.prefix_angles <limbeck.theory.Span.prefix_angles>`: all :math:`n` angles from
one factorisation.
"""

import numpy as np

from limbeck.displays.style import BLUE, ORANGE, house_style, new_figure
from limbeck.theory import HardTargetLimit, PolynomialTask, Span, unsigned_angle

rng = np.random.default_rng(6)
task, n = PolynomialTask(kappa=1, d=100), 25
sample = task.sample(n, rng=rng)
orders = [rng.permutation(n) for _ in range(6)]

soft = [Span(sample.X[order]).prefix_angles(task.w_star) for order in orders]


def hard_angles(order):
    """Angles of the maximum-margin student of the first 1, ..., n hard labels."""
    X, z = sample.X[order], sample.z[order]
    students = [HardTargetLimit().weights(Span(X[:m]), z[:m]) for m in range(1, n + 1)]
    return unsigned_angle(np.array(students), task.w_star)


hard = [hard_angles(order) for order in orders]

# %%
# The same 25 points in six orders. Left, learned from soft labels: every curve falls or stays, and all of
# them meet at the end, because the span does not care in which order it was filled. Right, the same points
# as hard labels (the maximum-margin student, where gradient descent on hard labels goes): the angle often
# rises.

with house_style():
    figure, (left, right) = new_figure(2, width=8.0, height=3.3)
    for ax, curves, colour, title in (
        (left, soft, BLUE, "soft labels"),
        (right, hard, ORANGE, "hard labels"),
    ):
        for curve in curves:
            ax.plot(range(1, n + 1), np.degrees(curve), color=colour, lw=1.1, alpha=0.8)
        ax.set(title=title, xlabel="labels n", ylim=(0, 90))
    left.set_ylabel("angle to the teacher, degrees")

rises = sum(int(np.sum(np.diff(curve) > 1e-9)) for curve in hard)
print(f"soft: {sum(int(np.sum(np.diff(c) > 1e-9)) for c in soft)} rises; hard: {rises} rises in 6 x 24 steps")

# %%
# The lemma is about the angle. Section 1 concludes that the expected *risk* always falls too; that is not
# proved, and in three dimensions it is false: :doc:`/generated/errata/plot_errata`.
