"""Strategies, stopping, purchases and audits on odd pools and answers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.special import expit

from limbeck import budget, plan_budget
from limbeck.budget.leak import audit_leak, from_arrays
from torture import reference
from torture.calls import Call
from torture.learners import NEEDS_ANSWERS
from torture.odd import Draws


def _rows(found: np.ndarray, X: Any, n: Any, *_: Any) -> str | None:
    """As many different rows of the pool as were asked for, or all of them."""
    rows = X.shape[0] if issparse(X) else len(X)
    wanted = min(int(n), rows)
    good = len(set(found.tolist())) == len(found) == wanted and set(found.tolist()) <= set(range(rows))
    return None if good else f"{found} of {rows} rows where {n} were asked for"


def _ranked(found: Any, X: Any, n: Any) -> str | None:
    energy = np.concatenate([[found.energy_given], found.energy])
    if np.any(np.diff(energy) > 1e-12) or energy.min() < -1e-12:
        return f"the energy left rises: {energy}"
    return _rows(found.indices, X, n)


def _started(command):
    with tempfile.TemporaryDirectory() as folder:
        return str(budget.ProgramTeacher(command).start(Path(folder) / "replies", 1.0))


def _bought(X: Any, budget_: Any, target: Any, audit: Any, batch: Any, select: str) -> tuple[int, int]:
    """A small purchase from a function, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        buy = budget.BudgetedDistillation(
            budget.CallableTeacher(lambda x: expit(x.sum(axis=1))),
            budget=budget_, target_risk=target, audit=audit, batch=batch, select=select,
        )  # fmt: skip
        found = buy.run(X, folder=Path(folder) / "bought")
    return found.spent, found.budget


def _within(found: tuple[int, int], *_: Any) -> str | None:
    return None if found[0] <= found[1] else f"{found[0]} questions of {found[1]}"


def _looked(target: Any, confidence: Any, looks: Any, wrong: Any, size: Any, number: Any) -> Any:
    return budget.StoppingRule(target, confidence, looks).look(wrong, size, number)


def _look(
    found: Any, target: Any, confidence: Any, looks: Any, wrong: Any, size: Any, number: Any
) -> str | None:
    share = looks if looks is not None else number * (number + 1)
    return reference.clopper_pearson(found.upper, wrong, size, 1 - (1 - confidence) / share)


def _smallest(n: int, target: Any, wrong: Any) -> str | None:
    rule = budget.StoppingRule(target, looks=1)
    if not rule.look(wrong, n, 1).stop:
        return f"{n} points do not pass"
    return "fewer points pass" if n - 1 > wrong and rule.look(wrong, n - 1, 1).stop else None


def _leaked(coef: Any, intercept: Any, pool: Any, decimals: Any, r: Any) -> Any:
    model = from_arrays({"coef": coef, "intercept": intercept})
    return audit_leak(
        model,
        pool,
        decimals=decimals,
        repeats=1,
        held_out=50,
        factors=(0.5, 1.0),
        label_factors=(2.0,),
        rng=r,
    ).leaks


def _compared(X: Any, z: Any, T: Any, t: Any, sizes: Any, w: Any, r: Any) -> Any:
    one = budget.compare(X, z, T, t, sizes, rng=r, w_star=w)
    mean = budget.mean_comparison([one, one])
    return mean.risk, mean.of(mean.strategies[0])


BUYING: dict[str, Callable[[Draws], Call]] = {
    "SpanSelection.rank": lambda g: Call(
        lambda X, n: budget.SpanSelection().rank(X, n), (g.X(), g.whole(1, 9)), _ranked
    ),
    "AnswerSelection": lambda g: Call(
        lambda X, n, given, z: budget.AnswerSelection().query(X, n, given, z),
        (g.X(), g.whole(1, 4), g.pick(([0], [0, 1], [], [5], [0, 0])), g.array(g.pick((1, 2)))),
    ),
    "random_order": lambda g: Call(
        lambda X, n, r: budget.random_order(X, n, rng=r), (g.X(), g.whole(1, 9), g.seeded()), _rows
    ),
    "farthest_first": lambda g: Call(budget.farthest_first, (g.X(), g.whole(1, 9)), _rows),
    "k_means_plus_plus": lambda g: Call(
        lambda X, n, r: budget.k_means_plus_plus(X, n, rng=r), (g.X(), g.whole(1, 9), g.seeded()), _rows
    ),
    "largest_residual": lambda g: Call(budget.largest_residual, (g.X(), g.whole(1, 9)), _rows),
    "matching_pursuit": lambda g: Call(budget.matching_pursuit, (g.X(), g.whole(1, 9), g.w()), _rows),
    "compare": lambda g: Call(
        _compared, (g.X(), g.z(), g.T(), g.array(g.m), [g.whole(1, 3)], g.w(), g.seeded())
    ),
    "Pool": lambda g: Call(lambda X: len(budget.Pool(X).zeros), (g.X(),)),
    "geometry": lambda g: Call(
        lambda X, r: budget.geometry(X, rng=r), (g.X(), g.seeded()), undefined=NEEDS_ANSWERS
    ),
    "geometry towards a teacher": lambda g: Call(
        lambda X, b, w, s, r: budget.geometry(X, budgets=b, direction=w, sample=s, draws=2, rng=r),
        (g.X(), [g.whole(1, 3)], g.w(), g.whole(), g.seeded()), undefined=NEEDS_ANSWERS,
    ),
    "StoppingRule": lambda g: Call(
        _looked,
        (g.share(), g.share(), g.whole(1, 9) if g.odd() else None, g.whole(0, 9), g.whole(9, 90), g.whole(1, 5)),
        _look,
    ),
    "StoppingRule.smallest_sample": lambda g: Call(
        lambda target, wrong: budget.StoppingRule(target, looks=1).smallest_sample(wrong),
        (g.share(), g.whole(0, 5)), _smallest,
    ),
    "BudgetedDistillation": lambda g: Call(
        _bought,
        (g.X(), g.whole(2, 12), g.share(), g.whole(1, 4), g.whole(1, 4), g.pick(("span", "random", "odd"))), _within,
    ),
    "ProgramTeacher": lambda g: Call(
        _started,
        (g.pick(("", " ", "'", "no-such-program-of-ours", (), ("",), ("no such\n",))),),
    ),
    "audit_leak": lambda g: Call(
        _leaked, (g.array(1, g.d), g.array(1), g.X(), [g.whole(0, 3)], g.seeded())
    ),
    "plan_budget": lambda g: Call(
        lambda X, t, c, p, r: plan_budget(X, target_risk=t, confidence=c, price=p, rng=r),
        (g.X(), g.share(), g.share(), g.size() if g.odd() else None, g.seeded()),
    ),
    "plan_budget after a pilot": lambda g: Call(
        lambda X, z, r: plan_budget(X, z, target_risk=0.1, orders=2, rng=r), (g.X(), g.z(), g.seeded())
    ),
}  # fmt: skip
