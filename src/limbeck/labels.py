"""What a teacher said: probabilities, log-probabilities or logits, with the precision they were stored in.

Logits are carried towards the exact student, because ``logit(expit(37))`` is infinite and a probability stored
with 4 decimals says little about a logit of 10. Each logit comes with how far it can be trusted; a probability
of 0 or 1 has no logit and is reported as saturated, never clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, log_expit, log_softmax, logit, softmax

from limbeck import kinds
from limbeck._check import Array
from limbeck.kinds import RowError

MOST_CLASSES = 10**6
MOST_DECIMALS = 7
UNITS = 4.0
"""Units in the last place by which a computed probability may be off: the exponential, the sum and the quotient are
each rounded. Sigmoids and softmaxes of NumPy and SciPy were off by up to 3."""
LEAST_ROUNDED = 20
"""Numbers that must all have so few decimals before they are taken for rounded."""
PREFIX = 1000
"""Numbers that usually show the precision of all."""
COARSEST = 0.1
"""Share of a unit of the last decimal beyond which a type is too coarse to tell whether a number was rounded to it."""
SUM_TOLERANCE = 1e-6
TAILS = ("uniform", "zero", "raise")


class Precision(NamedTuple):
    """Of a type of floats."""

    eps: float
    """Distance of 1 to the next larger number."""
    smallest: float
    """Smallest number above 0."""
    held: type
    """NumPy's type that holds its numbers."""

    def spacing(self, values: Array) -> Array:
        """Distance of numbers to the next, as `numpy.spacing`; ``smallest`` at 0."""
        return np.maximum(np.ldexp(self.eps, np.frexp(values)[1] - 1), self.smallest) * (values != 0) + (
            self.smallest * (values == 0)
        )


BITS = {
    8: Precision(2.0**-7, 2.0**-133, np.float32),
    11: Precision(2.0**-10, 2.0**-24, np.float16),
    24: Precision(2.0**-23, 2.0**-149, np.float32),
    53: Precision(2.0**-52, 2.0**-1074, np.float64),
}
"""bfloat16, float16, float32 and float64, by their significant bits."""


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """A teacher's answers on n points; shape (n,) for two classes, (n, K) for K >= 3."""

    probabilities: Array
    """P[class 1], (n,), or of each class, (n, K), rows summing to 1."""
    logits: Array
    """Log-odds (n,), or log-probabilities less their row mean (n, K); infinite or NaN where saturated."""
    error: Array
    """How far each logit may be off, since the answers were computed and stored with limited precision; inf where
    saturated."""
    saturated: NDArray[np.bool_]
    """Rows (n,) where some probability cannot be told from 0 or 1 as stored: their logits are known to be large."""
    least: Array
    """Two classes: what |logit| is at least in a saturated row, (n,); NaN elsewhere and for K >= 3."""
    decimals: int | None = None
    """Decimals that the probabilities were stated to be rounded to: then they are not shares of votes."""

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return 2 if self.probabilities.ndim == 1 else self.probabilities.shape[1]

    @property
    def decisions(self) -> NDArray[np.intp]:
        """Code (n,) of the class decided for; at even odds class 1 of two, as in the paper."""
        p = self.probabilities
        return (p >= 0.5).astype(int) if p.ndim == 1 else p.argmax(axis=1)

    @property
    def ties(self) -> NDArray[np.bool_]:
        """Rows (n,) in which the two likeliest classes have the same probability: `decisions` is a convention there."""
        p = self.probabilities
        return p == 0.5 if p.ndim == 1 else kinds.tied(p)

    @property
    def columns(self) -> int:
        """Number m of logits: 1 for two classes, K for K >= 3."""
        return 1 if self.probabilities.ndim == 1 else self.n_classes

    def __len__(self) -> int:
        return len(self.probabilities)

    def __getitem__(self, rows: np.ndarray | slice) -> SoftLabels:
        names = (name for name in self.__dataclass_fields__ if name != "decimals")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


