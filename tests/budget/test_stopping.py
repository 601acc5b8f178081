import numpy as np
import pytest

from limbeck import StoppingRule
from limbeck.budget.stages import audit_needed
from limbeck.theory import clopper_pearson_upper


@pytest.mark.parametrize("looks", [1, 12, None])
def test_what_is_spent_never_exceeds_what_there_is(looks):
    rule = StoppingRule(0.1, 0.9, looks)
    spent = [rule.spent(t) for t in range(1, (looks or 10_000) + 1)]
    assert min(spent) > 0
    assert sum(spent) <= 0.1 * (1 + 1e-12)


@pytest.mark.parametrize("looks", [15, None])
@pytest.mark.parametrize("shared", [True, False])
def test_a_student_that_misses_the_target_is_rarely_let_pass_however_often_one_looks(looks, shared):
    # 4,000 runs of 15 students whose risk is a fifth above the target at every look. `shared`: later students err
    # where earlier ones did; otherwise each errs elsewhere on the same audit points, the worst case of the union.
    # The rule promises at most 5 %; three and a half standard errors make the false alarm of this test 2e-4.
    rng, target, size, runs, risk = np.random.default_rng(5), 0.1, 120, 4000, 0.12
    rule = StoppingRule(target, 0.95, looks)
    counts = rng.binomial(size, risk, (runs, 1 if shared else 15)) * np.ones((1, 15), dtype=int)
    bound = np.array(
        [[clopper_pearson_upper(k, size, 1 - rule.spent(t)) for k in range(size)] for t in range(1, 16)]
    )
    stopped = np.any(bound[np.arange(15), counts] <= target, axis=1).mean()
    assert stopped <= 0.05 + 3.5 * np.sqrt(0.05 * 0.95 / runs)
    if not shared:  # looking each time as if for the first time is no such rule: the test can tell
        once = np.array([clopper_pearson_upper(k, size, 0.95) for k in range(size)])
        assert np.any(once[counts] <= target, axis=1).mean() > 0.1


def test_a_good_student_is_let_pass():
    rule = StoppingRule(0.05, 0.95, looks=10)
    assert rule.look(0, rule.smallest_sample(), 10).stop
    assert not rule.look(1, rule.smallest_sample(), 10).stop
    assert rule.look(0, 500, 1).upper < rule.look(4, 500, 1).upper


@pytest.mark.parametrize("wrong", [0, 1, 7])
@pytest.mark.parametrize("target", [0.3, 0.02, 0.001])
def test_the_smallest_sample_is_the_smallest(wrong, target):
    rule = StoppingRule(target, 0.95, looks=4)
    size = rule.smallest_sample(wrong)
    assert rule.look(wrong, size, 4).stop
    assert size == wrong + 1 or not rule.look(wrong, size - 1, 4).stop


@pytest.mark.parametrize("looks", [1, 3])
@pytest.mark.parametrize(
    ("wrong", "size", "target"),
    [
        (3, 80, 0.05),
        (0, 30, 0.1),
        (1, 30, 0.1),
        (2, 60, 0.05),
        (5, 70, 0.1),
        (7, 50, 0.2),
        (2, 4, 0.6),
        (1, 5, 0.9),
    ],
)
def test_every_audit_sample_from_the_one_needed_on_shows_the_target_and_no_smaller_one_does_it_so(
    wrong, size, target, looks
):
    rule = StoppingRule(target, 0.95, looks)
    needed = audit_needed(rule, rule.look(wrong, size, 1))

    def shows(n):
        return clopper_pearson_upper(-(-wrong * n // size), n, 1 - rule.spent(1)) <= target

    shown = [shows(n) for n in range(1, 6000)]
    if rule.look(wrong, size, 1).stop:
        assert needed is None
        return
    assert needed == 1 + max(n for n, there in enumerate(shown, start=1) if not there)
    if (wrong, size, looks) == (3, 80, 3):
        assert needed == 1498
        assert shown[1385 - 1]


def test_a_student_near_the_target_is_shown_by_no_audit_sample():
    rule = StoppingRule(0.05, 0.95, 3)
    assert audit_needed(rule, rule.look(5, 100, 1)) is None
    assert audit_needed(rule, rule.look(49_999, 10**6, 1)) is None


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: StoppingRule(0.0), "target_risk must be > 0"),
        (lambda: StoppingRule(1.0), "target_risk must be < 1"),
        (lambda: StoppingRule(0.1, 1.0), "confidence must be < 1"),
        (lambda: StoppingRule(0.1, 0.95, 0), "looks must be an integer of at least 1"),
        (lambda: StoppingRule(0.1, 0.95, 3).spent(4), "Look 4 of 3"),
        (lambda: StoppingRule(0.1).look(5, 4, 1), "wrong = 5 disagreements among size = 4"),
        (lambda: StoppingRule(0.1).look(-1, 4, 1), "wrong must be an integer of at least 0"),
    ],
)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
