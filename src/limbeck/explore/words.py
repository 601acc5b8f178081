"""What the page says: a sentence a panel, the assumptions, and the table of numbers."""

from __future__ import annotations

import numpy as np

from limbeck.explore.panels import SYMMETRIC, Panels, unsampled
from limbeck.explore.view import View

TITLES = {
    "geometry": "1 · Geometry",
    "tail": "2 · The tail p(θ)",
    "risk": "3 · Risk against labels",
    "deep": "4 · A deep student",
}


def sentence(panel: str, view: View, panels: Panels) -> str:
    """What one sees in the panel, and which statement it is."""
    if panel == "geometry":
        share = panels.geometry.risk
        return (
            f"In the plane of teacher and student after n = {view.n} labels, at the median angle "
            f"{_degrees(panels.geometry.student[1])}: they disagree in the orange wedge, and on {_number(share)} of "
            f"all points in d = {_count(view.d)} dimensions (exact there). More labels never widen it (Lemma 1). "
            "Sectors: the exact share of points at each angle to the teacher (area). Arcs: 5 to 95 % of transfer sets; "
            "w_δ is drawn on the left."
        )
    if panel == "tail":
        if np.isnan(panels.tail.beta):
            return f"With n ≥ d = {_count(view.d)} labels the student is the teacher and Theorem 3 needs no angle (18)."
        return (
            f"Theorem 3 adds the points beyond β = {_degrees(panels.tail.beta)}, "
            f"p(β) = {_number(panels.tail.outside)}, "
            "to the chance that all n labels lie beyond π/2 − β, "
            f"p(π/2 − β)ⁿ = {_number(panels.tail.missed**view.n)}; this β makes the sum smallest (17, 19)."
        )
    if panel == "risk":
        return (
            "Solid: mean over simulated transfer sets of the exact risk at the angle reached, with a 95 % interval for "
            "its expectation that holds for every law, and so allows for sets too rare to be among these; broken: what "
            "Theorem 3 promises, as stated (19) and as its proof ends. "
            f"w_δ learns the same answers without distillation's bias (5.2). {SYMMETRIC}"
        )
    return (
        f"A student of {view.depth} layers learns one answer in the plane, of the point at the law's median angle; the "
        f"path is the level curve of the conserved ‖w‖ sin(φ)^N and ends {_number(panels.deep.leak)} from ŵ, where "
        "Theorem 2 has a ball. Assumes balanced layers, gradient flow and an exact answer; the "
        "direction of w(0) is drawn from the seed."
    )


def numbers(view: View, panels: Panels) -> list[tuple[str, str, str]]:
    """Rows of the table at the chosen n: what, its value, and how it is known."""
    risk, at = panels.risk, panels.risk.at
    sampled = f"mean ± standard error, {risk.repeats} transfer sets, seed {view.seed}"
    if view.n >= view.d:
        rows = [
            (f"Expected risk, n = {view.n}", "0", "exact: n ≥ d points with a density span the space (18)"),
            ("w_δ", "0", "exact: ŵ is then the only minimiser, whatever δ"),
        ]
    else:
        rows = [
            (f"Expected risk, n = {view.n}", _estimate(risk.risk[at], risk.stderr[at]), sampled),
            (
                "its 95 % interval",
                f"{_number(risk.low[at])} to {_number(risk.high[at])}",
                "for every law of the risks",
            ),
            (f"w_δ, δ = {view.delta:g}", _estimate(risk.biased[at], risk.biased_stderr[at]), sampled),
        ]
    if np.isfinite(risk.asymptotic[at]) and view.n < view.d:
        rows.append(("large n and d", _number(risk.asymptotic[at]), "asymptotic law, not a bound"))
    rows += [
        ("Theorem 3", _number(risk.bound[at]), "upper bound, as stated (19)"),
        ("its proof", _number(risk.tight[at]), "upper bound, as the proof ends"),
    ]
    if np.isfinite(risk.corollary[at]):
        which, form = ("2", "(21), c = 1") if view.law == "polynomial" else ("1", "γⁿ (20)")
        rows.append((f"Corollary {which}", _number(risk.corollary[at]), f"upper bound, {form}"))
    deep = panels.deep
    rows.append(("Deep: ‖w(∞) − ŵ‖", _number(deep.leak), "exact, from the conserved quantity"))
    if view.depth > 1:
        promised = _number(deep.radius) if np.isfinite(deep.radius) else "none: ‖w(0)‖ ≥ ‖ŵ‖"
        rows.append(("Theorem 2's radius", promised, "upper bound on it (75, 76)"))
    rows.append(("Deep: ‖w‖ sin(φ)^N", _number(deep.conserved), "exact, conserved along the path (66)"))
    return rows


def exactly(view: View) -> str:
    """E[R] at the view's n without sampling, with its error, or why there is none."""
    try:
        found = unsampled(view)
    except ValueError as why:
        return str(why)
    return f"E[R] = {found.risk:.6g}, without sampling; error about {found.error:.1g} (quadrature)."


def _number(value: float) -> str:
    return f"{value:.3g}"


def _estimate(mean: float, stderr: float) -> str:
    if mean == 0:
        return "0 in every set"
    return f"{mean:.3g} ± {stderr:.1g}"


def _degrees(angle: float) -> str:
    return f"{np.degrees(angle):.3g}°"


def _count(n: int) -> str:
    return f"{n:,}" if n < 10**7 else f"{n:.3g}"
