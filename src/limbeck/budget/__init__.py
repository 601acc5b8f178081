"""Before and while paying a teacher: which points, how many answers, one batch at a time, and whose model leaks."""

from limbeck.budget.answers import AnswerSelection
from limbeck.budget.geometry import Geometry, ScalingCurve, geometry
from limbeck.budget.loop import BudgetedDistillation
from limbeck.budget.plan import BudgetPlan, plan_budget
from limbeck.budget.pool import Pool
from limbeck.budget.select import Ranking, SpanSelection
from limbeck.budget.stopping import StoppingRule
from limbeck.budget.strategies import (
    Comparison,
    compare,
    farthest_first,
    k_means_plus_plus,
    largest_residual,
    matching_pursuit,
    mean_comparison,
    random_order,
)
from limbeck.budget.teachers import CallableTeacher, ProgramTeacher

__all__ = [
    "AnswerSelection",
    "BudgetPlan",
    "BudgetedDistillation",
    "CallableTeacher",
    "Comparison",
    "Geometry",
    "Pool",
    "ProgramTeacher",
    "Ranking",
    "ScalingCurve",
    "SpanSelection",
    "StoppingRule",
    "compare",
    "farthest_first",
    "geometry",
    "k_means_plus_plus",
    "largest_residual",
    "matching_pursuit",
    "mean_comparison",
    "plan_budget",
    "random_order",
]
