"""A sample of the section load of docs/reliability.md."""

import pytest
from torture import load


@pytest.mark.skipif(not load.STATM.exists(), reason="needs /proc/self/statm")
def test_fits_leave_no_memory_behind():
    fits = load.resident(100)
    assert fits[-1] - fits[0] < 80 * 5_000  # bytes a fit, below half of one fit's 400 x 30 points


def test_sparse_points_stay_sparse(tmp_path):
    rows, features = 20_000, 10_000
    assert load.distilled(rows, features, tmp_path).peak < 4 * rows * features