def from_probabilities(p: ArrayLike, *, decimals: int | None = None) -> SoftLabels:
    """Read probabilities.

    Parameters
    ----------
    p : array_like, shape (n,) or (n, K)
        P[class 1], or of each of K >= 2 classes; rows must sum to 1 within 1e-6, or within what their
        rounding explains. Two columns are read as two classes; where one is 1 less the other in every row, as
        the other alone.
    decimals : int, optional
        Decimals they were rounded to. Default: inferred, from every value being a multiple of 10^-k, k <= 7, in at
        least 20 values.

    Returns
    -------
    SoftLabels

    Raises
    ------
    ValueError
        If a value is not a probability or a row does not sum to 1: naming the row.

    Notes
    -----
    A computed probability p is taken to be off by up to 4 units in the last place of p in the type it was computed in,
    and its logit z by another eps |z|, since z was rounded to that type. Next to 1 the former is an absolute error of
    1 - p, too: if nothing is left of 1 - p or of p, the answer is saturated. The type is the shortest of bfloat16,
    float16, float32 and float64 that holds all values, or whose shortest decimal form they are (float32 answers in a
    CSV file). If small probabilities lie on the grid of the numbers near 1, they were computed as 1 - p or from a
    hyperbolic tangent, and their error is absolute.
    """
    given = as_numbers(p)
    p = _floats(given, "probabilities", axes=(1, 2))
    if decimals is not None and not (isinstance(decimals, Integral) and 0 <= decimals <= 17):
        raise ValueError(f"decimals must be a whole number from 0 to 17, got {decimals!r}.")
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        kinds.refuse_no_share(p, bad)
    kind = precision_of(given)
    off = _off(p, kind, BITS[_own_bits(given)], decimals)
    if p.ndim == 1:
        return replace(_binary(p, off, kind.eps), decimals=decimals)
    if p.shape[1] < 2:
        raise ValueError(
            "Probabilities with one column: give P[class 1] as one axis, or a column for every class."
        )
    total = p.sum(axis=1)
    slack = (
        4 * p.shape[1] * np.finfo(np.float64).eps
    )  # of the sum itself: rounding may explain all that is missing
    allowed = np.maximum(SUM_TOLERANCE, off.sum(axis=1)) + slack
    kinds.refuse_sum(total, allowed)
    # One column that is 1 less the other has no digits of its own.
    stored = given if given.dtype.kind == "f" else p
    for k in (1, 0) if p.shape[1] == 2 else ():
        if np.array_equal(stored[:, 1 - k], 1 - stored[:, k]):
            found = replace(_binary(p[:, k], off[:, k], kind.eps), decimals=decimals)
            return found if k else _swapped(found)
    return replace(_shares(p, off, kind.eps), decimals=decimals)


def _swapped(labels: SoftLabels) -> SoftLabels:
    """The same of the other class of two."""
    return replace(labels, probabilities=1 - labels.probabilities, logits=-labels.logits)


