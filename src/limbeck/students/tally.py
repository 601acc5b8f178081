"""How often a student decides as its teacher does: in all, by class, and beside a constant that learned nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limbeck.theory.risk import Interval, paired_difference, wilson

Counts = NDArray[np.intp]


@dataclass(frozen=True)
class Tally:
    """Decisions of student and teacher on the same rows, counted by class; tallies of different rows add up.

    The intervals hold for rows drawn at random that the student did not learn from.
    """

    teacher: Counts
    """Rows that the teacher decides for each class, (K,)."""
    student: Counts
    """Rows that the student decides for each class, (K,)."""
    alike: Counts
    """Rows that both decide for each class, (K,)."""
    tied: int = 0
    """Rows in which the teacher gives its two likeliest classes the same probability; they are counted for one."""
    tied_alike: int = 0
    """Those of them that count as decided alike."""

    @classmethod
    def of(
        cls, teacher: ArrayLike, student: ArrayLike, n_classes: int, ties: NDArray[np.bool_] | None = None
    ) -> Tally:
        """Count decisions.

        Parameters
        ----------
        teacher, student : array_like of int, shape (n,)
            Codes, from 0, of the classes that each decides for, on the same rows.
        n_classes : int
            How many classes there are, K >= 1.
        ties : ndarray of bool, shape (n,), optional
            Rows that the teacher does not decide. Default: no row.

        Raises
        ------
        ValueError
            If the two are not of one length, or hold something else than 0, ..., K - 1.
        """
        theirs, ours = (
            _codes(c, name, n_classes) for name, c in (("teacher", teacher), ("student", student))
        )
        if len(theirs) != len(ours):
            raise ValueError(
                f"teacher decides {len(theirs)} rows, student {len(ours)}: they must be the same."
            )
        first, second, both = (
            np.bincount(c, minlength=n_classes) for c in (theirs, ours, theirs[theirs == ours])
        )
        tied = np.zeros(len(theirs), dtype=bool) if ties is None else ties
        return cls(first, second, both, int(tied.sum()), int((tied & (theirs == ours)).sum()))

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def __len__(self) -> int:
        return int(self.teacher.sum())

    @property
    def agreement(self) -> Interval:
        """Share of the rows decided alike, with Wilson's 95 % interval."""
        return _share(int(self.alike.sum()), len(self))

    @property
    def untied(self) -> Interval | None:
        """Share decided alike of the rows that the teacher decides, with Wilson's 95 % interval; None without ties."""
        size = len(self) - self.tied
        return _share(int(self.alike.sum()) - self.tied_alike, size) if self.tied and size else None

    @property
    def commonest(self) -> int:
        """Code of the class that the teacher decides for most often; the first of several."""
        return int(self.teacher.argmax())

    @property
    def constant(self) -> Interval:
        """Share of the rows on which always saying the commonest class agrees, with Wilson's 95 % interval.

        The class is the best one for these very rows: where that makes a difference, it flatters the constant.
        """
        return _share(int(self.teacher[self.commonest]), len(self))

    @property
    def gain(self) -> Interval:
        """Agreement of the student less that of the constant, with Tango's 95 % interval for the difference."""
        right, at = int(self.alike.sum()), self.commonest
        both = int(self.alike[at])
        return paired_difference(right - both, int(self.teacher[at]) - both, len(self))

    def by_class(self, code: int) -> Interval | None:
        """Share of the rows that the teacher decides for this class on which the student does; None if there are none.

        With Wilson's 95 % interval, for this class alone: of 20 classes one will lie outside of its own.
        """
        size = int(self.teacher[code])
        return _share(int(self.alike[code]), size) if size else None


def _codes(codes: ArrayLike, name: str, n_classes: int) -> Counts:
    found = np.asarray(codes)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(f"{name} must be a vector of class codes, got {found.dtype} of shape {found.shape}.")
    outside = np.flatnonzero((found < 0) | (found >= n_classes))
    if outside.size:
        raise ValueError(
            f"{name}[{outside[0]}] is {found[outside[0]]}: codes lie in 0, ..., {n_classes - 1}."
        )
    return found.astype(np.intp)


def _share(right: int, n: int) -> Interval:
    if not n:
        raise ValueError("There are no rows: a share of none says nothing.")
    low, high = wilson(right, n)
    return Interval(right / n, float(low), float(high), 0.95, n)
