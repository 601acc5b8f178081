"""``python -m benchmarks.selection``: which points to label, against what one would use instead; docs/selection.md.

Finished (pool, seed) pairs are kept in build/selection.jsonl and skipped when run again; delete it after a change.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import json
import re
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from skactiveml.pool import CoreSet, TypiClust
from sklearn.datasets import load_breast_cancer
from sklearn.datasets import load_digits as load_small_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from limbeck.budget import Comparison, SpanSelection, compare, mean_comparison
from limbeck.budget.strategies import minimum_norm
from limbeck.data import load_digits
from limbeck.displays import save
from limbeck.displays.selection import strategies
from limbeck.students import SoftLabelClassifier

BUDGETS = (1, 2, 3, 5, 10, 20, 50, 100)
SEEDS = 20
POOL, TEST = 500, 1000
ROOT = Path(__file__).parents[1]
RECORDS, OUT, FIGURE = (
    ROOT / "build" / "selection.jsonl",
    ROOT / "docs" / "selection.md",
    ROOT / "docs" / "selection",
)
BEGIN, END = "<!-- tables -->\n", "<!-- end of tables -->"
SHOWN = ("span", "answers", "random", "core-set", "TypiClust", "oracle")


@dataclass(frozen=True)
class Case:
    """A pool, its test points and its teacher."""

    X: np.ndarray
    z: np.ndarray
    T: np.ndarray
    says: np.ndarray
    w_star: np.ndarray | None
    student: Callable = minimum_norm
    raw: bool = False
    """Whether to run the selection on rows as given, too."""


def logistic(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    return LogisticRegression(C=1.0, fit_intercept=False, max_iter=5000).fit(X, y).coef_[0]


def ridge(X: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The default student, ridge by leave-one-out; of one label the exact one."""
    if len(X) < 2:
        return minimum_norm(X, z)
    return SoftLabelClassifier(fit_intercept=False).fit(X, teacher_logits=z).coef_[0]


