"""Before and while paying a teacher: which points to label, and what the geometry of a pool promises."""

from limbeck.budget.answers import AnswerSelection
from limbeck.budget.geometry import Geometry, ScalingCurve, geometry
from limbeck.budget.pool import Pool
from limbeck.budget.select import Ranking, SpanSelection
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

__all__ = [
    "AnswerSelection",
    "Comparison",
    "Geometry",
    "Pool",
    "Ranking",
    "ScalingCurve",
    "SpanSelection",
    "compare",
    "farthest_first",
    "geometry",
    "k_means_plus_plus",
    "largest_residual",
    "matching_pursuit",
    "mean_comparison",
    "random_order",
]
