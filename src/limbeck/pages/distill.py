"""The page of ``limbeck distill``: is the teacher linear here, how often does the student agree, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from limbeck.data.answers import Answers
from limbeck.displays import study as drawings
from limbeck.displays.tail import TailDisplay
from limbeck.pages._words import METRICS, between, by_class, constant, picture, points, share, ties
from limbeck.report import Facts, Grid, Page, Section
from limbeck.students.soft_label import SoftLabelClassifier
from limbeck.students.study import IDLE, Curve, Recipe, Study
from limbeck.theory import transfer_risk_bound_tight

WRONG = 25


@dataclass(frozen=True)
class Job:
    """What was distilled."""

    student: SoftLabelClassifier
    """The student as it was learned: on features scaled as the recipe says."""
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
    points: int
    """Rows of the table, answered or not."""
    rank: int | None
    """Their rank as the student sees them, intercept included; None where it is not known."""
    idle: bool
    """Whether its scaling is proved to change nothing."""
    sources: Mapping[str, str]
    """How it was run: files, options, versions."""
    unanswered: str = ""
    """How many rows have no answer, where some have none."""


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
        f"{job.features} features, {len(job.answers.classes)} classes."
        + (f" {job.unanswered}." if job.unanswered else ""),
        sections=[
            *(s for s in sections if s is not None),
            Section("How it was run", parts=[Facts(job.sources)]),
        ],
        footer="Agreement is the share of rows on which student and teacher decide alike, whether or not the teacher "
        "is right. Held-out rows were drawn at random and not learned from; the intervals are for rows like them.",
    )


def _agreement(job: Job) -> Section:
    found, tally = job.study.agreement, job.study.agreement.tally
    better = tally.gain.low > 0
    text = [
        f"The student decides as the teacher does on {between(tally.agreement)} of the held-out rows; the interval "
        "(Wilson, covering so often on average, not at every share) is for this student and rows like these.",
        *ties(tally),
        constant(tally, job.answers.classes),
    ]
    if found.baseline is None or found.gain is None:
        text.append("The teacher decides all rows learned from alike: hard labels teach nothing here.")
    else:
        low, high = found.gain.low, found.gain.high
        verdict = (
            "soft labels help here" if low > 0 else "they hurt here" if high < 0 else "no difference is seen"
        )
        text.append(
            f"The same student learned from the teacher's decisions alone agrees on {between(found.baseline)}. "
            f"On the same rows it does {points(found.gain)}: {verdict}."
        )
    return Section(
        "How often does the student decide as the teacher does?",
        share(tally.agreement.estimate),
        better,
        text,
        [by_class(tally, job.answers.classes)],
    )


def _linearity(job: Job) -> Section:
    seen = job.student.linearity_
    text = [f"{seen.reason[0].upper()}{seen.reason[1:]}."]
    missing = _missing(job)
    if seen.verdict != "linear":
        text.append(
            "The theory's guarantees are for linear teachers and are withheld; everything below was measured."
        )
    elif missing:
        text.append(
            f"Still, the student is not shown to be the teacher: {missing}. What it agrees on was measured."
        )
    else:
        text.append(
            f"With {seen.surplus} different points beyond a rank of {seen.rank}, that of all {job.points} rows, the "
            "student is the teacher on them, up to the precision of the answers."
        )
    return Section("Is the teacher linear on these features?", seen.verdict, seen.verdict == "linear", text)


def _missing(job: Job) -> str:
    """What keeps the student from being shown to be the teacher, in words; empty if nothing does."""
    seen, student = job.student.linearity_, job.student
    if seen.verdict != "linear":
        return f"the verdict on the teacher is: {seen.verdict}"
    if student.stop_time is not None:
        return f"it was stopped at time {student.stop_time:g}"
    if student.alpha_ != 0:
        return f"its ridge is {student.alpha_:.3g}, not 0"
    if student.n_saturated_:
        return f"{student.n_saturated_} answers are saturated and hold no logit"
    if job.rank is None:
        return "the rank of the table's rows is not known"
    if seen.rank < job.rank:
        return f"the answers span {seen.rank} of the {job.rank} directions of the table's rows"
    return ""


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
    fall, stderr = curve.last_fall()
    more = (
        "is still falling: more answers would help"
        if fall > 2 * stderr
        else "shows no fall beyond chance there"
    )
    return (
        f"From {curve.n[-2]} to {curve.n[-1]} answers the disagreement fell by {100 * fall:.2g} points "
        f"(standard error {100 * stderr:.2g}, over held-out rows and rows learned from): the curve {more}."
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
    better, sooner = preferred(soft, others)
    text = [
        "The student is the smallest one in the metric of its features, so their scaling decides what few answers "
        f"teach. Used here: {used}. Every scaling was learned once, without answers, from no row held out, and is the "
        "same for all numbers of answers.",
        f"With these answers {' and '.join(METRICS[b] for b in better)} would have done better (by more than two "
        f"paired standard errors on held-out rows): consider --scale {better[0]}."
        if better
        else "With these answers no other scaling tried does better by more than two paired standard errors.",
    ]
    if sooner:
        text.append(
            f"With fewer of them, {' and '.join(METRICS[b] for b in sooner)} would have: that matters only if you "
            "mean to buy fewer."
        )
    if job.idle:
        text.append(f"For all answers, {IDLE}")
    caption = f"As above, for each scaling; {job.study.repeats} random orders, the same for all."
    return Section(
        "What did the scaling of the features do?",
        "another would do better" if better else "none does better",
        not better,
        text,
        [picture(drawings.learning_curves(curves), caption), _numbers(curves)],
    )


def preferred(used: Curve, others: Mapping[str, Curve]) -> tuple[list[str], list[str]]:
    """Which others do better with all the answers, best first; and which would with fewer, but do not with all.

    Better is lower by more than two paired standard errors (`Curve.below`), with fewer answers at two sizes in a row,
    so that one lucky size is not enough. Of two curves at most one is better with all answers: the advice does not
    turn round once it is followed.
    """
    better, sooner = {}, []
    for name, other in others.items():
        gap, stderr = other.below(used)
        clear = gap > np.maximum(2 * stderr, 1e-3)
        if clear[-1]:
            better[name] = gap[-1]
        elif np.any(clear[1:] & clear[:-1]):
            sooner.append(name)
    return sorted(better, key=better.__getitem__, reverse=True), sooner


def _tail(job: Job) -> Section | None:
    tail = job.study.tail
    if tail is None:
        return None
    text = [
        "p(θ) is the share of points at an angle of at least θ to the separating direction; the faster it falls, the "
        f"fewer answers a linear teacher needs. Here p(π/4) = {float(tail(np.pi / 4)):.3f} and "
        f"p(3π/8) = {float(tail(3 * np.pi / 8)):.3f}, each ± {tail.band(0.975):.3f} for all θ at once (95 %)."
    ]
    if not _missing(job):
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
