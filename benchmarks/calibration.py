"""``python -m benchmarks.calibration``: how often what `plan_budget` promises is true. Writes docs/calibration.md.

Finished pilots are kept in ``--records`` and not run again. ``--pilots 20`` is a quick look.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest, norm
from sklearn.datasets import load_digits as load_small_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from limbeck import SoftLabelClassifier, plan_budget
from limbeck.budget.curve import taught
from limbeck.budget.forecast import power_law
from limbeck.data import load_digits
from limbeck.labels import SoftLabels, from_logits, from_probabilities
from limbeck.records import append_json, read_lines, write_whole
from limbeck.theory import MarginTask, PolynomialTask, Span, disagreement

PILOTS, CONFIDENCE, SEED = 200, 0.95, 7
OUT = Path(__file__).parents[1] / "docs" / "calibration.md"


@dataclass(frozen=True)
class World:
    """A pool in random order, its teacher's answers, and the truth about any student."""

    X: np.ndarray
    answers: SoftLabels
    student: SoftLabelClassifier
    risks: Callable[[Sequence[int]], np.ndarray]
    """True risk of the students of the first n rows, for each n."""


@dataclass(frozen=True)
class Family:
    says: str
    make: Callable[[np.random.Generator], World]
    targets: tuple[float, ...]
    pilots: tuple[int, ...] = (100, 200)
    orders: int = 20
    looks: int = 1
    """Plans made at most: each buys what the one before it advised, until one promises or ends."""


def by_prefix(X: np.ndarray, z: np.ndarray, risk: Callable[[np.ndarray], np.ndarray]):
    """True risks of minimum-norm students of a linear teacher, from one factorisation."""

    def risks(sizes: Sequence[int]) -> np.ndarray:
        span = Span(X[: max(sizes)])
        c = span.teacher_coordinates(z[: max(sizes)])
        return risk(span.prefix_weights(c, np.array(sizes)))

    return risks


def by_fits(X, answers, student, risk: Callable[[Any], float]):
    """True risks by one fit each."""
    return lambda sizes: np.array([risk(taught(student, X[:n], answers[:n])) for n in sizes])


EXACT = SoftLabelClassifier(alpha=0, fit_intercept=False)


def polynomial(rng: np.random.Generator) -> World:
    task = PolynomialTask(float(rng.choice([0.25, 0.375, 0.5])), int(rng.choice([60, 200, 600])))
    sample = task.sample(1500, rng=rng)
    return World(sample.X, from_logits(sample.z), EXACT, by_prefix(sample.X, sample.z, task.risk))


def margin(rng: np.random.Generator) -> World:
    task = MarginTask(float(rng.choice([1.57, 1.54, 1.5])), int(rng.choice([30, 200, 600])))
    sample = task.sample(1500, rng=rng)
    return World(sample.X, from_logits(sample.z), EXACT, by_prefix(sample.X, sample.z, task.risk))


@lru_cache
def digits_0_1() -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits(classes=(0, 1))
    teacher = LogisticRegression(C=0.1, fit_intercept=False).fit(digits.X, digits.y)
    return digits.X, teacher.decision_function(digits.X)


def mnist(rng: np.random.Generator) -> World:
    X, z = digits_0_1()
    order = rng.permutation(len(X))
    pool, logits = X[order], z[order]
    return World(
        pool, from_logits(logits), EXACT, by_prefix(pool, logits, lambda W: disagreement(W @ X.T, z))
    )


