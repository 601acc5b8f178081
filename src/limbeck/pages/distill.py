"""The page of ``limbeck distill``: is the teacher linear here, how often does the student agree, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.data.answers import Answers
from limbeck.displays import study as drawings
from limbeck.displays.tail import TailDisplay
from limbeck.pages._words import between, picture, share
from limbeck.report import Facts, Grid, Page, Section
from limbeck.students.soft_label import SoftLabelClassifier
from limbeck.students.study import Curve, Recipe, Study
from limbeck.theory import transfer_risk_bound_tight

METRICS = {
    "none": "features as given",
    "standard": "every feature at mean 0 and variance 1",
    "sharpen": "X S^(1/4), the pool's spectrum sharpened",
    "whiten": "whitened",
}
WRONG = 25


@dataclass(frozen=True)
class Job:
    """What was distilled."""

    student: SoftLabelClassifier
    """The student, on the features as given."""
    answers: Answers
    """Answers learned from."""
    truth: Answers
    """The teacher's answers on the rows held out."""
    ids: Sequence[str]
    """Ids of the rows held out."""
    study: Study
    """The evidence."""
    recipe: Recipe
    """How the student was made."""
    says: np.ndarray
    """The student's probabilities on the rows held out, (m, K)."""
    features: int
    """Number of features."""
    sources: Mapping[str, str]
    """How it was run: files, options, versions."""


def page(job: Job) -> Page:
    """All sections."""
    sections = [
        _agreement(job),
        _linearity(job),
        _curve(job),
        _scaling(job),
        _tail(job),
        _alpha(job),
        _wrong(job),
    ]
    return Page(
        title="A student distilled",
        subtitle=f"{len(job.answers)} answers learned from, {len(job.truth)} held out at random, "
        f"{job.features} features, {len(job.answers.classes)} classes.",
        sections=[
            *(s for s in sections if s is not None),
            Section("How it was run", parts=[Facts(job.sources)]),
        ],
        footer="Agreement is the share of rows on which student and teacher decide alike, whether or not the teacher "
        "is right. Held-out rows were drawn at random and not learned from; the intervals hold for rows like them.",
    )


def _agreement(job: Job) -> Section:
    found = job.study.agreement
    text = [
        f"The student decides as the teacher does on {between(found.student)} of the held-out rows; the interval "
        "(Wilson) is for this student and rows like these."
    ]
    if found.baseline is None or found.gain is None:
        text.append("The teacher decides all rows learned from alike: hard labels teach nothing here.")
    else:
        low, high = 100 * found.gain.low, 100 * found.gain.high
        verdict = (
            "soft labels help here" if low > 0 else "they hurt here" if high < 0 else "no difference is seen"
        )
        text.append(
            f"The same student learned from the teacher's decisions alone agrees on {between(found.baseline)}. "
            f"Difference on the same rows: {100 * found.gain.estimate:+.2g} points (95 % interval {low:+.2g} to "
            f"{high:+.2g}): {verdict}."
        )
    return Section(
        "How often does the student decide as the teacher does?", share(found.student.estimate), text=text
    )


def _linearity(job: Job) -> Section:
    seen = job.student.linearity_
    text = [f"{seen.reason[0].upper()}{seen.reason[1:]}."]
    if seen.verdict == "linear":
        text.append(
            f"With {seen.n} answers at rank {seen.rank} the student is the teacher, up to the precision of the answers."
            if seen.n >= seen.rank and np.isfinite(seen.residual)
            else "The theory's guarantees apply."
        )
    else:
        text.append(
            "The theory's guarantees are for linear teachers and are withheld; everything below was measured."
        )
    return Section("Is the teacher linear on these features?", seen.verdict, seen.verdict == "linear", text)


def _curve(job: Job) -> Section:
    soft, hard = job.study.curves["soft"], job.study.curves["hard"]
    curves = {"soft labels": soft, "hard labels": hard}
    caption = (
        f"Disagreement on the held-out rows against the number of answers learned from. Means over {job.study.repeats} "
        "random orders of the training rows; bars: 95 % intervals for their mean on these held-out rows."
    )
    return Section(
        "What would fewer answers have given?",
        text=[_last_step(soft)],
        parts=[picture(drawings.learning_curves(curves), caption), _numbers(curves)],
    )


def _last_step(curve: Curve) -> str:
    if len(curve.n) < 2:
        return "There are too few answers for a curve."
    paired = curve.risks[-2] - curve.risks[-1]
    stderr = float(np.std(paired, ddof=1) / np.sqrt(len(paired)))
    fall = float(paired.mean())
    more = "is still falling: more answers would help" if fall > 2 * stderr else "has flattened"
    return (
        f"From {curve.n[-2]} to {curve.n[-1]} answers the disagreement fell by {100 * fall:.2g} points "
        f"(standard error {100 * stderr:.2g}): the curve {more}."
    )


