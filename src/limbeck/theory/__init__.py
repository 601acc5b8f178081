"""The paper and what goes beyond it: arrays in, arrays or frozen results out. NumPy and SciPy only.

Start with `Span` (Theorem 1): everything else is a reading of it.
"""

from limbeck.theory.angles import (
    EmpiricalTail,
    MarginTail,
    PolynomialTail,
    Tail,
    UpperTail,
    angle,
    margin_angle,
    unsigned_angle,
)
from limbeck.theory.bounds import (
    angle_of_perturbation,
    angle_of_perturbation_printed,
    approximate_risk_bound,
    approximate_risk_bound_printed,
    bound_at_angle,
    margin_bound,
    polynomial_bound,
    transfer_risk_bound,
    transfer_risk_bound_tight,
)
from limbeck.theory.chain import LearningCurve, learning_curve
from limbeck.theory.learners import (
    BiasedDistillation,
    Distillation,
    HardTargetLimit,
    HardTargetSteps,
    Learner,
)
from limbeck.theory.risk import (
    Interval,
    Monotonicity,
    disagreement,
    expected_risk_interval,
    held_out_risk,
    mean_interval,
    monotonicity,
    symmetric_risk,
)
from limbeck.theory.span import MinimumNorm, Span
from limbeck.theory.tasks import MarginTask, PolynomialTask, Sample, SampleTask, SymmetricTask, Task

__all__ = [
    "BiasedDistillation",
    "Distillation",
    "EmpiricalTail",
    "HardTargetLimit",
    "HardTargetSteps",
    "Interval",
    "Learner",
    "LearningCurve",
    "MarginTail",
    "MarginTask",
    "MinimumNorm",
    "Monotonicity",
    "PolynomialTail",
    "PolynomialTask",
    "Sample",
    "SampleTask",
    "Span",
    "SymmetricTask",
    "Tail",
    "Task",
    "UpperTail",
    "angle",
    "angle_of_perturbation",
    "angle_of_perturbation_printed",
    "approximate_risk_bound",
    "approximate_risk_bound_printed",
    "bound_at_angle",
    "disagreement",
    "expected_risk_interval",
    "held_out_risk",
    "learning_curve",
    "margin_angle",
    "margin_bound",
    "mean_interval",
    "monotonicity",
    "polynomial_bound",
    "symmetric_risk",
    "transfer_risk_bound",
    "transfer_risk_bound_tight",
    "unsigned_angle",
]
