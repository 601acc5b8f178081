import numpy as np
import pytest
from scipy.special import expit, softmax

from limbeck.budget.leak import Leak, ScoringModel, _central, _rounded, _wrong, audit_leak, from_arrays
from limbeck.pages.audit import notes, rows


def model(d, classes=1, seed=0, size=3.0):
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((classes, d))
    return ScoringModel(size * w / np.linalg.norm(w, axis=1, keepdims=True), rng.standard_normal(classes) / 2)


@pytest.fixture(scope="module")
def twelve():
    return audit_leak(model(12), held_out=4000, repeats=3, rng=np.random.default_rng(0))


def named(report, name):
    return next(leak for leak in report.leaks if leak.answers == name)


def test_d_plus_1_exact_answers_give_a_binary_model_away(twelve):
    # Tramer et al. (2016), section 4.1: d + 1 queries, no disagreement.
    exact = named(twelve, "exact")
    assert twelve.equations == 13
    assert exact.until(1.0) == 13
    assert np.all(exact.high[exact.n >= 13] == 0)
    assert exact.disagreement[exact.n < 12].min() > 0.05


def test_the_copy_is_the_model_to_the_last_digits_of_its_probabilities():
    # Tramer et al.: total variation below 1e-9.
    from limbeck.budget.leak import _from_exact

    mine, rng = model(20), np.random.default_rng(1)
    ((w, b),) = _from_exact(mine, rng.standard_normal((21, 20)), 21)
    T = rng.standard_normal((1000, 20))
    gap = 1 / (1 + np.exp(-(T @ w + b)[:, 0])) - 1 / (1 + np.exp(-mine.logits(T)))
    assert np.abs(gap).max() < 1e-9


def test_a_softmax_of_530_unknowns_is_known_from_265_answers():
    # Tramer et al., Table 4: 265 queries 99.96 %, 530 queries 100 %. By one solve 106 are enough.
    report = audit_leak(
        model(105, 5), decimals=(), factors=(0.5, 1, 2.5, 5), label_factors=(0.5,), repeats=1, held_out=2000,
        rng=np.random.default_rng(2),
    )  # fmt: skip
    exact = named(report, "exact")
    assert report.unknowns == 530
    assert exact.n.tolist() == [53, 106, 265, 530]
    assert exact.disagreement[0] > 0.2
    assert np.all(exact.disagreement[1:] == 0)


def test_the_numbers_of_answers_asked_for_are_those_reported():
    report = audit_leak(
        model(4), decimals=(3,), factors=(1, 150), label_factors=(50, 400), repeats=1, held_out=200,
        rng=np.random.default_rng(3),
    )  # fmt: skip
    assert named(report, "labels").n.tolist() == [250, 2000]
    assert named(report, "3 decimals").n.tolist() == [5, 750]


def test_four_or_five_decimals_do_not_protect_and_two_or_three_slow_it_down(twelve):
    # Tramer et al., section 6.1.
    for name in ("6 decimals", "5 decimals", "4 decimals"):
        assert twelve.bought(named(twelve, name), 0.99) < 1.5
    two, one = (twelve.bought(named(twelve, name), 0.99) for name in ("2 decimals", "1 decimal"))
    assert 1.5 < two < one
    assert named(twelve, "1 decimal").until(0.99) <= 65  # 130 without linear programming
    ends = [named(twelve, name).disagreement[-1] for name in ("4 decimals", "2 decimals", "1 decimal")]
    assert ends == sorted(ends)


def test_labels_alone_take_some_fifty_times_as_many_answers(twelve):
    # Tramer et al., section 6.2, and the law n = d / (2 risk) of the maximum margin on Gaussian points.
    assert 20 <= twelve.bought(named(twelve, "labels"), 0.99) <= 100


def test_labels_of_chosen_points_are_worth_a_halving_each(twelve):
    chosen = named(twelve, "labels, chosen points")
    assert chosen.until(0.999) <= 31 * 13
    assert chosen.until(0.999) < (named(twelve, "labels").until(0.999) or np.inf)


@pytest.mark.parametrize("n", [189, 210, 252])
def test_points_of_the_boundary_are_independent_and_so_leave_no_plane_open(n):
    # Segments that close a cycle give dependent points: at n = 210, 77 % of copies were wrong on more than .3.
    from limbeck.budget.leak import _from_boundary

    rng, wrong = np.random.default_rng(5), []
    mine = ScoringModel(rng.standard_normal((1, 20)), np.zeros(1))
    T = rng.standard_normal((2000, 20))
    for _ in range(40):
        wrong.append(_wrong(mine, T, _from_boundary(mine, rng.standard_normal((n, 20)), n)))
    assert np.median(wrong) < 0.03
    assert np.mean(np.array(wrong) > 0.3) <= 0.1


def test_chosen_points_are_never_worth_less_than_the_labels_as_they_come():
    mine = ScoringModel(np.random.default_rng(5).standard_normal((1, 20)), np.zeros(1))
    report = audit_leak(
        mine, decimals=(), factors=(1,), label_factors=(0.5, 4, 9, 10, 12), repeats=4, held_out=1000,
        rng=np.random.default_rng(6),
    )  # fmt: skip
    labels, chosen = (named(report, name) for name in ("labels", "labels, chosen points"))
    assert np.all(chosen.high <= labels.high)
    assert np.all(chosen.disagreement <= labels.disagreement)
    assert chosen.disagreement[:2] == pytest.approx(labels.disagreement[:2], abs=0)  # too few to halve with
    assert chosen.disagreement[-1] < labels.disagreement[-1] / 2


