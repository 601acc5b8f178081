"""Before and while paying a teacher: how many answers, one batch at a time, and whose model leaks."""

from limbeck.budget.loop import BudgetedDistillation
from limbeck.budget.plan import BudgetPlan, plan_budget
from limbeck.budget.stopping import StoppingRule
from limbeck.budget.teachers import CallableTeacher, ProgramTeacher

__all__ = [
    "BudgetPlan",
    "BudgetedDistillation",
    "CallableTeacher",
    "ProgramTeacher",
    "StoppingRule",
    "plan_budget",
]
