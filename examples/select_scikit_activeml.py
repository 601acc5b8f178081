"""
SpanSelection inside scikit-activeml
====================================

A pool query strategy in scikit-activeml's form, beside its own `CoreSet`, in one and the same loop.
``python examples/select_scikit_activeml.py FOLDER`` writes the figure; needs ``pip install scikit-activeml``; runs
offline.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from skactiveml.base import PoolQueryStrategy
from skactiveml.pool import CoreSet, RandomSampling
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from limbeck import SoftLabelClassifier, SpanSelection
from limbeck.displays import save
from limbeck.displays.style import house_style, new_figure

BATCHES = (1, 1, 1, 2, 5, 10)


class SpanQuery(PoolQueryStrategy):
    """Rows that explain most of the unlabelled and labelled pool; rows with an answer are given."""

    def query(self, X, y, candidates=None, batch_size=1, return_utilities=False):
        if candidates is not None:
            raise ValueError("SpanQuery chooses among all rows without an answer: leave candidates out.")
        labelled = np.flatnonzero(~np.isnan(y))
        ranking = SpanSelection().rank(X, batch_size, given=labelled)
        if not return_utilities:
            return ranking.indices
        # A row's gain when it was picked; NaN, as scikit-activeml has it, for rows that may not be picked any more.
        utilities = np.zeros((batch_size, len(X)))
        utilities[:, labelled] = np.nan
        for i, row in enumerate(ranking.indices):
            utilities[i, row], utilities[i + 1 :, row] = ranking.gains[i], np.nan
        return ranking.indices, utilities


# %%
# Soft labels of a linear teacher are bought in batches; the student is the exact one.
data = load_breast_cancer()
X = StandardScaler().fit_transform(data.data)
teacher = LogisticRegression().fit(X, data.target)
train, test = np.split(np.random.default_rng(0).permutation(len(X)), [len(X) // 2])


def disagreement(strategy: PoolQueryStrategy) -> list[float]:
    answers = np.full(len(train), np.nan)
    curve = []
    for batch in BATCHES:
        asked = strategy.query(X[train], answers, batch_size=batch)
        answers[asked] = teacher.decision_function(X[train][asked])
        known = ~np.isnan(answers)
        student = SoftLabelClassifier(alpha=0).fit(X[train][known], teacher_logits=answers[known])
        curve.append(float(np.mean(student.predict(X[test]) != teacher.predict(X[test]))))
    return curve


def compared() -> Figure:
    labels = np.cumsum(BATCHES)
    with house_style():
        drawn, (ax,) = new_figure()
        for name, strategy, look in (
            ("SpanSelection", SpanQuery(), "o-"),
            ("CoreSet", CoreSet(random_state=0), "s--"),
            ("RandomSampling", RandomSampling(random_state=0), "^:"),
        ):
            curve = disagreement(strategy)
            print(f"{name:15s}", "  ".join(f"{share:.3f}" for share in curve))
            ax.plot(labels, curve, look, label=name)
        ax.set(xlabel="labels", ylabel="disagreement, one split", ylim=(0, None), title="breast cancer")
        ax.legend()
    return drawn


indices, utilities = SpanQuery().query(
    X[train], np.full(len(train), np.nan), batch_size=3, return_utilities=True
)
assert np.array_equal(np.nanargmax(utilities, axis=1), indices)
figure = compared()
save(figure, Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "select_scikit_activeml")
