"""
From a random forest to a linear student in three files
=======================================================

Offline: ``python examples/ship_a_student.py FOLDER``.

The forest learns from 150 cases of scikit-learn's breast-cancer data; the student learns from its answers on others,
unlabelled, and is rated on 100 that neither learned from. It ships as JSON (limbeck reads it, nothing in it is run),
as a skops file and as ONNX (``pip install "limbeck[onnx]" skops``).
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import skops.io
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from limbeck import DistilledClassifier, save
from limbeck.students import read


def distil():
    data = load_breast_cancer()
    X, y = data.data, data.target_names[data.target]
    X_teacher, rest, y_teacher, _ = train_test_split(X, y, train_size=150, random_state=0, stratify=y)
    teacher = RandomForestClassifier(300, random_state=0).fit(X_teacher, y_teacher)
    both = DistilledClassifier(
        FrozenEstimator(teacher), student_features=StandardScaler(), hold_out=100, random_state=0
    ).fit(rest)
    return both, rest


def ship(both, X, folder):
    model = both.to_sklearn()  # StandardScaler, LogisticRegression
    save(
        both.student_,
        folder / "student.json",
        provenance={
            "teacher": "random forest, 300 trees",
            "data": "breast cancer, scikit-learn",
            "rows": len(X) - 100,
        },
        features={"mean": both.features_.mean_.tolist(), "scale": both.features_.scale_.tolist()},
    )
    skops.io.dump(model, folder / "student.skops")
    onnx = to_onnx(model, X[:1], options={"zipmap": False})
    (folder / "student.onnx").write_bytes(onnx.SerializeToString())


def answers(folder, X):
    """Probabilities from each of the three files."""
    saved = read(folder / "student.json")
    scaled = (X - np.array(saved.features["mean"])) / np.array(saved.features["scale"])
    session = onnxruntime.InferenceSession(folder / "student.onnx", providers=["CPUExecutionProvider"])
    return {
        "student.json": saved.student.predict_proba(scaled),
        "student.skops": skops.io.load(folder / "student.skops").predict_proba(X),
        "student.onnx": session.run(None, {"X": X})[1],
    }


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    both, X = distil()
    found = both.agreement_
    print(f"the teacher is {both.linearity_.verdict} on these features ({both.linearity_.reason})")
    print(
        f"student and teacher agree on {found.estimate:.1%} of {found.size} held-out cases "
        f"({found.confidence:.0%} interval {found.low:.1%} to {found.high:.1%})"
    )
    ship(both, X, folder)
    for name, proba in answers(folder, X).items():
        size = (folder / name).stat().st_size
        apart = np.abs(proba - both.predict_proba(X)).max()
        print(f"{name}: {size:,} bytes, at most {apart:.0e} from the student here")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "shipped"))
