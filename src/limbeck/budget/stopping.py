"""When to stop paying: a rule that stays true however often one looks.

The audit sample is fixed before the first look, while the student changes after every batch. Given the
student, the number of audit points it gets wrong is binomial, because it learned from other points; so each
look has an exact bound of its own, and what could go wrong at all looks together is at most the sum of what
is spent at each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from limbeck.theory import _check, clopper_pearson_upper

MOST = 1e15


@dataclass(frozen=True)
class Look:
    """What one look at the audit sample shows."""

    number: int
    """Which look it was, from 1."""
    wrong: int
    """Audit points on which student and teacher decide differently."""
    size: int
    """Audit points."""
    upper: float
    """Upper bound of this student's risk, true at all looks together with the rule's confidence."""
    stop: bool
    """Whether the bound is within the target."""


@dataclass(frozen=True)
class StoppingRule:
    """Stop once the student is shown to be good enough, on an audit sample drawn at random and not learned from.

    At look t the bound is Clopper and Pearson's (1934) at error probability delta_t, with the delta_t summing to
    1 - confidence: equal shares of a known number of looks, or (1 - confidence) / (t (t + 1)) without end.

    Notes
    -----
    Guarantee: with probability at least ``confidence`` over the audit sample, the bounds of *all* looks hold, so
    the student at which the rule stops has risk at most ``target_risk``, whatever made it stop. It assumes that
    the audit points are a uniform sample of what the student will meet, that no student learned from them or was
    chosen by their answers, and that their number was fixed before the first look. It does not assume a linear
    teacher, and says nothing of students between looks.

    References
    ----------
    Clopper and Pearson (1934), Biometrika 26. Lan and DeMets (1983), Biometrika 70, for spending.
    """

    target_risk: float
    """Largest transfer risk wanted, in (0, 1)."""
    confidence: float = 0.95
    """Probability with which all bounds hold together."""
    looks: int | None = None
    """Most looks there will be; None if that is not known."""

    def __post_init__(self) -> None:
        _check.number(self.target_risk, "target_risk", above=0.0, below=1.0)
        _check.number(self.confidence, "confidence", above=0.0, below=1.0)
        if self.looks is not None:
            _check.count(self.looks, "looks")

    def spent(self, number: int) -> float:
        """Error probability delta_t that look ``number`` may use."""
        number = _check.count(number, "number")
        if self.looks is None:
            return (1 - self.confidence) / (number * (number + 1))
        if number > self.looks:
            raise ValueError(f"Look {number} of {self.looks}: everything the confidence allows is spent.")
        return (1 - self.confidence) / self.looks

    def look(self, wrong: int, size: int, number: int) -> Look:
        """Judge the student of look ``number``, who gets ``wrong`` of ``size`` audit points wrong."""
        upper = clopper_pearson_upper(wrong, size, 1 - self.spent(number))
        return Look(number, int(wrong), int(size), upper, upper <= self.target_risk)

    def smallest_sample(self, wrong: int = 0, number: int | None = None) -> int:
        """Audit points at which a student with ``wrong`` of them wrong still passes look ``number``.

        Parameters
        ----------
        wrong : int
            Errors to allow for.
        number : int, optional
            Default: the last look, or the tenth where their number is not known.
        """
        wrong = _check.count(wrong, "wrong", 0)
        number = number if number is not None else (self.looks or 10)
        least = math.log(self.spent(number)) / math.log1p(-self.target_risk)
        if not least < MOST:
            raise ValueError(
                f"target_risk = {self.target_risk:g} takes more than {MOST:g} audit points: none shows so little."
            )
        size = wrong + max(1, math.ceil(least))
        while clopper_pearson_upper(wrong, size, 1 - self.spent(number)) > self.target_risk:
            size += max(1, size // 200)
        while size > wrong + 1 and (
            clopper_pearson_upper(wrong, size - 1, 1 - self.spent(number)) <= self.target_risk
        ):
            size -= 1
        return size
