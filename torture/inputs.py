"""Odd arguments for every public call: a right answer, or an exception that says what is wrong. Nothing else."""

from __future__ import annotations

import copy
import math
import pickle
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any
from zlib import crc32

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings, strategies
from scipy import sparse
from sklearn.exceptions import DataConversionWarning

from limbeck.records import UserError
from torture.calls import Call
from torture.odd import Draws

PATIENCE = 20
SHRINKING = 20
SLOW_SHARE = 0.1
SLOW = {
    "deep_flow", "flow_layers", "imbalance_effect", "expected_risk", "symmetric_risk", "load_digits",
    "limit_of_layers", "check_conditions", "plan_budget after a pilot", "limbeck audit", "limbeck plan",
    "limbeck label", "a page or sheet", "a report's folder",
    *(f"TailDisplay.from_{what}" for what in ("predictions", "estimator")),
    *(f"ReliabilityDisplay.from_{what}" for what in ("predictions", "estimator")),
    *(f"TransferRiskDisplay.from_{what}" for what in ("predictions", "data", "estimator", "task")),
}  # fmt: skip
DELIBERATE = ("/limbeck/", "/sklearn/")
"""Where an exception may be raised: by limbeck, or by scikit-learn's validation. Further down it was not meant."""


@dataclass(frozen=True)
class Finding:
    """A case whose outcome is none of those allowed, made as small as Hypothesis could."""

    name: str
    """The call."""
    what: str
    """What went wrong."""
    arguments: str
    """Sizes, and what is odd about each argument."""


@dataclass(frozen=True)
class Outcome:
    """One campaign."""

    counts: Mapping[str, Counter]
    """For each call: how many cases were answered, checked against a reference, refused."""
    findings: tuple[Finding, ...]

    @property
    def total(self) -> Counter:
        """The same of all calls together."""
        return sum(self.counts.values(), Counter())

    @property
    def cases(self) -> int:
        """How many inputs were tried, those made while shrinking a finding left out."""
        return self.total["answered"] + self.total["refused"] + len(self.findings)


class RefusalError(UserError):
    """A command refused, and did so cleanly."""


class Hang(BaseException):
    """A call that did not come back."""


def campaign(calls: Mapping[str, Callable[[Draws], Call]], cases: int, *, seed: int = 0) -> Outcome:
    """Try ``cases`` odd inputs, shared among the calls: alike, slow ones less."""
    shares = {name: SLOW_SHARE if name in SLOW else 1.0 for name in calls}
    each = cases / sum(shares.values())
    found = {}
    for name, draw in calls.items():
        found[name] = explored(name, draw, math.ceil(shares[name] * each), seed)
        if found[name][1] is not None:
            print(found[name][1], file=sys.stderr, flush=True)
    counts = {name: counts for name, (counts, _) in found.items()}
    return Outcome(counts, tuple(f for _, f in found.values() if f is not None))


def explored(
    name: str, draw: Callable[[Draws], Call], cases: int, seed: int = 0
) -> tuple[Counter, Finding | None]:
    """What became of so many cases of one call, up to the first that went wrong."""
    counts: Counter = Counter()
    finding: Finding | None = None
    since = 0.0

    @hypothesis.seed(crc32(f"{name} {seed}".encode()))
    @settings(
        max_examples=cases, deadline=None, database=None, report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategies.data())
    def case(data: strategies.DataObject) -> None:
        nonlocal finding, since
        if finding is not None and time.monotonic() > since + SHRINKING:
            return  # small enough: Hypothesis takes it for a case that does not fail any more, and stops
        draws = Draws(lambda options: data.draw(strategies.sampled_from(options)))
        how, what = tried(draw(draws))
        if what is not None:
            since = since if finding is not None else time.monotonic()
            finding = Finding(name, what, str(draws))
            raise AssertionError(what)
        if finding is None:
            counts.update(how)

    try:
        case()
    except Exception:
        if finding is None:
            raise
    return counts, finding


