r"""
1. What the student learns (Theorem 1)
======================================

*Section 4.1.* Train a linear student from zero by gradient descent on the teacher's soft labels. It does
not end at just any minimiser of the loss: it ends at the part of the teacher that lies in the span of the
points it has seen,

.. math::

   w(t) \to \hat w, \qquad
   \hat w = \begin{cases} w_* & n \ge d \\ X^\top (X X^\top)^{-1} X w_* & n < d \end{cases}
   \tag{5, 6}

(rows are points). So :math:`d` soft labels are enough for *all* of the teacher, and every label before that
adds one direction of it. Hard labels never do this, however many there are.

The function is :class:`limbeck.theory.Span`: it factorises the points once, ``weights`` is Theorem 1, and
``prefix_weights`` gives the students of the first 1, 2, ... points without refitting.
"""

import numpy as np

from limbeck.displays.style import BLUE, ORANGE, house_style, new_figure
from limbeck.theory import Span
from limbeck.theory.flow import train

rng = np.random.default_rng(0)
n, d = 60, 50
X, w_star = rng.standard_normal((n, d)), rng.standard_normal(d)
z = X @ w_star

span = Span(X)
student = span.weights(z)
print(f"rank {span.rank}; the student is the teacher up to {np.abs(student - w_star).max():.0e}")

# %%
# Is this what training does? Each dot is a student *trained* on the cross-entropy of Eq. 1 by an optimiser
# that has never heard of the theorem; the line is the projection.

sizes = np.arange(1, n + 1)
students = span.prefix_weights(span.coordinates(w_star), sizes)
missing = np.linalg.norm(students - w_star, axis=1) / np.linalg.norm(w_star)

some = np.arange(5, n + 1, 5)
trained = np.array([np.linalg.norm(train(X[:m], z[:m]) - w_star) for m in some]) / np.linalg.norm(w_star)

with house_style():
    figure, (ax,) = new_figure(width=6.0)
    ax.plot(sizes, missing, color=BLUE, label="Theorem 1: projection on the span")
    ax.plot(some, trained, "o", color=ORANGE, label="trained on the soft labels")
    ax.axvline(d, color="0.4", ls=":", lw=1)
    ax.annotate("n = d", (d, 0.9), (4, 0), textcoords="offset points")
    ax.set(xlabel="labels n", ylabel="part of the teacher still missing", ylim=(-0.03, 1.03))
    ax.legend(loc="lower left")

# %%
# The curve bends down to an exact zero at :math:`n = d`: there is no "in the limit of many labels" here.
#
# What it rests on: a linear teacher, and its answers exact. Both matter. Labels rounded to three decimals
# are not exact, and :math:`n = d` is then the most fragile point of all; a teacher that is not linear in
# these features has no :math:`w_*` to find. See :doc:`/generated/errata/plot_errata` and
# :doc:`/guides/not-linear`.