@lru_cache
def real(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and a linear logistic teacher's weights, learned from all rows."""
    if name == "breast cancer":
        data = load_breast_cancer()
        X = np.column_stack([StandardScaler().fit_transform(data.data), np.ones(len(data.data))])
        return X, logistic(X, data.target)
    if name == "8 x 8 digits, 5-9 v 0-4":
        data = load_small_digits()
        return data.data / 16, logistic(data.data / 16, data.target >= 5)
    digits = load_digits(classes=(0, 1)) if name == "MNIST 0 v 1" else load_digits()
    return digits.X, logistic(digits.X, digits.y >= (1 if name == "MNIST 0 v 1" else 5))


@lru_cache
def network() -> tuple[np.ndarray, np.ndarray]:
    """MNIST digits, and the logits of a network with 64 hidden units that tells 5-9 from 0-4."""
    digits = load_digits()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 30 epochs are enough for a teacher
        model = MLPClassifier((64,), max_iter=30, random_state=0).fit(digits.X, digits.y >= 5)
    hidden = np.maximum(digits.X @ model.coefs_[0] + model.intercepts_[0], 0)
    return digits.X, (hidden @ model.coefs_[1] + model.intercepts_[1])[:, 0]


def from_data(name: str, rng: np.random.Generator) -> Case:
    X, w = real(name)
    rows = rng.permutation(len(X))
    half = min(POOL, len(X) // 2)
    P, T = X[rows[:half]], X[rows[half : half + TEST]]
    return Case(P, P @ w, T, T @ w, w)


def from_network(rng: np.random.Generator) -> Case:
    X, z = network()
    rows = rng.permutation(len(X))
    P, T = rows[:POOL], rows[POOL : POOL + TEST]
    return Case(X[P], z[P], X[T], z[T], None, ridge)


def synthetic(kind: str, rng: np.random.Generator) -> Case:
    d = 200
    draw = rng.standard_t(2, (POOL + TEST, d)) if kind == "heavy" else rng.standard_normal((POOL + TEST, d))
    if kind in ("decaying", "outliers", "noisy"):
        draw *= np.arange(1, d + 1) ** -0.75
    P, T = draw[:POOL], draw[POOL:]
    w = rng.standard_normal(d)
    if kind == "outliers":
        bad = rng.permutation(POOL)[: POOL // 20]
        P[bad] = 30 * rng.standard_normal((len(bad), d))
    z = P @ w
    if kind == "noisy":
        z = z + 0.3 * z.std() * rng.standard_normal(POOL)
    student = ridge if kind == "noisy" else minimum_norm
    return Case(P, z, T, T @ w, w, student, kind in ("heavy", "outliers"))


CASES: dict[str, Callable[[np.random.Generator], Case]] = {
    **{
        name: lambda rng, name=name: from_data(name, rng)
        for name in ("MNIST 0 v 1", "MNIST 5-9 v 0-4", "breast cancer", "8 x 8 digits, 5-9 v 0-4")
    },
    "Gaussian, spectrum i^-0.75, d = 200": lambda rng: synthetic("decaying", rng),
    "the same, 5 % outliers": lambda rng: synthetic("outliers", rng),
    "the same, noisy answers": lambda rng: synthetic("noisy", rng),
    "heavy-tailed (t, 2 degrees of freedom), d = 200": lambda rng: synthetic("heavy", rng),
    "isotropic Gaussian, d = 200": lambda rng: synthetic("isotropic", rng),
    "MNIST 5-9 v 0-4, network as teacher": from_network,
}


def run(name: str, seed: int) -> Comparison:
    rng = np.random.default_rng([seed, list(CASES).index(name)])
    case = CASES[name](rng)
    unlabelled = np.full(len(case.X), np.nan)
    core = CoreSet(random_state=seed).query(case.X, unlabelled, batch_size=max(BUDGETS))
    extra = {
        "CoreSet (scikit-activeml)": lambda k: core[:k],
        "TypiClust (scikit-activeml)": lambda k: TypiClust(random_state=seed).query(
            case.X, unlabelled, batch_size=k
        ),
    }
    if case.raw:
        raw = SpanSelection(unit_rows=False).query(case.X, max(BUDGETS))
        extra["span, rows as given"] = lambda k: raw[:k]
    found = compare(
        case.X,
        case.z,
        case.T,
        case.says,
        BUDGETS,
        rng=rng,
        w_star=case.w_star,
        extra=extra,
        student=case.student,
    )
    return found


def read() -> dict[tuple[str, int], Comparison]:
    if not RECORDS.exists():
        return {}
    kept = {}
    for line in RECORDS.read_text().splitlines():
        row = json.loads(line)
        risk = np.array(row["risk"])
        kept[row["pool"], row["seed"]] = Comparison(
            tuple(row["strategies"]), np.array(BUDGETS), risk, risk, risk, "", row["held_out"]
        )
    return kept


def table(name: str, mean: Comparison) -> str:
    """Mean and half width of the interval; bold where no rule but the oracle has a lower mean."""
    free = [i for i, s in enumerate(mean.strategies) if s != "oracle"]
    best = mean.risk[free].min(axis=0)
    lines = [f"### {name}", "", "| labels | " + " | ".join(map(str, BUDGETS)) + " |", "|---" * 9 + "|"]
    for i, strategy in enumerate(mean.strategies):
        cells = []
        for j in range(len(BUDGETS)):
            text = f"{mean.risk[i, j]:.3f} ±{(mean.high[i, j] - mean.low[i, j]) / 2:.3f}"
            cells.append(f"**{text}**" if i in free and mean.risk[i, j] <= best[j] + 5e-4 else text)
        lines.append(f"| {strategy} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(seeds: int = SEEDS) -> None:
    kept = read()
    RECORDS.parent.mkdir(exist_ok=True)
    for seed in range(seeds):
        for name in CASES:
            if (name, seed) in kept:
                continue
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # k-means of repeated points
                found = kept[name, seed] = run(name, seed)
            row = {"pool": name, "seed": seed, "strategies": found.strategies, "risk": found.risk.tolist()}
            row["held_out"] = found.held_out
            with RECORDS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{name}, seed {seed}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    means = {name: mean_comparison([kept[name, s] for s in range(seeds)]) for name in CASES}
    text = OUT.read_text() if OUT.exists() else BEGIN + END
    tables = "\n".join(table(name, mean) for name, mean in means.items())
    OUT.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: BEGIN + tables + END, text, flags=re.DOTALL))
    mean = means["MNIST 0 v 1"]
    shown = [s for s in mean.strategies if s.split(" (")[0] in SHOWN]
    at = {s: mean.strategies.index(s) for s in shown}
    figure = strategies(
        mean.budgets,
        *({s: part[i] for s, i in at.items()} for part in (mean.risk, mean.low, mean.high)),
        covers=mean.covers,
        title="MNIST 0 v 1",
    )
    for path in save(figure, FIGURE):
        if path.suffix == ".svg":
            path.unlink()  # the page shows the PNG


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
