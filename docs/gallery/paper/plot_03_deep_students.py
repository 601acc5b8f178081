r"""
3. Deep linear students (Theorem 2)
===================================

*Section 4.1.* Write the student as a product of layers, :math:`w^\top = W_N \cdots W_1`. It can express
nothing new, but it has to start away from zero, where every gradient vanishes, and what it starts with
outside the span of the points is now *amplified*. Theorem 2: from layers that are *balanced*,
:math:`W_{j+1}^\top W_{j+1} = W_j W_j^\top` (13), and a start small enough,
the end is within :math:`\epsilon` of the shallow student,

.. math::

   \|w(0)\| < \epsilon^N \big(\epsilon^2 \|\hat w\|^{-2/N} + \|\hat w\|^{2 - 2/N}\big)^{-N/2}
   \;\Longrightarrow\; \|w(t) - \hat w\| \le \epsilon \text{ for all large } t.
   \tag{11, 15}

limbeck goes one step further. With :math:`\varphi` the angle between :math:`w` and the span, :math:`\|w\|
\sin^N\varphi` never changes along the flow, which gives not a ball but the *point*:
:func:`limbeck.theory.deep_limit_details`. Theorem 2's own radius is
:func:`limbeck.theory.theorem_2_radius`. The derivation is in :doc:`/how-it-works`.
"""

import numpy as np

from limbeck.displays.style import CYCLE, house_style, new_figure
from limbeck.theory import Span, deep_flow, deep_limit_details, theorem_2_radius

rng = np.random.default_rng(2)
n, d = 15, 60
span = Span(rng.standard_normal((n, d)))
w_hat = span.project(rng.standard_normal(d))
w_hat /= np.linalg.norm(w_hat)  # the shallow student, of length 1
z = span.X @ w_hat
u = rng.standard_normal(d)
u *= np.sign(u @ w_hat) / np.linalg.norm(u)  # a direction to start along

for depth in (2, 3, 5):
    flow = deep_flow(span, z, 0.01 * u, depth)
    drift = np.ptp(flow.conserved) / flow.conserved.max()
    print(f"N = {depth}: the flow ends {flow.distances[-1]:.0e} from the formula; drift {drift:.0e}")

# %%
# How far from :math:`\hat w` does a student of depth :math:`N` end, for starts of different sizes?

starts = 10.0 ** np.arange(-6, 0.01, 0.25)

with house_style():
    figure, (ax,) = new_figure(width=6.2, height=3.6)
    for depth, colour in zip((2, 3, 5), CYCLE, strict=False):
        leak = [deep_limit_details(span, z, s * u, depth).leak for s in starts]
        radius = [theorem_2_radius(s, 1.0, depth) for s in starts]
        ax.plot(starts, leak, color=colour, label=f"N = {depth}, exact")
        ax.plot(starts, radius, color=colour, ls="--", lw=1.1, label=f"N = {depth}, Theorem 2")
    ax.set(xscale="log", yscale="log", xlabel="size of the start, ‖w(0)‖ / ‖ŵ‖", ylabel="‖w(∞) − ŵ‖ / ‖ŵ‖")
    ax.legend(ncols=2)

# %%
# The leak shrinks only like the :math:`N`-th root of the start. The paper says that conditions (11) to (13)
# "do not pose problems in practice"; for two layers that is so, for five a start of one thousandth still
# ends visibly off.
