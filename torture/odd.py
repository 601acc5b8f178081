"""Odd arrays and numbers: what is odd about them is picked, what is plain drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from scipy import sparse

ODD_NUMBERS: tuple[Any, ...] = (
    0, 0.0, -0.0, 1, 1.0, -1, 2, 3, 0.5, 5e-324, 1e-310, 1e-300, 1e-17, 1 - 1e-16, 1e17, 1e300, 1.8e308, 10**400,
    float("nan"), float("inf"), float("-inf"), True, None, "1", 1 + 0j, Fraction(1, 3), Decimal("0.5"),
    np.float32(0.3), np.float16(0.3), np.int8(3), np.bool_(True), np.array(0.5), np.array([0.5]), [1, 2],
)  # fmt: skip

Change = Callable[[np.random.Generator, np.ndarray], Any]


def _some(rng: np.random.Generator, a: np.ndarray, value: float) -> np.ndarray:
    a = a.copy()
    if a.size:
        a.flat[rng.integers(a.size)] = value
    return a


def _copied_rows(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
    return a[rng.integers(len(a), size=len(a))] if len(a) else a


def _collinear(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
    return rng.standard_normal((len(a), 1)) * a[:1] if a.ndim == 2 else a


def _powers(rng: np.random.Generator, shape: tuple[int, ...], most: float) -> np.ndarray:
    return 10.0 ** rng.uniform(-most, most, shape)


VALUES: dict[str, Change] = {
    "plain": lambda rng, a: a,
    "whole": lambda rng, a: np.round(a),
    "zero": lambda rng, a: np.zeros_like(a),
    "one zero row": lambda rng, a: a * (np.arange(len(a)) != 0).reshape([-1, *[1] * (a.ndim - 1)]),
    "copied rows": _copied_rows,
    "collinear": _collinear,
    "all but collinear": lambda rng, a: _collinear(rng, a) + 1e-9 * a,
    "tiny": lambda rng, a: a * 1e-150,
    "tinier": lambda rng, a: a * 1e-300,
    "denormal": lambda rng, a: np.round(4 * a) * 5e-324,
    "huge": lambda rng, a: a * 1e150,
    "huger": lambda rng, a: a * 1e300,
    "rows apart": lambda rng, a: a * _powers(rng, (len(a), *[1] * (a.ndim - 1)), 12),
    "columns apart": lambda rng, a: a * _powers(rng, a.shape[1:], 12) if a.ndim > 1 else a,
    "rows far apart": lambda rng, a: a * _powers(rng, (len(a), *[1] * (a.ndim - 1)), 200),
    "a nan": lambda rng, a: _some(rng, a, np.nan),
    "an inf": lambda rng, a: _some(rng, a, np.inf),
    "a -inf": lambda rng, a: _some(rng, a, -np.inf),
    "one huge entry": lambda rng, a: _some(rng, a, 1e200),
    "largest": lambda rng, a: _some(rng, a, np.finfo(float).max),
}


def _cast(dtype: Any) -> Change:
    def change(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return a.astype(dtype)

    return change


def _read_only(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def _spread(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
    room = np.full([2 * s + 1 for s in a.shape], np.nan)
    view = room[tuple(slice(1, None, 2) for _ in a.shape)]
    view[...] = a
    return view


def _unaligned(rng: np.random.Generator, a: np.ndarray) -> np.ndarray:
    room = np.empty(a.nbytes + 1, dtype=np.uint8)
    view = room[1:].view(np.float64).reshape(a.shape) if a.size else a
    view[...] = a
    return view


def _dense_only(kind: Callable[[np.ndarray], Any]) -> Change:
    return lambda rng, a: kind(a) if a.ndim == 2 and a.size else a


MEMORY: dict[str, Change] = {
    "as it is": lambda rng, a: a,
    "column order": lambda rng, a: np.asfortranarray(a),
    "backwards": lambda rng, a: np.ascontiguousarray(a[::-1])[::-1],
    "strided": _spread,
    "unaligned": _unaligned,
    "read-only": _read_only,
    "other byte order": _cast(">f8"),
    "lists": lambda rng, a: a.tolist(),
    "float32": _cast(np.float32),
    "float16": _cast(np.float16),
    "longdouble": _cast(np.longdouble),
    "int64": lambda rng, a: np.nan_to_num(np.clip(a, -1e6, 1e6)).astype(np.int64),
    "int8": lambda rng, a: np.nan_to_num(np.clip(a, -100, 100)).astype(np.int8),
    "bool": lambda rng, a: np.nan_to_num(a) > 0,
    "object": _cast(object),
    "text": _cast(str),
    "bytes": _cast("S8"),
    "complex": _cast(complex),
    "dates": lambda rng, a: np.zeros(a.shape, "M8[D]"),
    "csr": _dense_only(sparse.csr_array),
    "csc matrix": _dense_only(sparse.csc_matrix),
    "coo": _dense_only(sparse.coo_array),
    "one axis fewer": lambda rng, a: a[0] if len(a) else a,
    "one axis more": lambda rng, a: a[None],
    "one row fewer": lambda rng, a: a[:-1],
    "one column more": lambda rng, a: np.concatenate([a, a[..., :1]], axis=-1),
    "masked": lambda rng, a: np.ma.masked_array(a, mask=np.arange(a.size).reshape(a.shape) == 0),
    "nothing": lambda rng, a: None,
    "a text": lambda rng, a: "abc",
    "ragged": lambda rng, a: [[1.0], [1.0, 2.0]],
}


class Draws:
    """Arguments of one case: sizes first, then each argument odd or plain.

    Parameters
    ----------
    pick : callable
        Chooses one of a sequence: Hypothesis, whose shrinking prefers what stands first.
    """

    def __init__(self, pick: Callable[[Sequence[Any]], Any]) -> None:
        self.pick = pick
        self.rng = np.random.default_rng(pick(range(2**32)))
        self.d = pick((3, 1, 2, 5, 8))
        self.n = pick((2, 0, 1, 3, max(self.d - 1, 1), self.d, self.d + 1, 3 * self.d, 20))
        self.m = pick((1, 2, 7))
        self.k = pick((2, 3))
        self._share = pick((1, 5))
        self.kinds: list[str] = []

    def __str__(self) -> str:
        return f"n = {self.n}, d = {self.d}, m = {self.m}, k = {self.k}; " + "; ".join(self.kinds)

    def odd(self) -> bool:
        """Whether the next argument is to be odd: one in ten in some cases, one in two in others."""
        return self.pick(range(10)) >= 10 - self._share

    def array(self, *shape: int, values: str = "", positive: bool = False) -> Any:
        """An array of this shape (or near it), with odd values in odd memory."""
        a = self.rng.standard_normal(shape)
        return self.oddly(np.abs(a) if positive else a)

    def oddly(self, a: np.ndarray) -> Any:
        """The array made odd, in values and then in memory, each with the case's probability."""
        value = self.pick(list(VALUES)) if self.odd() else "plain"
        memory = self.pick(list(MEMORY)) if self.odd() else "as it is"
        self.kinds.append(f"{value}, {memory}")
        with np.errstate(all="ignore"):
            return MEMORY[memory](self.rng, np.asarray(VALUES[value](self.rng, a), dtype=np.float64))

    def X(self) -> Any:
        """Points (n, d)."""
        return self.array(self.n, self.d)

    def T(self) -> Any:
        """Other points (m, d)."""
        return self.array(self.m, self.d)

    def z(self) -> Any:
        """Logits (n,)."""
        return self.array(self.n)

    def w(self) -> Any:
        """A vector (d,)."""
        return self.array(self.d)

    def share(self) -> Any:
        """A number in (0, 1), or an odd one."""
        return self._number(float(self.rng.uniform(0.01, 0.99)))

    def size(self) -> Any:
        """A number of a few units, or an odd one."""
        return self._number(float(np.exp(self.rng.normal())))

    def whole(self, least: int = 1, most: int = 30) -> Any:
        """A whole number, or an odd one."""
        return self._number(int(self.rng.integers(least, most + 1)))

    def seeded(self) -> np.random.Generator:
        """A generator of the case's own."""
        return np.random.default_rng(int(self.rng.integers(2**32)))

    def _number(self, plain: Any) -> Any:
        value = self.pick(ODD_NUMBERS) if self.odd() else plain
        self.kinds.append(repr(value)[:20])
        return value
