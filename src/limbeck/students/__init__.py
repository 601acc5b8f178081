"""scikit-learn's face: estimators that learn from soft labels. Intercepts enter here, as a column of ones."""

from limbeck.students.distilled import DistilledClassifier
from limbeck.students.kernel import KernelSoftLabelClassifier
from limbeck.students.saving import SavedStudent, load, read, save
from limbeck.students.soft_label import SoftLabelClassifier
from limbeck.students.table_pipeline import TableFeatures, load_pipeline

__all__ = [
    "DistilledClassifier",
    "KernelSoftLabelClassifier",
    "SavedStudent",
    "SoftLabelClassifier",
    "TableFeatures",
    "load",
    "load_pipeline",
    "read",
    "save",
]