def _numbers(curves: Mapping[str, Curve]) -> Grid:
    rows = [
        (name, str(n), f"{risk:.4f}", f"{low:.4f}", f"{high:.4f}")
        for name, c in curves.items()
        for n, risk, low, high in zip(c.n, c.risk, c.low, c.high, strict=True)
    ]
    return Grid(("learned from", "answers", "disagreement", "low", "high"), rows, "The numbers", folded=True)


def _scaling(job: Job) -> Section | None:
    others = {k: c for k, c in job.study.curves.items() if k in METRICS}
    if not others:
        return None
    soft, used = job.study.curves["soft"], METRICS[job.recipe.scale]
    curves = {used: soft, **{METRICS[k]: c for k, c in others.items()}}
    better = [name for name, c in others.items() if _clearly_lower(c, soft)]
    text = [
        "The student is the smallest one in the metric of its features, so their scaling decides what few answers "
        f"teach. Used here: {used}.",
        f"With fewer answers than all, {' and '.join(METRICS[b] for b in better)} would have done better: consider "
        f"--scale {better[0]}."
        if better
        else "No other scaling tried does clearly better (two paired standard errors at some number of answers).",
    ]
    caption = f"As above, for each scaling; {job.study.repeats} random orders, the same for all."
    return Section(
        "What did the scaling of the features do?",
        "another would do better" if better else "none does better",
        not better,
        text,
        [picture(drawings.learning_curves(curves), caption), _numbers(curves)],
    )


def _clearly_lower(curve: Curve, than: Curve) -> bool:
    """By more than two paired standard errors at two sizes in a row, so that one lucky size is not enough."""
    gap = than.risks - curve.risks
    spread = np.std(gap, axis=1, ddof=1) / np.sqrt(gap.shape[1])
    clear = gap.mean(axis=1) > np.maximum(2 * spread, 1e-3)
    return bool(np.any(clear[1:] & clear[:-1]))


def _tail(job: Job) -> Section | None:
    tail = job.study.tail
    if tail is None:
        return None
    text = [
        "p(θ) is the share of points at an angle of at least θ to the separating direction; the faster it falls, the "
        f"fewer answers a linear teacher needs. Here p(π/4) = {float(tail(np.pi / 4)):.3f} and "
        f"p(3π/8) = {float(tail(3 * np.pi / 8)):.3f}, each ± {tail.band(0.975):.3f} for all θ at once (95 %)."
    ]
    if job.student.linearity_.verdict == "linear":
        bound = transfer_risk_bound_tight(tail.upper(0.95), 20)
        text.append(
            "The teacher being linear here, Theorem 3 promises an expected disagreement of at most "
            f"{share(min(bound, 1))} from 20 random answers (with probability 95 % over the sample of angles, which "
            "are those to the student, the teacher up to the precision of its answers)."
        )
    caption = (
        f"p(θ) of {len(tail.angles)} held-out points in the metric used, intercept included, with a band for "
        "all θ at once (Dvoretzky-Kiefer-Wolfowitz, 95 %)."
    )
    return Section(
        "How are the points aligned?",
        text=text,
        parts=[picture(TailDisplay(tail, name="held-out points").plot().figure_, caption)],
    )


def _alpha(job: Job) -> Section:
    path, student = job.student.alpha_path_, job.student
    if path is None:
        return Section("Which ridge?", text=[f"α = {student.alpha_:.3g}, as asked for."])
    caption = (
        "Leave-one-out soft cross-entropy of every ridge, bars: two standard errors over rows. α = 0, where it was "
        "tried, is the student of Theorem 1, and may lie above the scale: near as many answers as features, a few rows "
        "that nothing else speaks for lose any amount there. The two are therefore compared row by row on leads of "
        "which the largest and the smallest twentieth are pulled in, so that the lead that is said need not be the "
        "distance that is drawn."
    )
    return Section(
        "Which ridge?",
        f"α = {student.alpha_:.3g}",
        text=[f"Chosen by leave-one-out: {path.reason}."],
        parts=[
            picture(drawings.alpha_path(path.alphas, path.losses, path.stderrs, path.chosen), caption),
        ],
    )


def _wrong(job: Job) -> Section:
    wrong = job.study.agreement.wrong
    if not len(wrong):
        return Section("Which rows does the student get wrong?", "none", text=["None of the held-out rows."])
    names, p = job.answers.classes, job.truth.labels.probabilities
    P = np.column_stack([1 - p, p]) if p.ndim == 1 else p
    rows = []
    for i in wrong:
        theirs, ours = int(job.truth.decisions[i]), int(job.says[i].argmax())
        rows.append(
            (
                job.ids[i],
                names[theirs],
                f"{P[i, theirs]:.4g}",
                names[ours],
                f"{job.says[i, ours]:.4g}",
            )
        )
    columns = ("id", "teacher", "its probability", "student", "its probability")
    return Section(
        "Which rows does the student get wrong?",
        f"{len(wrong)} of {len(job.truth)}",
        False,
        ["Those the teacher was surest of come first: look there for what the features do not show."],
        [Grid(columns, rows[:WRONG], f"The first {min(WRONG, len(rows))}")],
    )
