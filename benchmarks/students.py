"""`SoftLabelClassifier` beside LogisticRegression, and its leave-one-out ridge beside the best in hindsight."""

from __future__ import annotations

import warnings

import numpy as np
from examples.soft_labels_on_digits import mlp, split
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from benchmarks._harness import race, table
from limbeck import SoftLabelClassifier
from limbeck.displays.style import CYCLE, house_style, new_figure, save

SPLITS = 20


def two_classes() -> str:
    """Two classes, from a linear teacher and from one that is not."""
    text = (
        "## Soft labels in scikit-learn\n\nWith intercept. `LogisticRegression` gets each row once per class, weighted "
        "by its probability (C infinite), or hard labels (C = 1: separable ones have no other minimum). Errors are "
        "distances to the weights of `SoftLabelClassifier(alpha=0)`, relative; its own is the distance to the linear "
        "teacher, or, where there is none, its largest gradient entry.\n\n"
    )
    return text + _both_teachers(20_000, 200, 2)


def ten_classes() -> str:
    """The same with ten classes."""
    return "## Soft labels of ten classes\n\nAs above.\n\n" + _both_teachers(50_000, 256, 10)


def _both_teachers(n: int, d: int, K: int) -> str:
    return _beside(n, d, K, "linear teacher", 0.0) + _beside(n, d, K, "logits with noise of 1", 1.0)


