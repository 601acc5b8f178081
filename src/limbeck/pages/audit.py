"""The page of ``limbeck audit``: how many answers give one's own model away, and what rounding buys."""

from __future__ import annotations

from collections.abc import Mapping

from limbeck.budget.leak import AGREEMENTS, Leak, LeakReport
from limbeck.displays import budget as drawings
from limbeck.pages._words import picture, share
from limbeck.report import Facts, Grid, Page, Section
from limbeck.theory.risk import clopper_pearson_upper


def page(report: LeakReport, sources: Mapping[str, str]) -> Page:
    """All sections."""
    return Page(
        title="Whose model leaks",
        subtitle=f"A linear model with {report.unknowns} unknowns, rated by its owner; nothing went over a network.",
        sections=[
            _verdict(report),
            _curves(report),
            _rounding(report),
            Section("How it was run", parts=[Facts({"queries": queries(report), **sources})]),
        ],
        footer="Disagreement is of the best of several copies, picked by the owner, who knows the model: somebody who "
        "does "
        "not know it does no better by these methods. Others, who choose their queries as they go, may.",
    )


def answers_until(leak: Leak, agreement: float) -> str:
    """In words."""
    n = leak.until(agreement)
    return f"more than {leak.n[-1]}" if n is None else str(n)


def rows(report: LeakReport) -> list[tuple[str, ...]]:
    """Each kind of answer: answers until each agreement, and how many times those of exact ones."""
    found = []
    for leak in report.leaks:
        cells = [leak.answers]
        for agreement in AGREEMENTS:
            times = report.bought(leak, agreement)
            until = "none" if agreement <= report.commonest else answers_until(leak, agreement)
            cells += [until, "-" if times is None else f"{times:.3g}"]
        found.append(tuple(cells))
    return found


def queries(report: LeakReport) -> str:
    """Describe the points that were asked about."""
    most = max(int(leak.n[-1]) for leak in report.leaks)
    if report.queries == "pool":
        return f"up to {most} rows of the pool in random order, judged on {report.held_out} other rows"
    return (
        f"up to {most} standard normal points, because no pool was given. If the model's features are not standardised "
        "(mean 0, standard deviation 1), the counts mean nothing: give a pool."
    )


def notes(report: LeakReport) -> list[str]:
    """What to compare the counts with, and what limits them."""
    found = [f"Majority baseline: {share(report.commonest)} agreement without any answer.", _resolved(report)]
    rounded = [int(leak.n[-1]) for leak in report.leaks if "decimal" in leak.answers]
    if rounded and max(rounded) > report.programmed:
        found.append(
            f"Linear programming, the strongest attack on rounded answers, was run on up to {report.programmed} "
            "answers; with more of them rounding may protect less than stated."
        )
    return found


COLUMNS = ("answers", "until 99 %", "x exact", "until 99.9 %", "x exact")


def _verdict(report: LeakReport) -> Section:
    exact = report.leaks[0].until(0.999)
    answer = f"after {exact} exact answers" if exact is not None else "not within the answers tried"
    return Section(
        "When has somebody got the model?",
        answer,
        good=exact is None,
        text=[
            f"{report.equations} exact answers at independent points are as many equations as there are "
            "unknowns for each "
            "class: they give the model away entirely, by one linear solve, whatever its quality.",
            "What can be done: answer with labels, round hard, limit what one client may ask, or accept "
            "that the model is "
            "public. Rounding delays a copy by the factor that is in the table, and stops none.",
            *notes(report),
        ],
        parts=[
            Grid(
                COLUMNS,
                rows(report),
                "Answers after which the best copy agrees, and stays so, on the grid tried.",
            )
        ],
    )


def _resolved(report: LeakReport) -> str:
    """What the judging sample can tell of an agreement."""
    least = 1 - clopper_pearson_upper(0, report.held_out)
    return (
        f"Judged on {report.held_out} points: that a copy differs on none of them shows, at 95 %, that it agrees on "
        f"{least:.2%} of all, no more{'' if least >= AGREEMENTS[1] else '. Give more points to see 99.9 %'}."
    )


def _curves(report: LeakReport) -> Section:
    drawing = drawings.leaks([(k.answers, k.n, k.disagreement) for k in report.leaks], report.equations)
    caption = (
        f"Median over {report.repeats} sets of {report.queries} queries, judged on {report.held_out} points "
        "that were not "
        f"queried. The lower edge is 0: no point on which they differ. Dotted upright: {report.equations} answers."
    )
    table = [
        (leak.answers, str(n), f"{d:.5f}", f"{low:.5f}", f"{high:.5f}")
        for leak in report.leaks
        for n, d, low, high in zip(leak.n, leak.disagreement, leak.low, leak.high, strict=True)
    ]
    grid = Grid(
        ("answers", "n", "disagreement", "least", "most of the repeats"), table, "The numbers", folded=True
    )
    return Section("How fast does a copy become the model?", parts=[picture(drawing, caption), grid])


def _rounding(report: LeakReport) -> Section:
    said = []
    for leak in report.leaks[1:] if report.commonest < AGREEMENTS[0] else ():
        times = report.bought(leak, AGREEMENTS[0])
        many = f"beyond {leak.n[-1]} answers" if times is None else f"{times:.3g} times as many answers"
        said.append(f"{leak.answers}: {many} for 99 %")
    return Section(
        "What does rounding buy?",
        text=[
            "; ".join(said) + "." if said else "Nothing can be said of 99 %: a constant agrees so often.",
            f"One point in {round(1 / (1 - AGREEMENTS[1]))} is the difference between 99.9 % and "
            "everything: the judging "
            f"sample resolves shares of about {share(1 / report.held_out)}.",
        ],
    )
