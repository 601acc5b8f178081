"""The page of ``limbeck plan``: what to buy, how sure, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from limbeck.budget.plan import BudgetPlan, Reading
from limbeck.displays import budget as drawings
from limbeck.displays.selection import residual_energy
from limbeck.pages._words import between, picture, share
from limbeck.report import Facts, Grid, Page, Section

FAIR = ("stop", "buy")


def page(plan: BudgetPlan, sources: Mapping[str, str]) -> Page:
    """All sections."""
    sections = [_decision(plan), _geometry(plan)]
    if plan.pilot is not None:
        sections += [_linearity(plan.pilot), _curve(plan, plan.pilot), _shown(plan), _tails(plan, plan.pilot)]
    return Page(
        title="How many answers",
        subtitle=f"To disagree with the teacher on at most {share(plan.target_risk)} of points, with "
        f"{plan.confidence:.0%} confidence; {plan.coverage.points} points in the pool.",
        sections=[*(s for s in sections if s is not None), Section("How it was run", parts=[Facts(sources)])],
        footer="Disagreement is with the teacher, right or wrong, on points like the pool's. Risk, linearity and p(θ) "
        "are measured on answers drawn uniformly at random: points chosen by geometry are no random sample.",
    )


def _decision(plan: BudgetPlan) -> Section:
    facts = {"decision": plan.verdict}
    if plan.cost is not None:
        facts["price of it, at most"] = f"{plan.cost:,.2f} ({plan.buy} x {plan.price:g}, each asked once)"
    if plan.pilot is not None:
        facts["answers so far"] = f"{plan.pilot.answers}, {plan.pilot.audit} of them measured with"
        if plan.pilot.forecast.n is not None:
            facts["answers learned from, promised"] = str(plan.pilot.forecast.n)
        if plan.pilot.forecast.likely is not None:
            facts["answers learned from, as likely as not"] = str(plan.pilot.forecast.likely)
    return Section(
        "What to do?",
        plan.verdict,
        good=plan.decision in FAIR,
        text=[
            plan.reason,
            "A promise is that the student of so many answers, the further ones drawn like the pilot's, "
            "meets the target; "
            "docs/calibration.md says how often such promises were kept.",
        ],
        parts=[Facts(facts)],
    )


def _geometry(plan: BudgetPlan) -> Section:
    seen = plan.coverage
    caption = (
        "Mean share of a unit-length point's square outside the span of k points of the pool: what k "
        "answers cannot have "
        "taught a linear student."
    )
    return Section(
        "What was known before any answer?",
        text=[
            f"{seen.points} points with {seen.features} features (intercept included) have rank {seen.rank} "
            "and effective "
            f"rank {seen.effective_rank:.3g}.",
            f"{seen.rank} answers or more, at points that span the features, are exact if your teacher is "
            "linear on these "
            "features and answers exactly. Whether it is can only be seen with more answers than that.",
        ],
        parts=[
            picture(
                residual_energy(seen.sizes, {"well chosen": seen.residual, "random": seen.residual_random}),
                caption,
            )
        ],
    )


def _linearity(pilot: Reading) -> Section:
    seen = pilot.linearity
    text = [f"{seen.reason[0].upper()}{seen.reason[1:]}. Judged from the {pilot.audit} random answers."]
    if seen.verdict != "linear":
        text.append("The theory's promises are withheld: the forecast is carried on from what was measured.")
    elif pilot.exact is None:
        text.append(f"Still, nothing is promised of this student: {pilot.inexact}.")
    else:
        text.append(
            f"{pilot.exact.surplus} different points beyond the rank would each have shown a teacher that is not, and "
            f"the answers span the pool. {pilot.exact.held_out} random answers came after those that span it, and the "
            f"student of those alone decides them all alike: assuming nothing, it errs on at most "
            f"{share(pilot.exact.otherwise)} of points."
        )
        if pilot.exact.enough is not None:
            text.append(
                f"For this teacher {pilot.exact.enough} random answers would have been enough for the "
                "target, read off "
                "the pool's geometry."
            )
    return Section("Is the teacher linear on these features?", seen.verdict, seen.verdict == "linear", text)


def _curve(plan: BudgetPlan, pilot: Reading) -> Section:
    curve, seen = pilot.curve, pilot.forecast
    marks = {name: n for name, n in (("promised", seen.n), ("as likely as not", seen.likely)) if n}
    ends = curve.interval()
    drawing = drawings.forecast(
        (curve.sizes, curve.disagreement, *ends),
        (seen.sizes, seen.median, seen.low, seen.high),
        plan.target_risk,
        marks,
    )
    how = "one factorisation an order" if curve.factorised else "the student refitted at each size"
    rows = [
        (str(n), f"{mean:.4f}", f"{below:.4f} to {above:.4f}", f"{low:.4f}", f"{high:.4f}")
        for n, mean, below, above, low, high in zip(
            curve.sizes, curve.disagreement, *ends, curve.low, curve.high, strict=True
        )
    ]
    return Section(
        "How does the disagreement fall?",
        text=[
            f"Means over {curve.orders} random orders ({how}) on {curve.audit} audit points, none learned "
            "from by the "
            f"student it rates. Giving always the commonest class disagrees on {between(pilot.constant)}.",
            f"The student of all {seen.at_most} answers the pool can give would meet the target with "
            "probability "
            f"{seen.reached:.2f}, over the fits that the pilot leaves possible.",
        ],
        parts=[
            picture(
                drawing,
                "Measured disagreement (bars: 95 % intervals of Clopper and Pearson from as many independent "
                "audit points as these are worth, learning sets included; triangles: their upper ends, where no "
                "error was seen) and what power laws with a floor, weighted by how well they fit, make of it.",
            ),
            Grid(
                ("answers", "disagreement", "95 % interval", "5 % of orders", "95 % of orders"),
                rows,
                "The numbers",
                True,
            ),
        ],
    )


def _shown(plan: BudgetPlan) -> Section:
    return Section(
        "What would show it, assuming nothing?",
        text=[
            f"{plan.audit_needed} random answers that the student did not learn from, all decided alike, "
            "show a "
            f"disagreement of at most {share(plan.target_risk)} with {plan.confidence:.0%} confidence "
            "(Clopper and "
            "Pearson), whatever the teacher is. limbeck label buys such a sample first and keeps the "
            "confidence over "
            "every look."
        ],
    )


def _tails(plan: BudgetPlan, pilot: Reading) -> Section | None:
    if not pilot.tails:
        return None
    named = {f"B = {t.multiple:g} ‖ŵ‖": t.tail for t in pilot.tails}
    rows = [
        (
            f"{t.multiple:g} ‖ŵ‖ = {t.norm_bound:.4g}",
            f"{float(t.tail(np.pi / 4)):.3f}",
            f"{float(t.tail(3 * np.pi / 8)):.3f}",
            f"{t.band:.3f}",
            str(t.answers) if t.answers is not None else f"{plan.coverage.rank} (the rank)",
        )
        for t in pilot.tails
    ]
    promise = (
        "The teacher was found linear, so Theorem 3 applies to its exact student (alpha = 0)"
        if pilot.linearity.verdict == "linear"
        else "If the teacher is linear (which is not shown), Theorem 3 would apply"
    )
    return Section(
        "How are the points aligned with the teacher?",
        text=[
            "The angle of a point to a linear teacher of norm B follows from its answer alone: |z| = B |x| "
            "cos θ. B is at "
            "least ‖ŵ‖, the norm of what these answers teach, and otherwise unknown; a larger B makes "
            "every angle larger.",
            f"{promise}: the last column is the smallest n at which it promises an expected disagreement "
            "within the "
            "target, for the upper band of p(θ).",
        ],
        parts=[
            picture(
                drawings.tails(named, pilot.tails[0].band),
                f"p(θ) of {len(pilot.tails[0].tail.angles)} audit points; dotted: plus the "
                "Dvoretzky-Kiefer-Wolfowitz "
                f"band, above the truth for all θ at once with {plan.confidence:.0%} confidence.",
            ),
            Grid(("B", "p(π/4)", "p(3π/8)", "band", "Theorem 3 promises from n ="), rows),
        ],
    )