def tried(call: Call) -> tuple[list[str], str | None]:
    """One case: the ways it went well, and what went wrong, or None."""
    before = [_state(a) for a in call.arguments]
    try:
        with warnings.catch_warnings(record=True) as leaked:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", DataConversionWarning)  # scikit-learn asks its estimators for it
            result = _in_time(call.run, call.arguments)
    except Hang:
        return [], f"no answer within {PATIENCE} s of processor time"
    except (ValueError, TypeError, ArithmeticError, UserError) as error:
        return ["refused"], _leaked(leaked) or _not_meant(error) or _changed(before, call.arguments)
    except Exception as error:
        return [], f"{type(error).__name__}: {error}"
    wrong = _leaked(leaked) or _changed(before, call.arguments) or _not_numbers(result, call.undefined)
    if wrong is None and call.wrong is not None:
        with np.errstate(all="ignore"):
            wrong = _compared(call, result)
        return ["answered", "checked"], wrong
    return ["answered"], wrong


def _leaked(warned: list[warnings.WarningMessage]) -> str | None:
    return f"{warned[0].category.__name__}: {warned[0].message}" if warned else None


def _compared(call: Call, result: Any) -> str | None:
    try:
        return call.wrong(result, *call.arguments) if call.wrong else None
    except Exception as error:
        return f"answered what the reference cannot read: {type(error).__name__}: {error}"


def _in_time(run: Callable[..., Any], arguments: Iterable[Any]) -> Any:
    def late(*_: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)  # of processor time: a busy machine is no hang
    try:
        return run(*arguments)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _not_meant(error: Exception) -> str | None:
    """What is wrong with an exception: a kind of its own from below, raised below, or without a word."""
    if isinstance(error, RefusalError):
        return None
    where = traceback.extract_tb(error.__traceback__)[-1].filename
    kind = type(error).__name__
    if kind in (
        "LinAlgError",
        "UnicodeDecodeError",
        "FloatingPointError",
        "ZeroDivisionError",
        "OverflowError",
    ):
        return f"{kind} from {where.rsplit('/', 1)[-1]}: {error}"
    if "inhomogeneous shape" in str(error):
        return None  # NumPy's own word on lists of unequal length says it all
    if not any(room in where for room in DELIBERATE):
        return f"{kind} raised in {where.rsplit('/', 1)[-1]}, not by limbeck: {str(error)[:100]}"
    return None if str(error) else f"{kind} without a word"


def _state(a: Any) -> Any:
    if isinstance(a, np.ndarray):
        return a.shape, a.dtype, pickle.dumps(np.array(a, copy=True))
    if sparse.issparse(a):
        return tuple(_state(part) for part in (a.tocoo().data, *a.tocoo().coords))
    if isinstance(a, list):
        return [_state(v) for v in a]
    return copy.copy(a) if isinstance(a, (int, float, str)) else None


def _changed(before: list[Any], arguments: tuple[Any, ...]) -> str | None:
    same = all(
        b == _state(a) or (isinstance(a, float) and a != a) for b, a in zip(before, arguments, strict=True)
    )
    return None if same else "an argument was changed"


def _not_numbers(result: Any, undefined: tuple[str, ...]) -> str | None:
    """Where a result holds NaN that no documentation announces."""
    for name, part in _parts(result):
        if name not in undefined and np.isnan(part).any():
            return f"NaN in {name or 'the result'}"
    return None


def _parts(result: Any, name: str = "") -> Iterable[tuple[str, np.ndarray]]:
    if is_dataclass(result):
        for field in fields(result):
            yield from _parts(getattr(result, field.name), field.name)
    elif isinstance(result, (tuple, list)):
        for part in result:
            yield from _parts(part, name)
    elif isinstance(result, (float, np.ndarray, np.floating)) and np.asarray(result).dtype.kind == "f":
        yield name, np.asarray(result)
