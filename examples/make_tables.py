"""
Tables to try the commands on
=============================

Made offline: ``python examples/make_tables.py FOLDER``.

Points that ship with scikit-learn, answered by teachers trained on other rows of the same data; each name says which.

- ``cancer.csv``: 30 columns, a random forest's ``p_benign`` (many exact 0 and 1).
- ``digits.parquet``: an embedding column of 64 pixels, an MLP's ten log-probabilities ``l0`` ... ``l9``.
- ``wine.csv`` and ``wine-answers.csv``: points and, in another order, an MLP's probabilities ``p_*`` by id.
- ``reviews.csv``: generated sentences with a naive Bayes teacher's ``z_positive``, a log-odds.
- ``linear.npz``: the keys X, id, teacher_logit; the teacher is linear, so that the theory applies.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as arrow_parquet
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def cancer(folder):
    data = load_breast_cancer()
    train, X, labels, _ = train_test_split(data.data, data.target, test_size=0.6, random_state=0)
    teacher = RandomForestClassifier(random_state=0).fit(train, labels)
    columns = {name.replace(" ", "_"): X[:, i] for i, name in enumerate(data.feature_names)}
    columns["p_benign"] = teacher.predict_proba(X)[:, 1]
    arrow_csv.write_csv(
        pa.table({"id": [f"case-{i}" for i in range(len(X))], **columns}), folder / "cancer.csv"
    )


def digits(folder):
    data = load_digits()
    train, X, labels, _ = train_test_split(data.data / 16, data.target, test_size=0.7, random_state=0)
    teacher = MLPClassifier((64,), max_iter=600, random_state=0).fit(train, labels)
    logs = teacher.predict_log_proba(X)
    table = {"id": np.arange(len(X)), "pixels": list(X), **{f"l{k}": logs[:, k] for k in range(10)}}
    arrow_parquet.write_table(pa.table(table), folder / "digits.parquet")


def wine(folder):
    data = load_wine()
    train, X, labels, _ = train_test_split(data.data, data.target, test_size=0.7, random_state=0)
    teacher = make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=500, random_state=0))
    P = teacher.fit(train, labels).predict_proba(X)
    ids = np.array([f"bottle {i}" for i in range(len(X))])
    columns = {name.replace("/", "_"): X[:, i] for i, name in enumerate(data.feature_names)}
    arrow_csv.write_csv(pa.table({"bottle": ids, **columns}), folder / "wine.csv")
    order = np.random.default_rng(0).permutation(len(X))[:100]
    answers = {"bottle": ids[order], **{f"p_{name}": P[order, k] for k, name in enumerate(data.target_names)}}
    arrow_csv.write_csv(pa.table(answers), folder / "wine-answers.csv")


def reviews(folder):
    rng = np.random.default_rng(0)
    good = ["brilliant", "moving", "funny", "sharp", "lovely", "warm", "clever", "tender", "superb", "honest"]
    bad = ["dull", "slow", "loud", "clumsy", "flat", "cold", "empty", "tired", "awful", "messy"]
    plain = [
        "film",
        "story",
        "actor",
        "scene",
        "ending",
        "music",
        "camera",
        "script",
        "dialogue",
        "plot",
        "cast",
        "picture",
    ]

    def sentence(mood):
        words = [rng.choice(good if rng.random() < mood else bad) for _ in range(rng.integers(1, 4))]
        return " ".join(rng.permutation([*words, *rng.choice(plain, 5)]))

    moods = rng.random(1500)
    texts = [sentence(m) for m in moods]
    count = CountVectorizer().fit(texts)
    teacher = MultinomialNB().fit(count.transform(texts[:500]), rng.random(500) < moods[:500])
    logs = teacher.predict_log_proba(count.transform(texts[500:]))
    table = pa.table({"review": texts[500:], "z_positive": np.round(logs[:, 1] - logs[:, 0], 3)})
    arrow_csv.write_csv(table, folder / "reviews.csv")


def linear(folder):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 40)) * np.arange(1, 41) ** -0.75
    np.savez(folder / "linear.npz", X=X, id=np.arange(600), teacher_logit=X @ (4 * rng.standard_normal(40)))


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tables")
    folder.mkdir(parents=True, exist_ok=True)
    for make in (cancer, digits, wine, reviews, linear):
        make(folder)
    print(f"{folder}: " + ", ".join(sorted(path.name for path in folder.iterdir())))
