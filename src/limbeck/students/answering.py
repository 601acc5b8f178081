"""A student's answers for blocks of rows, as columns of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from limbeck.data.blocks import Group
from limbeck.students.evidence import Proof
from limbeck.students.soft_label import SoftLabelClassifier, decided, shares


@dataclass(frozen=True)
class Answering:
    """A student who answers for a group of blocks."""

    student: SoftLabelClassifier
    """Fitted."""
    proof: Proof | None = None
    """What proves answers, if asked for."""

    def __call__(self, group: Group) -> tuple[int, dict[str, Any]]:
        """The group's first row, and its columns: id, label, a probability for every class, and what is proved."""
        names = np.array([str(name) for name in self.student.classes_], dtype=object)
        ids, codes, probabilities = [], [], []
        for block in group:
            F = self.student.decision_function(block.X)
            ids.append(block.names)
            codes.append(decided(F))
            probabilities.append(shares(F))
        P = np.concatenate(probabilities)
        columns = {"id": np.concatenate(ids), "label": names[np.concatenate(codes)]}
        columns |= {f"probability_{name}": P[:, k] for k, name in enumerate(names)}
        if self.proof is not None:
            found = [self.proof(block.X, answers) for block, answers in zip(group, codes, strict=True)]
            columns["proved"] = np.concatenate([part.proved.astype(int) for part in found])
            columns["proved_below"] = np.concatenate([part.largest_bound for part in found])
        return group.first, columns
