"""The page of ``limbeck select``: which points, what they cover, and what the geometry promises before any answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from limbeck.budget import Geometry, Ranking
from limbeck.displays import selection as drawings
from limbeck.displays.tail import TailDisplay
from limbeck.pages._words import METRICS, counted, picture, share
from limbeck.report import Facts, Grid, Page, Section
from limbeck.theory import CertifiedShares

SHOWN = 50
ROUNDING = 1e-12


@dataclass(frozen=True)
class Job:
    """What was chosen."""

    ranking: Ranking
    """The points, best first."""
    geometry: Geometry
    """Of the pool, as the student sees it."""
    ids: np.ndarray
    """Ids of the points chosen, in their order."""
    known: int
    """Points that had answers already."""
    by_answers: bool
    """Whether their answers helped to choose."""
    proved: CertifiedShares | str | None
    """Share of the pool's answers proved by those bought, or why nothing is; None where none were given."""
    sources: Mapping[str, str]
    """How it was run."""


def page(job: Job) -> Page:
    """All sections."""
    seen = job.geometry
    return Page(
        title="Which points to label",
        subtitle=f"{len(job.ranking.indices)} of {seen.n} points, {seen.d} features as the student sees them "
        f"(an intercept is one), {job.known} answered before.",
        sections=[
            _ranking(job),
            _coverage(job),
            _expected(job),
            *([_scalings(job)] if len(job.geometry.scalings) > 1 else []),
            *_answered(job),
            Section("How it was run", parts=[Facts(job.sources)]),
        ],
        footer="No answer was used unless the page says so. Points chosen by geometry are no random sample: estimate "
        "risk, and whether the teacher is linear, on rows drawn at random.",
    )


def _ranking(job: Job) -> Section:
    found = job.ranking
    how = (
        "Chosen by the answers bought so far: each next point is the one after which the expected disagreement with a "
        "linear teacher is least, if what the answers leave open is alike in all directions. Gains and energy in the "
        "table are those points' own: a choice by geometry alone would leave less energy."
        if job.by_answers
        else "Each next point is the one whose residual, outside the span of those before it, explains most of all "
        "points' residuals, rows taken at unit length. Every prefix is the choice for that budget."
    )
    rows = [
        (str(k + 1), str(job.ids[k]), f"{found.gains[k]:.4g}", f"{found.energy[k]:.4g}")
        for k in range(min(SHOWN, len(found.indices)))
    ]
    caption = f"The first {len(rows)} of {len(found.indices)}; the file has all"
    text = [how, *([found.reason] if found.reason else [])]
    answer = f"{found.useful} of {len(found.indices)} add a direction"
    grid = Grid(("rank", "id", "gain", "energy left"), rows, caption, folded=True)
    return Section("Which points?", answer, found.useful == len(found.indices), text, [grid])


def _coverage(job: Job) -> Section:
    seen = job.geometry
    plain = seen.scalings[0]
    curves = {"selected": plain.energy_selected, "random, mean": plain.energy_random}
    left = float(plain.energy_selected[-1])
    odd = [
        counted(count, one, many)
        for count, one, many in (
            (seen.zeros, "row is zero", "rows are zero"),
            (seen.repeated, "row repeats an earlier one", "rows repeat an earlier one"),
            (seen.constant.size, "column holds one value only", "columns hold one value only"),
        )
        if count
    ]
    text = [
        f"{seen.used} points have rank {seen.rank} and effective rank {seen.effective_rank:.3g}"
        + (f"; {', '.join(odd)}." if odd else "."),
        f"{seen.rank} answers at points that span the features are exact if your teacher is linear on them and "
        "answers exactly; fewer leave what lies outside their span unknown.",
    ]
    caption = (
        f"Share of the energy of unit rows outside the span of k points: selected, and the mean of random draws. "
        f"Measured on {'all' if seen.used == seen.n else seen.used} rows."
    )
    return Section(
        "How much of the pool do they cover?",
        f"{share(left) if left > ROUNDING else 'nothing'} left after {seen.budgets[-1]}",
        text=text,
        parts=[picture(drawings.residual_energy(seen.budgets, curves), caption)],
    )


def _expected(job: Job) -> Section:
    seen = job.geometry
    plain = seen.scalings[0]
    rows = [
        (str(k), f"{a:.4f}", f"{b:.4f}", f"{low:.4f} to {high:.4f}")
        for k, a, b, low, high in zip(
            seen.budgets, plain.expected_selected, plain.expected_random, plain.low, plain.high, strict=True
        )
    ]
    text = [
        "Expected share of points decided otherwise than by a linear teacher of which nothing is known: every "
        "direction in these features alike. A real teacher usually does better, since data and teacher are aligned."
    ]
    grid = Grid(
        ("answers", "selected", "random, mean", "95 % interval for that mean"), rows, "Before any answer"
    )
    return Section("What would so many answers be worth?", text=text, parts=[grid])


def _energy(left: float) -> str:
    return f"{left:.3g}" if left > ROUNDING else "nothing"


def _scalings(job: Job) -> Section:
    seen = job.geometry
    at = [int(np.argmin(np.abs(seen.budgets - k))) for k in (10, 50)]
    rows = [
        (METRICS[c.name], f"{c.effective_rank:.3g}", *(_energy(c.energy_selected[i]) for i in at))
        for c in seen.scalings
    ]
    columns = ("features", "effective rank", *(f"energy left after {seen.budgets[i]}" for i in at))
    text = [
        "The student is the smallest one in the metric of its features: scaling them changes which points matter and "
        "what few answers teach. A sharper spectrum (lower effective rank) fills faster; whitening throws the data's "
        "geometry away. Whether a scaling suits your teacher, limbeck distill --report shows once there are answers."
    ]
    return Section("What would scaling the features do?", text=text, parts=[Grid(columns, rows)])


def _answered(job: Job) -> list[Section]:
    """What only the answers bought so far can show."""
    sections = []
    tail, proved = job.geometry.scalings[0].tail, job.proved
    if tail is not None:
        caption = (
            "p(θ): share of the pool at an angle of at least θ to the student of the answers so far, with a band "
            "for all θ at once (Dvoretzky-Kiefer-Wolfowitz, 95 %)."
        )
        text = [
            "The faster p(θ) falls, the fewer answers a linear teacher needs. The student stands in for the teacher: "
            "from few answers it is a poor stand-in, whose own span flatters the angles of what it was asked."
        ]
        drawn = TailDisplay(tail, name="pool").plot().figure_
        sections.append(Section("How are the points aligned?", text=text, parts=[picture(drawn, caption)]))
    if isinstance(proved, str):
        sections.append(Section("Which answers are proved?", "none", False, [proved]))
    elif proved is not None:
        sections.append(_proved(proved))
    return sections


def _proved(proved: CertifiedShares) -> Section:
    names = [f"norm ≤ {m:.2g} of what was learned" for m in proved.multiples]
    drawn = drawings.certified(proved.n, list(proved.shares), names)
    caption = (
        f"Share of the pool's {proved.points} answers that is proved after 1, 2, ... of the answers bought, in "
        "a random order, for several bounds on the norm of the teacher's weights in this metric, intercept included."
    )
    text = [
        f"Proved, provided that {' and '.join(proved.assumptions)}. The bound on the norm is seldom known: the "
        "least it can be is the norm of what was learned, where the last answer proves everything by assumption."
    ]
    at = f"{share(float(proved.shares[-1, -1]))} at {proved.multiples[-1]:.2g} times the norm"
    return Section("Which answers are proved?", at, text=text, parts=[picture(drawn, caption)])
