"""One fit, whole curves, the chain, deep students, and how cost grows."""

from __future__ import annotations

import time
import warnings

import numpy as np
import statsmodels.api as sm
from scipy.integrate import solve_ivp
from scipy.special import expit
from sklearn.linear_model import LinearRegression, LogisticRegression

from benchmarks._harness import Timing, megabytes, race, seconds, table
from limbeck.theory import (
    PolynomialTask,
    Span,
    data_curve,
    deep_flow,
    deep_limit,
    descend_layers,
    random_balanced_layers,
)
from limbeck.theory.chain import cotangents
from limbeck.theory.deep import end_to_end_velocity
from limbeck.theory.flow import train
from limbeck.theory.layers import product
from limbeck.theory.risk import disagreement, symmetric_risk_at_cotangent


def one_fit() -> str:
    """Time and error of one fit, from soft labels of a linear teacher."""
    text = (
        "## One fit\n\nSoft labels of a linear teacher on Gaussian points; no intercept. The error is relative to "
        "the minimum-norm student, projected by Householder QR. The Gram product is the floor of the ratios.\n\n"
    )
    for n, d in ((100, 784), (1000, 5000), (20_000, 200), (200_000, 256)):
        rng = np.random.default_rng([n, d])
        X, w_star = rng.standard_normal((n, d)), rng.standard_normal(d) / np.sqrt(d)
        z = X @ w_star
        p = expit(z)
        exact = w_star
        if n < d:
            Q = np.linalg.qr(X.T)[0]
            exact = Q @ (Q.T @ w_star)
        twice, hard = np.concatenate([X, X]), np.repeat([1, 0], n)
        weight = np.concatenate([p, 1 - p])
        found: dict[str, np.ndarray] = {}

        def keep(name, fit, found=found):
            def run():
                found[name] = fit()

            return run

        def duplicated(tol, twice=twice, hard=hard, weight=weight):
            model = LogisticRegression(C=np.inf, tol=tol, fit_intercept=False, max_iter=10_000)
            return model.fit(twice, hard, sample_weight=weight).coef_[0]

        contestants = {
            "Gram product alone": (lambda X=X, n=n, d=d: X @ X.T if n <= d else X.T @ X),
            "limbeck Span": keep("limbeck Span", lambda X=X, z=z: Span(X).weights(z)),
            "LinearRegression on logits": keep(
                "LinearRegression on logits",
                lambda X=X, z=z: LinearRegression(fit_intercept=False).fit(X, z).coef_,
            ),
            "LogisticRegression, rows twice": keep(
                "LogisticRegression, rows twice", lambda: duplicated(1e-4)
            ),
            "the same, tol 1e-10": keep("the same, tol 1e-10", lambda: duplicated(1e-10)),
        }
        if n * d <= 5e6:  # its pseudo-inverse at every step takes minutes beyond
            contestants["statsmodels GLM"] = keep(
                "statsmodels GLM", lambda X=X, p=p: sm.GLM(p, X, family=sm.families.Binomial()).fit().params
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # contestants that do not converge say so in their error
            rows = race(contestants)
        errors = {k: f"{np.linalg.norm(w - exact) / np.linalg.norm(exact):.1e}" for k, w in found.items()}
        text += table(f"n = {n}, d = {d}", rows, errors, "relative error") + "\n"
    return text


def whole_curve() -> str:
    """The curve of 1, ..., 1000 labels against as many fits."""
    n, d, m = 1000, 5000, 10_000
    rng = np.random.default_rng(1)
    X, w_star, T = rng.standard_normal((n, d)), rng.standard_normal(d), rng.standard_normal((m, d))
    z, says = X @ w_star, T @ w_star
    sizes = np.linspace(25, n, 20).astype(int)

    def fits() -> None:
        for k in sizes:
            disagreement(T @ Span(X[:k]).weights(z[:k]), says)

    def peers() -> None:
        for k in sizes:
            disagreement(LinearRegression(fit_intercept=False).fit(X[:k], z[:k]).predict(T), says)

    rows = race(
        {
            "one fit and one test product": lambda: (Span(X).weights(z), T @ X.T),
            "data_curve, all 1000 sizes": lambda: data_curve(X, z, T, says),
            "20 separate fits and predictions, Span": fits,
            "20 separate fits and predictions, LinearRegression": peers,
        },
        rounds=5,
    )
    scaled = [50 * row.seconds / rows[1].seconds for row in rows[2:]]
    return (
        "## A whole curve\n\n"
        f"Held-out disagreement after 1, ..., {n} labels, d = {d}, {m} test points. 20 separate fits were measured, "
        f"evenly spaced; scaled to {n} they take {scaled[0]:.0f} times what the curve takes by Span, {scaled[1]:.0f} "
        "times by LinearRegression on logits.\n\n"
        + table("Ratios to one fit and one product T X^T", rows)
        + "\n"
    )


def figure_3() -> str:
    """The chain against the literal protocol at equal standard error."""
    task, n = PolynomialTask(1.0, 1000), 20
    chain_repeats, literal_repeats = 20_000, 100
    spread: dict[str, list[float]] = {"chain": [], "literal": []}
    rng = np.random.default_rng(2)

    def chain() -> None:
        cot = cotangents(task.tail, task.d, n, chain_repeats, rng=rng)
        risk = symmetric_risk_at_cotangent(cot, task.tail, task.d)
        spread["chain"].append(float(risk.var() / chain_repeats))

    def literal() -> None:
        risks = []
        for _ in range(literal_repeats):
            transfer, test = task.sample(n, rng=rng), task.sample(500, rng=rng)
            risks.append(float(disagreement(test.X @ train(transfer.X, transfer.z), test.z)))
        spread["literal"].append(float(np.var(risks) / literal_repeats))

    rows = race({f"chain, {chain_repeats} transfer sets": chain, f"protocol, {literal_repeats}": literal})
    variance = np.median(spread["literal"]) / np.median(spread["chain"])
    gain = rows[1].seconds / rows[0].seconds * variance
    notes = {
        rows[0].name: f"{np.median(spread['chain']) ** 0.5:.2g}",
        rows[1].name: f"{np.median(spread['literal']) ** 0.5:.2g}",
    }
    return (
        "## Figure 3's expected risk\n\n"
        "kappa = 1, d = 1000, n = 20. The protocol draws points, trains a student to convergence and counts on 500 "
        f"held-out points. At equal standard error the chain is {gain:.0f} times faster (time times variance).\n\n"
        + table("One run of each", rows, notes, "standard error")
        + "\n"
    )


def deep_students() -> str:
    """The exact limit against training, and the flow in r + 1 coordinates against d."""
    n, d, depth = 50, 1000, 3
    rng = np.random.default_rng(3)
    X, w_star = rng.standard_normal((n, d)), rng.standard_normal(d) / np.sqrt(d)
    z = X @ w_star
    layers = random_balanced_layers(d, depth, 0.01, rng=rng)
    w0, span = product(layers), Span(X)
    exact, apart = deep_limit(span, z, w0, depth), {}

    def descend(step_size: float, name: str) -> None:
        reached = descend_layers(layers, X, z, 10**6, step_size=step_size, tolerance=1e-6)
        assert reached.converged
        apart[name] = f"{np.linalg.norm(reached.weights[-1] - exact):.1g}"

    large, small = "layers trained to residuals of 1e-6", "the same, steps small enough to follow the flow"
    limit = race(
        {
            "deep_limit": lambda: deep_limit(X, z, w0, depth),
            large: lambda: descend(0.05, large),
            small: lambda: descend(5e-4, small),
        },
        rounds=5,
    )
    title = f"Limit of N = {depth}, n = {n}, d = {d}"
    text = "## Deep linear students\n\n" + table(title, limit, apart, "distance to the exact limit")
    n, d = 20, 100_000
    X, w_star = rng.standard_normal((n, d)), rng.standard_normal(d) / np.sqrt(d)
    z, w0 = X @ w_star, 0.1 * rng.standard_normal(d) / np.sqrt(d)
    times = deep_flow(X, z, w0, 2, tolerance=1e-3).times[-1:]
    flow = race(
        {
            "r + 1 coordinates": lambda: deep_flow(X, z, w0, 2, times=times),
            "d coordinates": lambda: solve_ivp(
                lambda t, w: end_to_end_velocity(w, X, z, 2),
                (0, times[-1]),
                w0,
                t_eval=times,
                rtol=1e-9,
                atol=1e-12,
            ),
        },
        rounds=3,
    )
    title = f"Flow of N = 2, n = {n}, d = {d}, to 1e-3 of the limit (d coordinates: SciPy's RK45)"
    return text + "\n" + table(title, flow) + "\n"


def growth() -> str:
    """Fitted exponents beside the theoretical ones."""
    rng = np.random.default_rng(4)
    lines = [
        "## How cost grows",
        "",
        "Slope of log time against log size over three decades, medians of 5.",
        "",
    ]
    lines += [
        "| what | sizes | time at the ends | peak memory at the end | fitted exponent | theory |",
        "|---|---|---|---|---|---|",
    ]

    def span(n: int, d: int):
        X = rng.standard_normal((n, d))
        z = X @ rng.standard_normal(d)
        return lambda: Span(X).weights(z)

    def chain(d: int, n: int, repeats: int):
        tail = PolynomialTask(1.0, d).tail
        return lambda: cotangents(tail, d, n, repeats, rng=rng)

    series = [
        ("fit, against n (d = 50)", [10**k for k in (3, 4, 5, 6)], lambda n: span(n, 50), 1),
        ("fit, against d (n = 50)", [10**k for k in (3, 4, 5, 6)], lambda d: span(50, d), 1),
        ("chain, against d", [10**k for k in (3, 6, 9, 12)], lambda d: chain(d, 100, 1000), 0),
        ("chain, against n", [10, 100, 1000, 10_000], lambda n: chain(10**9, n, 1000), 1),
        ("chain, against repeats", [10**k for k in (3, 4, 5, 6)], lambda r: chain(10**9, 20, r), 1),
    ]
    for name, sizes, make, theory in series:
        medians, peak = [], 0.0
        for size in sizes:
            (row,) = race({name: make(size)}, rounds=5)
            medians.append(row.seconds)
            peak = row.peak
        slope = np.polyfit(np.log(sizes), np.log(medians), 1)[0]
        lines.append(
            f"| {name} | {sizes[0]:.0e} to {sizes[-1]:.0e} | {seconds(medians[0])} to {seconds(medians[-1])} | "
            f"{megabytes(peak)} | {slope:.2f} | {theory} |"
        )
    return "\n".join(lines) + "\n\n"


def reproduce() -> str:
    """Time and memory of the main command, every process counted."""
    import resource
    import subprocess
    import sys
    import tempfile

    rows = []
    for name, extra in (("limbeck reproduce", []), ("limbeck reproduce --quick", ["--quick"])):
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            command = [sys.executable, "-m", "limbeck", "reproduce", "--out", out, *extra]
            subprocess.run(command, check=True, capture_output=True)
            took = time.perf_counter() - start
        peak = 1024.0 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        rows.append(Timing(name, took, (took / (rows[0].seconds if rows else took),) * 3, peak, 1))
    return (
        "## The main command\n\nAll figures, theorems, deep and curve on two cores; the memory is the largest of any "
        "one process.\n\n" + table("limbeck reproduce", rows) + "\n"
    )
