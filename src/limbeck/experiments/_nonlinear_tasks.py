"""Transfer sets for students beyond linear: one geometry a level, the same teacher at every level."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from limbeck.data import load_digits
from limbeck.experiments._experiment import Settings
from limbeck.theory import PolynomialTask

KAPPAS = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
POWERS = (-0.6, -0.4, -0.2, 0.0)
LEVELS = {"section 5.1": KAPPAS, "digits": POWERS}
BASE = 3
SIDE = 7
TEACHER_ROWS = 400
HIDDEN = 32

Teacher = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Transfer:
    """One random transfer set at every level of geometry."""

    X: np.ndarray
    """Points learned from, the last one held back at first, (levels, n + 1, d)."""
    z: np.ndarray
    """Their logits, (levels, n + 1)."""
    pool: np.ndarray
    """Points that span the directions of biased learners, (levels, k, d)."""
    T: np.ndarray
    """Held-out points, (levels, m, d)."""
    truth: np.ndarray
    """The teacher's logits there, (levels, m)."""


def transfer(data: str, teacher: str, settings: Settings, rng: np.random.Generator) -> Transfer:
    """Draw a transfer set, a pool and held-out points, and teach them.

    Section 5.1's data: directions of the kappa-polynomial law, on the unit sphere (lengths play no part for students
    homogeneous in x); digits: 0 and 1 averaged over blocks of pixels, times a power of their second moment.
    Logits have a root mean square of 1 at every level.
    """
    draw = _directions if data == "section 5.1" else _digits
    points, logits = draw(teacher, settings, rng)
    logits = logits / np.sqrt(np.mean(np.square(logits), axis=1, keepdims=True))
    n, k = settings["n"] + 1, settings["pool"]
    return Transfer(
        points[:, :n], logits[:, :n], points[:, n : n + k], points[:, n + k :], logits[:, n + k :]
    )


def _size(settings: Settings) -> int:
    return settings["n"] + 1 + settings["pool"] + settings["test"]


def _directions(teacher: str, settings: Settings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    d, size = settings["d"], _size(settings)
    ask: Teacher = lambda U: U[:, 0]  # noqa: E731 - the axis of the task
    if teacher == "network":
        U = _unit(rng.standard_normal((TEACHER_ROWS, d)))
        ask = _network(U, U[:, 0] >= 0, rng)
    points = np.stack([_unit(PolynomialTask(kappa, d).sample(size, rng=rng).X) for kappa in KAPPAS])
    return points, np.stack([ask(U) for U in points])


def _digits(teacher: str, settings: Settings, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    digits = load_digits(settings["digits"], (0, 1))
    X = _shrunk(digits.X)
    order = rng.permutation(len(X))
    train, rest = order[:TEACHER_ROWS], order[TEACHER_ROWS : TEACHER_ROWS + _size(settings)]
    if teacher == "network":
        ask = _network(X[train], digits.y[train] == 1, rng)
    else:
        from sklearn.linear_model import LogisticRegression  # slow to import, needed here only

        w = LogisticRegression(fit_intercept=False).fit(X[train], digits.y[train]).coef_[0]
        ask = lambda U: U @ w  # noqa: E731
    # Teacher and student see the same images; only the student's features are reshaped.
    logits = np.tile(ask(X[rest]), (len(POWERS), 1))
    return np.stack([(X @ _power(X, power))[rest] for power in POWERS]), logits


def _shrunk(X: np.ndarray) -> np.ndarray:
    """Images averaged over blocks of 4 x 4 pixels, with a root mean square length of 1."""
    block = 28 // SIDE
    small = X.reshape(-1, SIDE, block, SIDE, block).mean(axis=(2, 4)).reshape(len(X), -1)
    return small / np.sqrt(np.mean(np.sum(np.square(small), axis=1)))


def _power(X: np.ndarray, power: float) -> np.ndarray:
    """S^power on the range of the second moment S, scaled to keep the points' mean square length at 1."""
    values, vectors = np.linalg.eigh(X.T @ X / len(X))
    seen = values > 1e-6 * values[-1]
    factors = np.where(seen, np.where(seen, values, 1.0) ** power, 0.0)
    return (vectors * (factors / np.sqrt(np.sum(values * np.square(factors))))) @ vectors.T


def _network(X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Teacher:
    """A small ReLU network with biases trained on hard labels, as a function from points to logits."""
    from sklearn.exceptions import ConvergenceWarning  # slow to import, needed here only
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((HIDDEN,), solver="lbfgs", alpha=0.1, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():  # a teacher need not be the best one
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    (W, v), (b, c) = model.coefs_, model.intercepts_
    return lambda U: (np.maximum(U @ W + b, 0.0) @ v)[:, 0] + c[0]


def _unit(X: np.ndarray) -> np.ndarray:
    return X / np.linalg.norm(X, axis=1, keepdims=True)
