"""A sample of every campaign of docs/reliability.md; `make torture` runs them at full size."""

import numpy as np
import pytest
from torture import accuracy, inputs
from torture.sections import CALLS

from limbeck.theory import Span, _check, disagreement, expected_risk, polynomial_bound
from limbeck.theory.learners import HardTargetLimit

SLOW = ("deep_flow", "flow_layers", "imbalance_effect", "expected_risk", "plan_budget after a pilot")


def test_odd_input_is_answered_rightly_or_refused_with_a_reason():
    quick = {name: draw for name, draw in CALLS.items() if name not in SLOW}
    found = inputs.campaign(quick, 6 * len(quick), first=100_000)
    assert found.findings == ()
    assert found.cases == 6 * len(quick)
    assert sum(c["checked"] for c in found.counts.values()) > 50


def test_the_campaign_notices_what_is_wrong():
    from torture.calls import Call

    def spoil(X):
        X[0] = 7.0
        return X

    wrongs = {
        "changes its argument": Call(spoil, (np.zeros(2),)),
        "returns NaN": Call(lambda: float("nan"), ()),
        "lets a warning out": Call(lambda: float(np.log(np.zeros(1))[0]), ()),
        "raises from below": Call(lambda: np.linalg.inv(np.zeros((2, 2))), ()),
        "fails its reference": Call(lambda: 1.0, (), lambda result: "wrong"),
    }
    for name, call in wrongs.items():
        assert inputs.tried(name, lambda g, call=call: call, 0)[1] is not None, name


@pytest.mark.parametrize("shape", accuracy.SHAPES)
@pytest.mark.parametrize(("condition", "scale"), [(1.0, 1e150), (1e6, 1e-150), (1e12, 1.0)])
def test_the_student_is_backward_stable(shape, condition, scale):
    found = accuracy.rounding(accuracy.SHAPES[shape], condition, scale, 1)
    assert found.backward < 10
    assert found.rank == min(accuracy.SHAPES[shape])


@pytest.mark.parametrize("size", [1e-300, 1e200])
def test_sizes_whose_squares_are_no_floats_are_refused(size):
    with pytest.raises(ValueError, match="squares of it leave the range"):
        Span(size * np.eye(2))
    with pytest.raises(ValueError, match="squares of it leave the range"):
        Span(np.eye(2)).weights([size, 0.0])


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="x is beyond the range"):
        _check.number(10**400, "x")
    with pytest.raises(ValueError, match="n must be an integer"):
        _check.count(10**400, "n")
    with pytest.raises(ValueError, match="real numbers, got dtype complex"):
        Span(np.eye(2)).project([1j, 0])
    with pytest.raises(ValueError, match="Logits of the same points"):
        disagreement([], [])
    with pytest.raises(ValueError, match="Every point is zero"):
        HardTargetLimit().weights(Span(np.zeros((3, 2))), [1.0, -1, 1])
    with pytest.raises(ValueError, match="a grid too long"):
        expected_risk(1e-17, 100, 2)
    assert polynomial_bound(30, 1e17) == 0.0
