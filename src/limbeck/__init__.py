"""Exact knowledge distillation into linear students.

The paper is Phuong and Lampert, *Towards Understanding Knowledge Distillation* (ICML 2019). Its letters
and our names (rows are points: the paper's X is the transpose of ours):

=====================  ==============================================================================
paper                  limbeck
=====================  ==============================================================================
X, d x n               ``X``, (n, d)
w_*, y = sigma(w_*'x)  ``w_star``; logits ``z = X @ w_star`` are carried, never probabilities
w_hat, Theorem 1       ``theory.Span(X).weights(z)``
P_X, Eq. 37            ``theory.Span(X).project``
L1, Eq. 1              ``theory.loss.loss(w, X, z)``
alpha, alpha-bar       ``theory.angle``, ``theory.unsigned_angle``
p(theta), Eq. 17       a *tail*: ``theory.PolynomialTail``, ``MarginTail``, ``EmpiricalTail``
Theorem 3, Eq. 19      ``theory.transfer_risk_bound(tail, n)``; as its proof ends: ``..._tight``
R(h), Eq. 4            ``theory.symmetric_risk`` (exact), ``theory.held_out_risk``
w_delta, section 5.2   ``theory.BiasedDistillation(delta)``
m(w), Eq. 34           ``theory.monotonicity``
N (layers)             ``depth``
which points to label  ``SpanSelection`` (beyond the paper); ``theory.certify``: which answers are proved
soft labels, sklearn   ``SoftLabelClassifier``; its ridge ``alpha`` at 0 is Theorem 1's student
... in a kernel        ``KernelSoftLabelClassifier``; ``theory.KernelSpan``, ``theory.kernels``
=====================  ==============================================================================
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.budget import BudgetedDistillation, BudgetPlan, SpanSelection, StoppingRule, plan_budget
    from limbeck.students import (
        DistilledClassifier,
        KernelSoftLabelClassifier,
        SoftLabelClassifier,
        load,
        load_pipeline,
        save,
    )

__version__ = "0.1.0"

__all__ = [
    "BudgetPlan",
    "BudgetedDistillation",
    "DistilledClassifier",
    "KernelSoftLabelClassifier",
    "SoftLabelClassifier",
    "SpanSelection",
    "StoppingRule",
    "__version__",
    "load",
    "load_pipeline",
    "plan_budget",
    "save",
]

_HOMES = {
    "BudgetPlan": "limbeck.budget",
    "BudgetedDistillation": "limbeck.budget",
    "DistilledClassifier": "limbeck.students",
    "KernelSoftLabelClassifier": "limbeck.students",
    "SoftLabelClassifier": "limbeck.students",
    "SpanSelection": "limbeck.budget",
    "StoppingRule": "limbeck.budget",
    "load": "limbeck.students",
    "load_pipeline": "limbeck.students",
    "plan_budget": "limbeck.budget",
    "save": "limbeck.students",
}


def __getattr__(name: str) -> object:
    # Imported when first asked for: the theory does not need scikit-learn, nor does --help.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'limbeck' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