@lru_cache
def small_digits(positive: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    X, y = load_small_digits(return_X_y=True)
    X = X / 16.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a teacher need not have converged
        teacher = MLPClassifier((32,), max_iter=300, random_state=0).fit(X, np.isin(y, positive))
    return X, teacher.predict_proba(X)[:, 1]


def mlp(rng: np.random.Generator, positive: tuple[int, ...] = (5, 6, 7, 8, 9)) -> World:
    X, p = small_digits(positive)
    order = rng.permutation(len(X))[:1000]
    answers, student = from_probabilities(p[order]), SoftLabelClassifier()
    truth = p >= 0.5
    return World(
        X[order],
        answers,
        student,
        by_fits(X[order], answers, student, lambda m: float(np.mean(m.predict(X) != truth))),
    )


def rare(rng: np.random.Generator) -> World:
    return mlp(rng, (8,))


def noisy(rng: np.random.Generator, d: int = 20, noise: float = 0.7) -> World:
    X, w = rng.standard_normal((1000, d)), np.ones(d) / np.sqrt(d)
    answers, student = from_logits(X @ w + noise * rng.standard_normal(1000)), SoftLabelClassifier()

    def risk(m) -> float:  # Gaussian points: the two signs differ with the angle between the two scores
        v, b = m.coef_[0], float(m.intercept_[0])
        size = np.linalg.norm(v)
        cosine = v @ w / np.hypot(size, b) / np.sqrt(1 + noise**2)  # the intercept taken as one more noise
        return float(np.arccos(cosine) / np.pi)

    return World(X, answers, student, by_fits(X, answers, student, risk))


def nearly(rng: np.random.Generator) -> World:
    X, share = rng.standard_normal((1000, 11)), rng.choice([0.01, 0.02, 0.04, 0.08])
    z = X @ rng.standard_normal(11) + 20 * (X[:, 0] > norm.ppf(1 - share))
    answers, student = from_logits(z), SoftLabelClassifier()
    return World(
        X, answers, student, by_fits(X, answers, student, lambda m: float(np.mean(m.predict(X) != (z >= 0))))
    )


def two_regimes(rng: np.random.Generator) -> World:
    """Another linear teacher on the 4 % of points farthest along the first feature; new points judge."""
    d, X, away = 10, rng.standard_normal((6000, 10)), float(rng.choice([1.0, 3.0, 10.0]))
    w, other = rng.standard_normal((2, d))
    z = np.where(X[:, 0] > norm.ppf(0.96), away * (X @ other), X @ w)
    answers, student, T, truth = from_logits(z[:1000]), SoftLabelClassifier(), X[1000:], z[1000:] >= 0
    risks = by_fits(X[:1000], answers, student, lambda m: float(np.mean(m.predict(T) != truth)))
    return World(X[:1000], answers, student, risks)


FAMILIES = {
    "polynomial": Family(
        "kappa 1/4 to 1/2, d 60 to 600, exact student",
        polynomial,
        (0.3, 0.2, 0.1, 0.05, 0.02),
        (50, 100, 200),
    ),
    "margin": Family(
        "beta 1.5 to 1.57, d 30 to 600, exact student", margin, (0.2, 0.1, 0.05, 0.03, 0.02), (24, 48)
    ),
    "MNIST 0/1": Family(
        "logistic teacher on 784 pixels, exact student", mnist, (0.05, 0.02, 0.01, 0.005), (50, 100, 200)
    ),
    "MLP": Family(
        "digits 0-4 against 5-9 in 64 features, ridge student",
        mlp,
        (0.3, 0.2, 0.15, 0.12, 0.02),
        orders=10,
    ),
    "rare": Family(
        "digit 8 against the rest, one in ten, ridge student", rare, (0.07, 0.05, 0.03, 0.005), orders=10
    ),
    "noisy": Family(
        "linear in 20 features plus noise: floor 0.19", noisy, (0.3, 0.25, 0.22, 0.1, 0.02), orders=10
    ),
    "nearly linear": Family(
        "linear in 11 features, but for a jump on 1 to 8 % of points",
        nearly,
        (0.1, 0.05, 0.02, 0.01),
        (14, 30, 60, 200),
        orders=5,
    ),
    "two regimes": Family(
        "linear in 10 features, by other weights on 4 % of points",
        two_regimes,
        (0.15, 0.1, 0.07, 0.05),
        (30, 60, 120, 240),
        orders=5,
    ),
}
REPEATED = ("polynomial", "noisy", "nearly linear", "two regimes")
FAMILIES |= {
    f"{name}, repeated": replace(FAMILIES[name], says="the same, planned again after each purchase", looks=20)
    for name in REPEATED
}


def pilot(name: str, number: int) -> dict[str, Any]:
    """One simulated pilot: the last plan, and what came true."""
    family = FAMILIES[name]
    rng = np.random.default_rng([SEED, *name.encode(), number])
    world = family.make(rng)
    target = family.targets[number % len(family.targets)]
    m, bought = 0, int(rng.choice(family.pilots))
    for _ in range(family.looks):
        m += bought
        plan = plan_budget(
            world.X,
            world.answers[:m],
            target_risk=target,
            confidence=CONFIDENCE,
            student=world.student,
            chosen=rng.permutation(len(world.X)),  # any order: the forecast does not depend on it
            orders=family.orders,
            rng=rng,
        )
        bought = plan.buy
        if plan.decision != "look again":
            break
    most = plan.pilot.forecast.at_most
    law = power_law(plan.pilot.curve, target, most)
    law = None if law is None else max(law, 2)  # of one answer no ridge is chosen by leaving it out
    n = m if plan.decision == "stop" else plan.pilot.forecast.n if plan.decision == "buy" else None
    grid = sorted({int(k) for k in np.geomspace(4, most, 14)} | {k for k in (n, law, m, most) if k})
    risk = dict(zip(grid, world.risks(grid).tolist(), strict=True))
    over = [k for k in grid if risk[k] > target]
    return {
        "family": name,
        "number": number,
        "target": target,
        "pilot": m,
        "linearity": plan.pilot.linearity.verdict,
        "decision": plan.decision,
        "n": n,
        "risk": None if n is None else risk[n],
        "law": law,
        "law risk": None if law is None else risk[law],
        "needed": None if over and over[-1] == most else next(k for k in grid if not over or k > over[-1]),
        "best": risk[most],
    }


def table(records: list[dict[str, Any]]) -> str:
    """The page's tables."""
    lines = [
        "| family | pilots | promised | promise kept | p (kept < 95 %) | bought / needed | unreachable: none promised, "
        "named | reachable, named unreachable | power law: forecasts | kept | bought / needed |",
        "|" + "---|" * 11,
    ]
    for name in FAMILIES:
        rows = [r for r in records if r["family"] == name]
        if rows:
            lines.append("| " + " | ".join([name, str(len(rows)), *summary(rows)]) + " |")
    return "\n".join(lines) + "\n"


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """Cells of one family."""
    promised = [r for r in rows if r["n"] is not None]
    kept = sum(r["risk"] <= r["target"] for r in promised)
    beyond = [r for r in rows if r["best"] > r["target"]]
    within = [r for r in rows if r["best"] <= r["target"]]
    law = [r for r in rows if r["law"] is not None]
    law_kept = sum(r["law risk"] <= r["target"] for r in law)
    p = binomtest(kept, len(promised), CONFIDENCE, alternative="less").pvalue if promised else 1.0
    false = sum(r["decision"] == "not reachable" for r in within)
    return [
        str(len(promised)),
        f"{kept} ({kept / max(len(promised), 1):.1%})",
        f"{p:.2g}",
        ratio(promised, "n"),
        f"{sum(r['n'] is None for r in beyond)} of {len(beyond)}, "
        f"{sum(r['decision'] == 'not reachable' for r in beyond)}",
        f"{false} of {len(within)}",
        str(len(law)),
        f"{law_kept} ({law_kept / max(len(law), 1):.1%})",
        ratio(law, "law"),
    ]


def ratio(rows: list[dict[str, Any]], what: str) -> str:
    """Quartiles of what was recommended beyond the pilot over what was needed."""
    beyond = [r for r in rows if r[what] > r["pilot"] and r["needed"]]
    if not beyond:
        return "-"
    values = np.quantile([r[what] / r["needed"] for r in beyond], [0.25, 0.5, 0.75])
    return f"{values[1]:.2g} ({values[0]:.2g} to {values[2]:.2g}; {len(beyond)})"


def page(records: list[dict[str, Any]]) -> str:
    """docs/calibration.md."""
    rows = "\n".join(f"- **{name}**: {family.says}" for name, family in FAMILIES.items())
    decisions = ["stop", "buy", "look again", "used up", "not reachable"]
    counted = "| family | target | " + " | ".join(decisions) + " | kept of promised | truly reachable |\n"
    counted += "|" + "---|" * 9 + "\n"
    for name, family in FAMILIES.items():
        for target in family.targets:
            here = [r for r in records if r["family"] == name and r["target"] == target]
            promised = [r for r in here if r["n"] is not None]
            cells = [str(sum(r["decision"] == d for r in here)) for d in decisions]
            kept = f"{sum(r['risk'] <= target for r in promised)} of {len(promised)}"
            reachable = f"{sum(r['best'] <= target for r in here)} of {len(here)}"
            counted += f"| {name} | {target:g} | " + " | ".join([*cells, kept, reachable]) + " |\n"
    return (
        "# Is the forecast calibrated?\n\n"
        "Written by `python -m benchmarks.calibration` (seed "
        f"{SEED}). Each pilot is a new pool with 14 to 240 random answers; `plan_budget` "
        "is asked for a target at 95 % confidence; then the student of the recommended number of random answers is "
        "learned and its true risk taken. A promise is `stop` or `buy`; it is kept if that risk is within the target. "
        "p is the one-sided binomial test that promises are kept less than 95 % of the time.\n\n" + rows + "\n\n"
        + table(records)
        + "\n*bought / needed*: median (quartiles; pilots) of answers recommended beyond the pilot over those after "
        "which this very order of points stays within the target, on a grid of 14 sizes. *unreachable*: the student of "
        "the whole pool misses the target. The power law is the least-squares line through the logarithms of the same "
        "curve, as is usual; its forecast has no confidence.\n\n## By target\n\n" + counted
        + "\nMost promises are conservative: they are kept more often than the confidence asks, at the price of the "
        "answers in *bought / needed*, since 95 % of all curves that fit the pilot have to agree. Where they "
        "would be bold, none is made: from 100 answers a floor above the target often cannot be told from a "
        "slow fall, and the plan says `look again`, for a target in reach as for one out of reach. The "
        "forecast's form (a power law to a floor) is an assumption; linear teachers' curves bend down from "
        "it, so that too much is bought for them. *Nearly linear* teachers are the exception: fewer of their "
        "forecasts come true than promised, though they miss by little. A student of few answers has met none of the "
        "points where such a teacher is not linear, and gets worse as it meets them, which no falling power law says. "
        "So while the answers agree with a linear teacher, and are not yet so many beyond the rank that the target is "
        "shown, nothing is promised. A plan made again and again, whenever it says `look again`, has more chances to "
        "promise too early; the *repeated* families follow its advice until it promises or ends. `used up` is such an "
        "end: every point of the pool is answered, and the target neither promised nor ruled out.\n"
    )  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pilots", type=int, default=PILOTS)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--records", type=Path, default=Path("build/calibration.jsonl"))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    options.records.parent.mkdir(parents=True, exist_ok=True)
    done = {(r["family"], r["number"]): r for r in read_lines(options.records)}
    for name in options.families:
        for number in range(options.pilots):
            if (name, number) not in done:
                done[name, number] = pilot(name, number)
                append_json(options.records, done[name, number])
        print(name, file=sys.stderr, flush=True)
    records = [r for (_, number), r in done.items() if number < options.pilots]
    write_whole(options.out, page(records))
    print(table(records))


if __name__ == "__main__":
    main(sys.argv[1:])