def _shares(p: Array, off: Array, eps: float) -> SoftLabels:
    """Probabilities of all classes (n, K), renormalised; each off by no more than ``off``, their logits by eps more."""
    total = p.sum(axis=1)
    saturated = np.any(p <= off, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(p)
        logits = logs - logs.mean(axis=1, keepdims=True)
        error = eps * np.abs(logs).max(axis=1, keepdims=True) - np.log1p(-np.minimum(off / p, 1.0))
    if p.shape[1] == 2:  # each column keeps its own digits
        z = np.where(saturated, np.copysign(np.inf, p[:, 1] - p[:, 0]), logs[:, 1] - logs[:, 0])
        least = _least(p.min(axis=1), off.max(axis=1), saturated, eps)
        return SoftLabels(
            p[:, 1] / total, z, np.where(saturated, np.inf, error.sum(axis=1)), saturated, least
        )
    error = np.where(saturated[:, None], np.inf, error + error.mean(axis=1, keepdims=True))
    return SoftLabels(p / total[:, None], logits, error, saturated, np.full(len(p), np.nan))


def _binary(p: Array, off: Array, eps: float) -> SoftLabels:
    """Probabilities (n,) of class 1, each off by no more than ``off``, their logits by eps more."""
    saturated = (p <= off) | (1 - p <= off)
    z = np.where(saturated, np.copysign(np.inf, p - 0.5), logit(p))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # The change of the logit under p +- off, without forming p +- off.
        up = np.log1p(off / p) - np.log1p(-np.minimum(off / (1 - p), 1.0))
        down = np.log1p(off / (1 - p)) - np.log1p(-np.minimum(off / p, 1.0))
        error = np.where(saturated, np.inf, np.maximum(up, down) + eps * np.abs(z))
    return SoftLabels(p, z, error, saturated, _least(np.minimum(p, 1 - p), off, saturated, eps))


def _least(smaller: Array, off: Array, saturated: NDArray[np.bool_], eps: float) -> Array:
    """Least |logit| of saturated rows; a stored 0 may have been 1 - p, so it says no more than a stored 1 does."""
    one = UNITS * 0.5 * eps
    return np.where(saturated, -logit(np.minimum(smaller + np.maximum(off, one), 0.5)), np.nan)


def from_log_probabilities(log_p: ArrayLike) -> SoftLabels:
    """Read log-probabilities (n,) of class 1 or (n, K) of all classes, as `from_probabilities` does.

    Small probabilities keep their digits; a log-probability of -inf is saturated. For one axis the other
    class's share, 1 - p, is known only as far as log p is. A computed one is taken to be off by 1.5 eps (1 + m) of the
    type it was computed in, m the largest |log p| of its row.

    Decimals they were rounded to are inferred, from every one below 0 being a multiple of 10^-k, k <= 7, in at least
    20: each may then be off by half a unit h, and its probability p by p (e^h - 1). Rows must sum to 1 within 1e-6,
    or within the sum of these, and are renormalised; ``error`` says how far that leaves the logits uncertain.
    """
    given = as_numbers(log_p)
    log_p = kinds.without_sentinels(_floats(given, "log-probabilities", axes=(1, 2), infinite=True))
    if (bad := ~(log_p <= 1e-12)).any():
        kinds.refuse_no_logarithm(log_p, bad)
    eps = precision_of(given).eps
    unit = _unit_of_logs(log_p, eps)
    if log_p.ndim == 1:
        return _from_binary_logs(np.minimum(log_p, 0.0), unit, eps)
    if log_p.shape[1] < 2:
        raise ValueError("Log-probabilities with one column: give one axis, or a column for every class.")
    total, allowed = _sums(log_p, eps, unit)
    kinds.refuse_sum(total, allowed, logs=True)
    return _from_rows(log_p, eps, unit + _computed_logs(log_p, eps))


def _sums(log_p: Array, eps: float, unit: float) -> tuple[Array, Array]:
    """Sums (n,) of the probabilities of rows (n, K) of logarithms, and how far rounding may have moved them from 1."""
    total = np.exp(log_p).sum(axis=1)
    return total, SUM_TOLERANCE + total * np.expm1(unit + _computed_logs(log_p, eps)[:, 0])


def _unit_of_logs(log_p: Array, eps: float) -> float:
    """How far decimals that log-probabilities were rounded to leave each of them uncertain; 0 where there are none."""
    decimals = _decimals(log_p[np.isfinite(log_p)], eps)
    return 0.0 if decimals is None else 0.5 * 10.0**-decimals


def _computed_logs(log_p: Array, eps: float) -> Array:
    """How far log-probabilities (n,) or (n, K) are off, (n,) or (n, 1): a logarithm of a sum was subtracted."""
    size = np.where(np.isfinite(log_p), np.abs(log_p), 0.0)
    return 1.5 * eps * (1 + (size if size.ndim == 1 else size.max(axis=1, keepdims=True)))


def _from_binary_logs(log_p: Array, unit: float, eps: float) -> SoftLabels:
    """Log-odds of log P[class 1], (n,), each off by ``unit`` and by its own rounding."""
    off = unit + _computed_logs(log_p, eps)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = -np.expm1(log_p)
        z = log_p - np.log(rest)
        # The other class's share is furthest off where log p is larger than stored.
        top = np.minimum(log_p + off, 0.0)
        error = off + np.log(rest) - np.log(-np.expm1(top))
    one = (log_p > -np.inf) & (top == 0)
    found = _from_binary_logits(np.where(one, np.inf, z), error)
    low = log_p - off
    least = np.where(one, low - np.log(-np.expm1(np.where(one, low, -1.0))), found.least)
    return replace(found, least=least)


def from_logits(z: ArrayLike) -> SoftLabels:
    """Read logits: log-odds of class 1 (n,), or scores (n, K) whose softmax are the probabilities.

    Two columns are read as two classes. -inf and +inf mean what they say and are saturated. Scores whose every row is
    one of log-probabilities are as uncertain as `from_log_probabilities` says.
    """
    given = as_numbers(z)
    z = _floats(given, "logits", axes=(1, 2), infinite=True)
    kinds.refuse_shares_as_logits(z)
    eps = precision_of(given, scores=True).eps
    if z.ndim == 1:
        return _from_binary_logits(z, np.abs(z) * eps)
    if z.shape[1] < 2:
        raise ValueError("Logits with one column: give log-odds as one axis, or a column for every class.")
    if (bad := np.isposinf(z) | np.isneginf(z).all(axis=1, keepdims=True)).any():
        kinds.refuse_at(z, bad, " leaves no probability: of K logits some must be finite, none +inf.")
    if z.max() <= 0 and np.exp(z).sum(axis=1).max() <= 1 + SUM_TOLERANCE:  # logarithms of shares
        z = kinds.without_sentinels(z, one=True)
    return _from_rows(z, eps, _unit_of_scores(z, eps))


def _unit_of_scores(z: Array, eps: float) -> Array | float:
    """How far scores are off as log-probabilities if every row is one of them; else 0: scores may be whole numbers."""
    if (z > 0).any():
        return 0.0
    unit = _unit_of_logs(z, eps)
    total, allowed = _sums(z, eps, unit)
    return unit + _computed_logs(z, eps) if (np.abs(total - 1) <= allowed).all() else 0.0


def _from_rows(z: Array, eps: float, unit: Array | float = 0.0) -> SoftLabels:
    """Scores (n, K), each off by ``unit`` or by the rounding of its type, whichever is more."""
    error = np.maximum(np.abs(z) * eps, unit)
    if z.shape[1] == 2:
        return _from_binary_logits(z[:, 1] - z[:, 0], error.sum(axis=1))
    saturated = np.any(np.isneginf(z), axis=1)
    with np.errstate(invalid="ignore"):
        logits = z - z.mean(axis=1, keepdims=True)
    logits[saturated] = np.nan
    error += error.mean(axis=1, keepdims=True)
    error[saturated] = np.inf
    return SoftLabels(softmax(z, axis=1), logits, error, np.asarray(saturated), np.full(len(z), np.nan))


def _from_binary_logits(z: Array, error: Array) -> SoftLabels:
    saturated = np.abs(z) == np.inf
    error = np.where(saturated, np.inf, error)
    return SoftLabels(expit(z), z, error, saturated, np.where(saturated, np.inf, np.nan))


def from_top_k(indices: ArrayLike, log_probabilities: ArrayLike, n_classes: int, *, tail: str) -> SoftLabels:
    """Read the k largest log-probabilities of each row, as many services return them.

    Parameters
    ----------
    indices : array_like of int, shape (n, k)
        Classes, 0 to ``n_classes`` - 1, no two alike in a row.
    log_probabilities : array_like, shape (n, k)
        Of those classes.
    n_classes : int
        K, at least 3 (with 2 classes nothing is missing).
    tail : {"uniform", "zero", "raise"}
        What becomes of the mass that is missing: spread evenly over the classes not named; taken as 0,
        the named ones renormalised, which saturates the row; or an error if there is any.

    Returns
    -------
    SoftLabels

    Notes
    -----
    Decimals they were rounded to are inferred as `from_log_probabilities` does: a row may sum to more than 1 by what
    rounding explains, and a class not named whose share rounding could explain whole is saturated.
    """
    _check_tail(tail)
    _check_classes(n_classes, 3)
    given = np.asarray(log_probabilities)
    logs = _floats(given, "log-probabilities", axes=(2,), infinite=True)
    columns = np.asarray(indices)
    if columns.shape != logs.shape or columns.dtype.kind not in "iu":
        raise ValueError(
            f"indices must be whole numbers of shape {logs.shape}, got {columns.dtype} {columns.shape}."
        )
    if columns.min() < 0 or columns.max() >= n_classes:
        raise ValueError(
            f"indices must lie between 0 and {n_classes - 1}, got {columns.min()} to {columns.max()}."
        )
    order = np.sort(columns, axis=1)
    if (twice := (order[:, 1:] == order[:, :-1]).any(axis=1)).any():
        raise RowError("Row {row} of indices names a class twice.", int(np.argmax(twice)))
    kept = given.dtype if given.dtype.kind == "f" else np.dtype(np.float64)
    table = np.full((len(logs), n_classes), np.nan, dtype=kept)
    np.put_along_axis(table, columns, logs.astype(kept), axis=1)
    return from_partial_log_probabilities(table, tail=tail)


def from_partial_log_probabilities(log_p: ArrayLike, *, tail: str) -> SoftLabels:
    """Read log-probabilities of some of the classes, NaN for those not named: `from_top_k` as a table.

    Parameters
    ----------
    log_p : array_like, shape (n, K)
        K >= 3 classes; a row names at least one, and rows may name different numbers of them.
    tail : {"uniform", "zero", "raise"}
        As `from_top_k`'s.

    Returns
    -------
    SoftLabels
    """
    _check_tail(tail)
    given = as_numbers(log_p)
    named = _named_cells(given)
    logs = _floats(np.where(named, given, 0.0), "log-probabilities", axes=(2,), infinite=True)
    logs = kinds.without_sentinels(logs)
    _check_classes(logs.shape[1], 3)
    with np.errstate(over="ignore", invalid="ignore"):
        p = np.where(named, np.exp(logs), 0.0)
        eps = precision_of(given).eps
        some = np.where(named, logs, 0.0)
        half = p * np.expm1(_unit_of_logs(some, eps) + _computed_logs(np.where(p > 0, some, 0.0), eps))
    return _partial(p, half, named, tail, 0.0)


def from_partial_probabilities(p: ArrayLike, *, tail: str) -> SoftLabels:
    """Read probabilities of some of the classes, NaN for those not named.

    Parameters
    ----------
    p : array_like, shape (n, K)
        K >= 2 classes; a row names at least one. Of two classes the one not named has the rest.
    tail : {"uniform", "zero", "raise"}
        As `from_top_k`'s. ``zero`` also divides a row that names every class by its sum, if that is within 0.1 of 1.

    Returns
    -------
    SoftLabels

    Raises
    ------
    ValueError
        If a value is not a probability, or a row names no class or does not leave mass as ``tail`` needs it: naming
        the row.
    """
    _check_tail(tail)
    given = as_numbers(p)
    named = _named_cells(given)
    shares = _floats(np.where(named, given, 0.0), "probabilities", axes=(2,))
    _check_classes(shares.shape[1], 2)
    if (bad := ~((shares >= 0) & (shares <= 1))).any():
        kinds.refuse_no_share(shares, bad)
    kind = precision_of(np.where(named, given, 0))
    off = _off(shares, kind, BITS[_own_bits(given)], None)
    if shares.shape[1] == 2:
        alone = (named.sum(axis=1) == 1)[:, None] & ~named
        shares = np.where(alone, 1 - shares[:, ::-1], shares)
        off = np.where(alone, off[:, ::-1], off)
        named |= alone
    return _partial(shares, off, named, tail, kind.eps)


def _named_cells(given: np.ndarray) -> NDArray[np.bool_]:
    return ~np.isnan(given) if given.dtype.kind == "f" else np.ones(given.shape, dtype=bool)


def _partial(p: Array, off: Array, named: NDArray[np.bool_], tail: str, eps: float) -> SoftLabels:
    """Shares (n, K), 0 where not ``named``, with the missing mass treated as ``tail`` says; widths as `_shares` has."""
    if (none := ~named.any(axis=1)).any():
        raise RowError("Row {row} names no class: there is no answer in it.", int(np.argmax(none)))
    if tail == "zero" and (none := ~p.any(axis=1)).any():
        raise RowError(
            "Row {row} names no class with a share above 0: there is no answer in it.", int(np.argmax(none))
        )
    missing, explained = 1 - p.sum(axis=1), off.sum(axis=1)
    allowed = SUM_TOLERANCE + np.where(np.isfinite(explained), explained, 0.0)
    whole = named.all(axis=1)
    above = np.where(whole & (tail == "zero"), kinds.NEAR_ONE, allowed)
    if (bad := ~(missing >= -above)).any():
        row = int(np.argmax(bad))
        total = kinds.apart(1 - missing[row], 1 + above[row])
        raise RowError(f"Row {{row}} sums to {total}: more than 1.", row)
    short = missing > allowed
    if tail == "raise" and short.any():
        row = int(np.argmax(short))
        said = f"Row {{row}} lacks {missing[row]:.3g} of its mass."
        raise RowError(said, row, fault="sum" if whole.all() else "mass")
    if tail == "uniform":
        if (short := whole & short).any():
            row = int(np.argmax(short))
            total = kinds.apart(1 - missing[row], 1 - allowed[row])
            said = f"Row {{row}} names every class and sums to {total}, not 1: no class is left to take "
            raise RowError(said + "what is missing.", row, fault="sum")
        others = np.maximum((~named).sum(axis=1), 1)
        p = np.where(named, p, (np.maximum(missing, 0.0) / others)[:, None])
        off = np.where(named, off, (explained / others)[:, None])
    total = p.sum(axis=1, keepdims=True)
    p = p / total
    return _shares(p, np.maximum(off / total, 0.5 * np.spacing(p)), eps)


def _check_tail(tail: str) -> None:
    if tail not in TAILS:
        raise ValueError(f'tail must be "uniform", "zero" or "raise", got {tail!r}.')


def from_hard(codes: ArrayLike, n_classes: int) -> SoftLabels:
    """Hard labels, as class codes 0 ... K - 1, taken as probabilities of 0 and 1.

    Raises
    ------
    ValueError
        If ``n_classes`` is no whole number from 2 to a million, or a code (its row named) is none of the classes.
    """
    codes = np.asarray(codes)
    _check_classes(n_classes, 2)
    if codes.ndim != 1 or codes.dtype.kind not in "iub":
        raise ValueError(
            f"codes must be whole numbers along one axis, got {codes.dtype} of shape {codes.shape}."
        )
    codes = codes.astype(np.intp)
    if (bad := (codes < 0) | (codes >= n_classes)).any():
        said = f"Row {{row}} has code {codes[bad][0]}: 0 to {int(n_classes) - 1} are classes."
        raise RowError(said, int(np.argmax(bad)))
    if n_classes == 2:
        p = codes.astype(np.float64)
        infinite = np.where(codes == 1, np.inf, -np.inf)
        n = len(codes)
        return SoftLabels(p, infinite, np.full(n, np.inf), np.ones(n, dtype=bool), np.full(n, np.inf))
    p = np.zeros((len(codes), n_classes))
    p[np.arange(len(codes)), codes] = 1.0
    return SoftLabels(
        p,
        np.full(p.shape, np.nan),
        np.full(p.shape, np.inf),
        np.ones(len(p), dtype=bool),
        np.full(len(p), np.nan),
    )


def reorder(p: ArrayLike, names: Sequence[Any], wanted: Sequence[Any]) -> Array:
    """Columns of ``p`` (n, K), named ``names``, in the order of ``wanted``: classes are matched by name.

    Raises
    ------
    ValueError
        If a name is missing, unknown or given twice.
    """
    names, wanted = list(names), list(wanted)
    p = np.asarray(p)
    if p.ndim != 2 or p.shape[1] != len(names):
        raise ValueError(f"{len(names)} class names for probabilities of shape {p.shape}.")
    if sorted(map(str, names)) != sorted(map(str, wanted)) or len(set(names)) != len(names):
        raise ValueError(
            f"The columns are named {names} where the classes are {wanted}: each must occur once."
        )
    return p[:, [names.index(name) for name in wanted]]


def cross_entropy(labels: SoftLabels, logits: ArrayLike) -> Array:
    """Soft cross-entropy (n,) of a student's logits (n,) or (n, K), nats; 0 log 0 is 0."""
    p = labels.probabilities
    u = _floats(np.asarray(logits), "logits", axes=(p.ndim,))
    if u.shape != p.shape:
        raise ValueError(f"logits have shape {u.shape} where the labels have {p.shape}.")
    if p.ndim == 1:
        return -(p * log_expit(u) + (1 - p) * log_expit(-u))
    return -np.sum(p * log_softmax(u, axis=1), axis=1)


def _off(p: Array, kind: Precision, own: Precision, decimals: int | None) -> Array:
    """How far computed probabilities may be off, and rounding to ``decimals`` (None: inferred) on top of that.

    Of ``own`` type some that were computed as 1 - p need few bits, and look as if they were of a shorter ``kind``.
    """
    if decimals is None:
        decimals = _decimals(p, kind.eps)
    unit = kind.spacing(np.minimum(p, 0.5))  # of numbers just below 1 at 1
    absolute = [0.5 * k.eps for k in (kind, own) if _on_the_grid_of_one(p.astype(k.held), k.eps)]
    off = UNITS * np.maximum(unit, max(absolute, default=0.0))
    return off if decimals is None else off + 0.5 * 10.0**-decimals


def _on_the_grid_of_one(p: Array, eps: float) -> bool:
    """Whether all probabilities are multiples of half the spacing below 1, as 1 - p is and a hyperbolic tangent's.

    A small p that keeps its digits is one with probability p: then the error assumed is too large by 1 / p.
    """
    scale = p.dtype.type(4 / eps)
    with np.errstate(over="ignore"):
        return all(np.array_equal(scale * some, np.round(scale * some)) for some in (p[:PREFIX], p))


def precision_of(given: np.ndarray, *, scores: bool = False) -> Precision:
    """Precision of the shortest type that holds all numbers, which may have been copied to a longer one.

    They may also have been printed in their shortest decimal form and read as float64. Sixteenths need few bits in any
    type: they are taken as they came if they are ``scores``, or probabilities in float64, as typed by hand.
    """
    own = _own_bits(given)
    values = np.abs(np.asarray(given, dtype=np.float64).ravel())
    for some in (values[:PREFIX], values):
        some = some[np.isfinite(some) & (some != 0)]
        bits = _bits(_unprinted(some) if own == 53 else some)
        if bits >= own or own == 11:
            return BITS[own]
    if (scores or (own == 53 and np.all(some <= 1))) and np.all(16 * some == np.round(16 * some)):
        return BITS[own]
    return BITS[next(b for b in BITS if b >= bits)]


def _own_bits(given: np.ndarray) -> int:
    bits = np.finfo(given.dtype).nmant + 1 if given.dtype.kind == "f" else 53
    return bits if bits in BITS else 53


def _bits(values: Array) -> int:
    """Significant bits that all numbers above 0 need, in steps as the types have them."""
    whole = np.ldexp(np.frexp(values)[0], 53).astype(np.int64)
    return 53 - int(np.frexp((whole & -whole).min(initial=2**53))[1] - 1)


def _unprinted(values: Array) -> Array:
    """The float16 or float32 numbers whose shortest decimal forms float64 numbers are; else the numbers themselves."""
    for dtype, simple, digits in ((np.float16, 3, 5), (np.float32, 7, 9)):
        if not _has_digits(values, digits):
            continue
        with np.errstate(over="ignore"):
            short = values.astype(dtype)
        many = dtype is np.float16 or _bits(short.astype(np.float64)) > 11
        few = many and _has_digits(values, simple)  # then they were rather rounded to decimals
        if not few and np.array_equal(short.astype(str).astype(np.float64), values):
            return short.astype(np.float64)
    return values


def _has_digits(values: Array, digits: int) -> bool:
    """Whether all numbers above 0 have at most so many significant decimal digits."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = values * 10.0 ** (digits - 1 - np.floor(np.log10(values)))
        return bool(np.all(np.abs(scaled - np.round(scaled)) < 1e-5))


def _decimals(values: Array, eps: float) -> int | None:
    """Decimals that numbers were rounded to, then stored with relative precision ``eps``; None if that is not clear.

    Zeros and ones count, but do not show decimals by themselves.
    """
    if values.size < LEAST_ROUNDED:
        return None
    values = np.abs(values)
    simple = (values == 0) | (values == 1)
    values, simple = values[~simple], int(simple.sum())
    for k in range(1, MOST_DECIMALS + 1):
        scaled = values * 10.0**k
        stored = np.maximum(1e-6, 0.51 * eps * scaled)
        fine = stored < COARSEST
        whole = np.round(scaled)
        enough = fine.any() and fine.sum() + simple >= LEAST_ROUNDED
        if enough and np.all(~fine | (np.abs(scaled - whole) < stored) & (whole > 0)):
            return k
    return None


def _check_classes(n_classes: int, least: int) -> None:
    whole = isinstance(n_classes, Integral) and not isinstance(n_classes, bool)
    if not whole or not least <= n_classes <= MOST_CLASSES:
        raise ValueError(
            f"n_classes must be a whole number from {least} to {MOST_CLASSES}, got {str(n_classes)[:20]}."
        )


def as_numbers(values: ArrayLike) -> np.ndarray:
    """Return an array; NumPy itself takes a data frame's nullable or Arrow columns for objects.

    Theirs has their own type of numbers, or floats with NaN if some are missing.
    """
    every = list(np.ravel(getattr(values, "dtypes", [])))  # pyright: ignore[reportArgumentType]
    plain = all(isinstance(kind, np.dtype) for kind in every)
    if plain or not all(getattr(kind, "kind", "O") in "fiub" for kind in every):
        return np.asarray(values)
    frame: Any = values
    stored = [kind if isinstance(kind, np.dtype) else kind.numpy_dtype for kind in every]
    if any(kind.kind == "f" for kind in stored) or bool(np.any(frame.isna())):
        stored = [kind if kind.kind == "f" else np.dtype(np.float64) for kind in stored]
        return frame.to_numpy(dtype=np.result_type(*stored), na_value=np.nan)
    return frame.to_numpy(dtype=np.result_type(*stored))


def _floats(a: np.ndarray, name: str, *, axes: tuple[int, ...], infinite: bool = False) -> Array:
    if a.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be real numbers, got dtype {a.dtype}.")
    a = a.astype(np.float64)
    if a.ndim not in axes or a.size == 0:
        raise ValueError(
            f"{name} must have {' or '.join(map(str, axes))} axes and some rows, got shape {a.shape}."
        )
    bad = np.isnan(a) if infinite else ~np.isfinite(a)
    if bad.any():
        kinds.refuse_at(a, bad, f" of the {name} is not a number.")
    return a
