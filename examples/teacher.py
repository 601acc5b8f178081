"""
A teacher behind a small program
================================

For ``limbeck label``: a scikit-learn model with the habits of a paid service. ::

    limbeck label pool.csv --features 'x*' --budget 400 --target-risk 0.05 --price 0.002 --out bought \
        --teacher-command 'python examples/teacher.py --latency 0.01 --decimals 3 --errors 0.02 --refusals 0.02'

``python examples/teacher.py --write-pool pool.csv`` writes points for it. No network. Reads one question a line,
writes one answer a line, flushed. The model is fitted when the program starts, from a fixed seed.
"""

import argparse
import csv
import json
import sys
import time

import numpy as np
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["linear", "mlp"], default="linear")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds an answer")
    parser.add_argument("--decimals", type=int, help="round probabilities to so many")
    parser.add_argument("--errors", type=float, default=0.0, help="share of questions that fail for now")
    parser.add_argument("--refusals", type=float, default=0.0, help="share of rows refused for good")
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation added to the logit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write-pool", metavar="CSV", help="write 2,000 points and stop")
    return parser.parse_args()


def data(seed):
    return make_classification(4000, 12, n_informative=6, n_clusters_per_class=2, random_state=seed)


def write_pool(path, seed):
    X, _ = data(seed)
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *(f"x{i}" for i in range(X.shape[1]))])
        writer.writerows([f"row-{i}", *map(repr, map(float, x))] for i, x in enumerate(X[2000:]))


def fitted(options):
    X, y = data(options.seed)
    if options.model == "linear":
        return LogisticRegression().fit(X[:2000], y[:2000])
    return MLPClassifier((16,), max_iter=2000, random_state=options.seed).fit(X[:2000], y[:2000])


def answer(question, model, options, rng):
    time.sleep(options.latency)
    if rng.random() < options.errors:
        return {"id": question["id"], "error": "too many requests"}
    # Refused or not is a property of the row, not of the day.
    if np.random.default_rng(list(str(question["id"]).encode())).random() < options.refusals:
        return {"id": question["id"], "refusal": "this one I will not judge"}
    p = model.predict_proba(np.array([question["x"]]))[0, 1]
    if options.noise:
        z = np.log(p / (1 - p)) + options.noise * rng.standard_normal()
        p = 1 / (1 + np.exp(-z))
    p = float(p) if options.decimals is None else round(float(p), options.decimals)
    return {"id": question["id"], "probabilities": p}


def main():
    options = arguments()
    if options.write_pool:
        write_pool(options.write_pool, options.seed)
        return
    model, rng = fitted(options), np.random.default_rng()
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), model, options, rng)), flush=True)


if __name__ == "__main__":
    main()