def test_a_pool_is_split_into_queries_and_judges():
    rng = np.random.default_rng(3)
    pool = rng.standard_normal((300, 6)) * [1, 2, 3, 4, 5, 6]
    report = audit_leak(model(6), pool, decimals=(2,), repeats=2, rng=rng)
    assert (report.queries, report.held_out) == ("pool", 100)
    assert max(leak.n.max() for leak in report.leaks) <= 200
    assert named(report, "exact").until(0.999) == 7


def test_queries_that_all_get_one_class_are_refused_for_a_constant_copies_the_model_there():
    """A model of features far from standard: 20 standard deviations of its scores lie between them and 0."""
    far = ScoringModel(np.ones((1, 4)), np.array([40.0]))
    with pytest.raises(
        ValueError, match=r"100\.00% of standard normal points get the same class .* Give a pool"
    ):
        audit_leak(far, rng=np.random.default_rng(0))
    pool = np.random.default_rng(1).normal(-10, 1, (600, 4))
    report = audit_leak(far, pool, decimals=(3,), repeats=1, rng=np.random.default_rng(0))
    assert 0.4 < report.commonest < 0.6
    assert report.bought(report.leaks[1], 0.99) is not None


def test_where_a_constant_agrees_so_often_nothing_is_said_of_how_long_it_takes():
    pool = np.random.default_rng(2).normal(0, 1, (900, 3))
    rare = ScoringModel(np.array([[1.0, 0.0, 0.0]]), np.array([2.8]))
    report = audit_leak(rare, pool, decimals=(3,), repeats=1, rng=np.random.default_rng(0))
    assert 0.99 < report.commonest < 0.999
    assert report.bought(report.leaks[1], 0.99) is None
    first, _, last = rows(report)[0], *rows(report)[1:3]
    assert first[1:3] == last[1:3] == ("none", "-")
    assert first[3] != "none"


def test_until_wants_the_agreement_to_stay():
    leak = Leak("x", np.array([1, 2, 3, 4]), np.array([0.2, 0.005, 0.02, 0.001]), np.zeros(4), np.zeros(4))
    assert leak.until(0.99) == 4
    assert leak.until(0.5) == 1
    assert leak.until(0.9999) is None


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda rng: ScoringModel(np.zeros((1, 3)), np.zeros(1)), "all zero"),
        (lambda rng: ScoringModel(np.ones((2, 3)), np.zeros(2)), "two rows"),
        (lambda rng: ScoringModel(np.ones((3, 2)), np.zeros(3)), "all zero or alike"),
        (lambda rng: ScoringModel(np.ones((1, 3)), np.zeros(2)), "intercept has 2 entries where 1"),
        (lambda rng: ScoringModel(np.full((1, 3), np.inf), np.zeros(1)), "finite"),
        (lambda rng: from_arrays({"b": np.ones(3)}), "no array 'coef' among 'b'"),
        (lambda rng: audit_leak(model(3), np.ones((5, 4)), rng=rng), "4 features where the model has 3"),
        (lambda rng: audit_leak(model(3), decimals=(-1,), rng=rng), "decimals must be an integer"),
    ],
)
def test_bad_input_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(np.random.default_rng(0))


@pytest.mark.parametrize("classes", [1, 3])
def test_the_central_copy_gives_every_rounded_answer_and_the_best_copy_counts(classes):
    mine, rng = model(12 if classes == 1 else 6, classes), np.random.default_rng(11)
    Q, T = (rng.standard_normal((m, mine.coef.shape[1])) for m in (130, 4000))
    F = mine.logits(Q)
    said = np.round(expit(F) if classes == 1 else softmax(F, axis=1), 1)
    ((w, b),) = central = _central(Q, said, 1)
    G = Q @ w + b
    # Of three classes ratios are bounded, which leaves each probability twice the rounding.
    assert np.abs((expit(G[:, 0]) if classes == 1 else softmax(G, axis=1)) - said).max() < 0.05 * min(
        classes, 2
    )
    fits, all_copies = (_wrong(mine, T, _rounded(1, programmed=n)(mine, Q, 130)) for n in (129, 130))
    assert all_copies == min(fits, _wrong(mine, T, central))


def test_answers_that_bound_nothing_have_no_central_copy():
    assert _central(np.ones((3, 2)), np.ones(3), 1) == []  # all saturated: weights may grow without end


def test_programs_too_large_are_left_out_and_the_number_of_answers_is_reported(monkeypatch):
    monkeypatch.setattr("limbeck.budget.leak.MOST_PROGRAMMED", 2 * 12 * 5**2)
    report = audit_leak(
        model(4), decimals=(1,), factors=(2, 4), label_factors=(1,), repeats=1, rng=np.random.default_rng(0)
    )
    assert report.programmed == 12
    assert any("on up to 12 answers" in note for note in notes(report))
