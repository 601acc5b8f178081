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
from limbeck.theory.certificate import (
    Certificate,
    ClassCertificate,
    certify,
    certify_classes,
    counter_teacher,
    disagreement_probability,
)
from limbeck.theory.chain import (
    BiasedAngles,
    LearningCurve,
    asymptotic_risk,
    biased_angles,
    learning_curve,
    mean_square_cotangent,
)
from limbeck.theory.curves import CertifiedShares, DataCurve, certified_shares, data_curve
from limbeck.theory.deep import DeepLimit, DeepTrajectory, deep_flow, deep_limit, deep_limit_details
from limbeck.theory.deep_bounds import largest_start, theorem_2_radius
from limbeck.theory.expectation import ExpectedRisk, expected_risk
from limbeck.theory.flow import Trajectory, gradient_descent, gradient_flow
from limbeck.theory.kernel_span import KernelSpan
from limbeck.theory.layers import (
    balanced_layers,
    check_conditions,
    flip_sign,
    limit_of_layers,
    random_balanced_layers,
)
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
    clopper_pearson_upper,
    disagreement,
    expected_risk_interval,
    held_out_risk,
    mean_interval,
    monotonicity,
    symmetric_risk,
)
from limbeck.theory.span import MinimumNorm, Span
from limbeck.theory.tasks import MarginTask, PolynomialTask, Sample, SampleTask, SymmetricTask, Task
from limbeck.theory.training import descend_layers, flow_layers, imbalance_effect

__all__ = [
    "BiasedAngles",
    "BiasedDistillation",
    "Certificate",
    "CertifiedShares",
    "ClassCertificate",
    "DataCurve",
    "DeepLimit",
    "DeepTrajectory",
    "Distillation",
    "EmpiricalTail",
    "ExpectedRisk",
    "HardTargetLimit",
    "HardTargetSteps",
    "Interval",
    "KernelSpan",
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
    "Trajectory",
    "UpperTail",
    "angle",
    "angle_of_perturbation",
    "angle_of_perturbation_printed",
    "approximate_risk_bound",
    "approximate_risk_bound_printed",
    "asymptotic_risk",
    "balanced_layers",
    "biased_angles",
    "bound_at_angle",
    "certified_shares",
    "certify",
    "certify_classes",
    "check_conditions",
    "clopper_pearson_upper",
    "counter_teacher",
    "data_curve",
    "deep_flow",
    "deep_limit",
    "deep_limit_details",
    "descend_layers",
    "disagreement",
    "disagreement_probability",
    "expected_risk",
    "expected_risk_interval",
    "flip_sign",
    "flow_layers",
    "gradient_descent",
    "gradient_flow",
    "held_out_risk",
    "imbalance_effect",
    "largest_start",
    "learning_curve",
    "limit_of_layers",
    "margin_angle",
    "margin_bound",
    "mean_interval",
    "mean_square_cotangent",
    "monotonicity",
    "polynomial_bound",
    "random_balanced_layers",
    "symmetric_risk",
    "theorem_2_radius",
    "transfer_risk_bound",
    "transfer_risk_bound_tight",
    "unsigned_angle",
]