def _beside(n: int, d: int, K: int, kind: str, noise: float) -> str:
    rng = np.random.default_rng([n, d, K])
    m = 1 if K == 2 else K
    X, W = rng.standard_normal((n, d)), rng.standard_normal((d, m)) / np.sqrt(d)
    Z = X @ W + noise * rng.standard_normal((n, m))
    P = np.column_stack([expit(-Z), expit(Z)]) if K == 2 else softmax(Z, axis=1)
    copies, names, weight = np.tile(X, (K, 1)), np.repeat(np.arange(K), n), P.T.ravel()
    found = {}

    def ours() -> None:
        found["SoftLabelClassifier(alpha=0)"] = SoftLabelClassifier(alpha=0).fit(X, P)

    def duplicated(tol: float, solver: str = "lbfgs", name: str = "") -> None:
        model = LogisticRegression(C=np.inf, tol=tol, solver=solver, max_iter=10_000)
        found[name] = model.fit(copies, names, sample_weight=weight)

    contestants = {
        "SoftLabelClassifier(alpha=0)": ours,
        "LogisticRegression, hard labels": lambda: LogisticRegression(max_iter=10_000).fit(
            X, P.argmax(axis=1)
        ),
    }
    for name, tol, solver in (
        ("rows duplicated", 1e-4, "lbfgs"),
        ("rows duplicated, tol 1e-8", 1e-8, "lbfgs"),
        ("rows duplicated, newton-cholesky, tol 1e-10", 1e-10, "newton-cholesky"),
    ):
        if K == 2 or solver == "lbfgs":
            contestants[name] = lambda tol=tol, solver=solver, name=name: duplicated(tol, solver, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # contestants that do not converge say so in their error
        rows = race(contestants, rounds=5)
    student = found.pop("SoftLabelClassifier(alpha=0)")
    errors = {name: f"{_distance(model.coef_, student.coef_):.1e}" for name, model in found.items()}
    own = _distance(W.T, student.coef_) if noise == 0 else student.gradient_
    errors["SoftLabelClassifier(alpha=0)"] = f"{own:.1e}"
    return table(f"n = {n}, d = {d}, {K} classes, {kind}", rows, errors, "error") + "\n"


def _distance(W: np.ndarray, other: np.ndarray) -> float:
    W, other = W - W.mean(axis=0) * (len(W) > 1), other - other.mean(axis=0) * (len(other) > 1)
    return float(np.linalg.norm(W - other) / np.linalg.norm(other))


def leave_one_out() -> str:
    """Chosen alpha against the best single alpha in hindsight, and against alpha = 0 near n = rank."""
    text = (
        "## The ridge chosen by leave-one-out\n\n"
        f"Digits 5-9 against 0-4, an MLP teacher (`examples/soft_labels_on_digits.py`), {SPLITS} random splits, "
        "disagreement with the teacher on 1,000 held-out digits, mean and its standard error over splits. `best` is "
        "the one alpha, of 0 and a decade grid from 1e-8 to 1 times the curvature, whose mean is least at that n, "
        "chosen after the fact on the test points; the last column is the mean of alpha='loo' over it.\n\n"
    )
    for pooled, sizes in ((2, (50, 100, 150, 175, 200, 300, 500, 1000, 2500)), (1, (100, 500, 600))):
        text += _table(pooled, sizes)
    return text


def hindsight(sizes, splits: int, *, pooled: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Risks of alpha="loo" (sizes, splits), of 0 (sizes, splits), and of a grid (alphas, sizes, splits)."""
    chosen, zero = np.zeros((2, len(sizes), splits))
    grid = np.zeros((9, len(sizes), splits))
    for j in range(splits):
        part = split(mlp, two_classes=True, seed=j, pooled=pooled)
        for i, n in enumerate(sizes):
            X, P = part.X[:n], part.P[:n]

            def risk(alpha, X=X, P=P, part=part) -> tuple[float, SoftLabelClassifier]:
                student = SoftLabelClassifier(alpha).fit(X, P)
                return float(np.mean(student.predict(part.T) != part.says)), student

            chosen[i, j], student = risk("loo")
            zero[i, j], _ = risk(0)
            top = student.alpha_path_.alphas[-1]
            grid[:, i, j] = [risk(top * 10.0**-k)[0] for k in range(9)]
    return chosen, zero, grid


def _table(pooled: int, sizes) -> str:
    chosen, zero, grid = hindsight(sizes, SPLITS, pooled=pooled)
    best = np.minimum(grid.mean(axis=2).min(axis=0), zero.mean(axis=1))
    error = chosen.std(axis=1, ddof=1) / np.sqrt(SPLITS)
    ratio = chosen.mean(axis=1) / best
    lines = [
        f"### {(28 // pooled) ** 2} pixels",
        "",
        "| n | loo | alpha = 0 | best | loo / best |",
        "|---|---|---|---|---|",
    ]
    for i, n in enumerate(sizes):
        ours = f"{chosen[i].mean():.3f} +- {error[i]:.3f}"
        lines.append(f"| {n} | {ours} | {zero[i].mean():.3f} | {best[i]:.3f} | {ratio[i]:.2f} |")
    mean = f"Averaged over these n, loo / best is {ratio.mean():.3f}, at worst {ratio.max():.3f}."
    if pooled == 2:
        _draw(sizes, chosen, zero, best)
        mean += "\n\n![Leave-one-out removes the peak near n = rank](leave-one-out.png)"
    return "\n".join([*lines, "", mean, "", ""])


def _draw(sizes, chosen: np.ndarray, zero: np.ndarray, best: np.ndarray) -> None:
    with house_style():
        figure, (ax,) = new_figure(width=5.2, height=3.2)
        for values, label, color, marker in (
            (zero, "alpha = 0", CYCLE[1], "s"),
            (chosen, 'alpha = "loo"', CYCLE[0], "o"),
        ):
            error = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
            ax.errorbar(sizes, values.mean(axis=1), error, color=color, marker=marker, label=label)
        ax.plot(sizes, best, color=CYCLE[6], linestyle=":", label="best alpha in hindsight")
        ax.set(xscale="log", xlabel="answers n", ylabel="disagreement with the teacher")
        ax.set_xticks([50, 100, 200, 500, 1000, 2500], ["50", "100", "200", "500", "1000", "2500"])
        ax.minorticks_off()
        ax.legend()
    for path in save(figure, "docs/leave-one-out"):
        if path.suffix == ".svg":
            path.unlink()
