"""scikit-learn's face: estimators that learn from soft labels. Intercepts enter here, as a column of ones."""

from limbeck.students.distilled import DistilledClassifier
from limbeck.students.kernel import KernelSoftLabelClassifier
from limbeck.students.saving import SavedStudent, load, read, save
from limbeck.students.soft_label import SoftLabelClassifier

__all__ = [
    "DistilledClassifier",
    "KernelSoftLabelClassifier",
    "SavedStudent",
    "SoftLabelClassifier",
    "load",
    "read",
    "save",
]
