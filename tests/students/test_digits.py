"""The real case, made small: teachers on MNIST's digits, linear students on pixels."""

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        from examples import soft_labels_on_digits

        yield soft_labels_on_digits


@pytest.mark.parametrize(("two_classes", "splits"), [(True, 4), (False, 2)])
def test_an_mlps_soft_labels_help(example, two_classes, splits):
    soft, hard = example.compare(example.mlp, (100,), splits, two_classes=two_classes).mean(axis=2)[:, 0]
    assert soft < 0.95 * hard


def test_a_forests_soft_labels_hurt_where_hard_ones_are_many(example):
    soft, hard = example.compare(example.forest, (1000,), 2, two_classes=True).mean(axis=2)[:, 0]
    assert soft > 1.03 * hard


def test_the_example_says_so_and_draws_it(example, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(example, "SIZES", (50, 100))
    monkeypatch.setattr(example, "CASES", [(example.mlp, "MLP, 5-9 against 0-4", True, 2)])
    example.main(str(tmp_path / "figure"))
    said = capsys.readouterr().out
    assert said.count("| MLP, 5-9 against 0-4 |") == 2
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_leave_one_out_is_near_the_best_alpha_and_has_no_peak_at_the_rank(example):
    from benchmarks.students import hindsight  # found where the example was

    chosen, zero, grid = (a.mean(axis=-1) for a in hindsight((100, 175, 400), 3, pooled=2))
    best = np.minimum(grid.min(axis=0), zero)
    assert np.mean(chosen / best) < 1.1
    assert zero[1] > zero[0]  # the exact student is worse for more answers
    assert chosen[0] > chosen[1] > chosen[2]
