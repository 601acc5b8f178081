r"""
2. Why it ends there: gradient flow
===================================

*Section 4.1, proof of Theorem 1.* With an infinitesimal step, gradient descent is a flow, and two facts
decide where it goes. Every gradient is a combination of the points, so the student never leaves their span.
And along directions *inside* the span the loss is strongly convex, so it falls at an exponential rate:

.. math::

   \frac{\partial w}{\partial \tau} = -\nabla L_1(w), \qquad
   \frac{d}{d\tau} L_1 = -\|\nabla L_1\|^2, \qquad
   \|w(t) - \hat w\|^2 \le c\, L_1(w(t))
   \tag{3, 8, 7}

The functions are :func:`limbeck.theory.gradient_flow`, which integrates (3) in the :math:`r` coordinates of
the span, and :func:`limbeck.theory.flow.loss_after`, the rate (54) that the appendix proves.
"""

import numpy as np

from limbeck.displays.style import BLUE, GREEN, PURPLE, house_style, new_figure
from limbeck.theory import Span, gradient_flow
from limbeck.theory.flow import loss_after
from limbeck.theory.loss import strong_convexity

rng = np.random.default_rng(1)
n, d = 10, 30
X, w_star = rng.standard_normal((n, d)), rng.standard_normal(d) / np.sqrt(d)
z = X @ w_star

flow = gradient_flow(X, z, times=np.linspace(0, 60, 121))
span = Span(X)
w_hat = span.weights(z)
print(f"outside the span, at any time: {np.abs(span.residual(flow.weights)).max():.0e}")

# %%
# The loss never rises, the student closes in on :math:`\hat w`, and the proven rate holds with room to
# spare. The appendix prints :math:`e^{-ct}`; its own Corollary A.1 gives :math:`e^{-2ct}`, drawn here.

c = strong_convexity(X, z, flow.losses[0])
distance = np.linalg.norm(flow.weights - w_hat, axis=1)

with house_style():
    figure, (left, right) = new_figure(2, width=8.0, height=3.2)
    left.plot(flow.times, flow.losses, color=BLUE, label="loss along the flow")
    left.plot(
        flow.times, loss_after(flow.times, flow.losses[0], c), color=PURPLE, ls="--", label="bound, (54)"
    )
    left.set(yscale="log", xlabel="time τ", ylabel="loss $L_1$, nats", ylim=(1e-7, None))
    left.legend()
    right.plot(flow.times, distance / np.linalg.norm(w_hat), color=GREEN)
    right.set(yscale="log", xlabel="time τ", ylabel="‖w − ŵ‖ / ‖ŵ‖")

# %%
# Started elsewhere than at zero, the student keeps for ever what it had outside the span, :math:`w(\infty)
# = \hat w + (I - P) w(0)`: this is the *optimisation bias* that page 9 takes away on purpose.

w0 = rng.standard_normal(d)
end = gradient_flow(X, z, w0=w0)
print(f"converged: {end.converged}; off by {np.abs(end.weights[-1] - w_hat - span.residual(w0)).max():.0e}")
