"""Which answers are proved
========================

After 50 labels of MNIST 0 against 1: the share of the student's answers that no linear teacher within a bound on
its norm can contradict, a counter-teacher where one can, and what to say of a teacher that is not linear.
``python examples/certificates.py FOLDER`` writes the figure; needs ``pip install 'limbeck[digits]'``; runs offline.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from limbeck import SoftLabelClassifier, SpanSelection
from limbeck.data import load_digits
from limbeck.displays import save
from limbeck.displays.selection import certified
from limbeck.theory import Span, certified_shares, clopper_pearson_upper, counter_teacher, data_curve

digits = load_digits(classes=(0, 1))
rows = np.random.default_rng(0).permutation(len(digits.X))
pool, held_out = digits.X[rows[:500]], digits.X[rows[500:]]
linear = LogisticRegression(fit_intercept=False).fit(digits.X, digits.y)
w_star = linear.coef_[0]

# %%
# Nobody knows the teacher's norm: shown as a function of the bound, at 1, 1.5 and 2 times what the answers show.
asked = pool[SpanSelection().query(pool, 50)]
z = asked @ w_star
shares = certified_shares(asked, z, held_out)
print("Assuming that", " and that ".join(shares.assumptions))
for multiple, share in zip(shares.multiples, shares.shares, strict=True):
    print(f"B = {multiple:g} |w|: " + ", ".join(f"{share[k - 1]:.0%} at {k}" for k in (5, 10, 20, 50)))
curve = data_curve(asked, z, held_out, held_out @ w_star)
names = [f"$\\|w_*\\| \\leq {m:g}\\,\\|\\hat w\\|$" for m in shares.multiples]
figure = certified(shares.n, list(shares.shares), names, agreement=1 - curve.disagreement)
save(figure, Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "certificates")

# %%
# The same from the estimator, under the teacher's true norm: none of the proved answers is wrong.
student = SoftLabelClassifier(alpha=0, fit_intercept=False).fit(asked, teacher_logits=z)
answers = student.certify(held_out, teacher_norm=float(np.linalg.norm(w_star)))
wrong = student.predict(held_out) != linear.predict(held_out)
print(
    f"{answers.share:.0%} proved, {np.sum(wrong & answers.proved)} of them wrong; {np.sum(wrong)} wrong in all"
)

# %%
# Where an answer is not proved, a teacher stands that gave the same 50 answers, is no longer, and says otherwise.
open_row = int(np.flatnonzero(~student.certify(held_out, teacher_norm=2 * answers.norm_inside).proved)[0])
x = held_out[open_row]
other = counter_teacher(Span(asked), z, x, 2 * answers.norm_inside)
print(f"student {x @ student.coef_[0]:+.2f}, counter-teacher {x @ other:+.2f}; apart on the 50 points by at most "
      f"{np.abs(asked @ other - z).max():.0e}")  # fmt: skip

# %%
# A network as teacher: the certificate's assumption fails and the student refuses. What is left assumes nothing but
# a random sample: count, and bound.
network = MLPClassifier((16,), max_iter=500, random_state=0).fit(digits.X, digits.y)
random_rows = pool[:300]
ridge = SoftLabelClassifier().fit(random_rows, network.predict_proba(random_rows))
try:
    ridge.certify(held_out, teacher_norm=10.0)
except ValueError as refusal:
    print(refusal)
count = int(np.sum(ridge.predict(held_out) != network.predict(held_out)))
upper = clopper_pearson_upper(count, len(held_out))
print(f"{count} of {len(held_out)} differ: the risk is below {upper:.2%} with 95 % confidence")
