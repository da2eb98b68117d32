"""The heart-disease problem by NumPy and scikit-learn, from the original files on: nothing here comes from our code but the
scores that are to be judged.

Answers with the design matrix and labels as read, mean and deviation, the coefficients (intercept first) of
  newton       NVFLARE's hello-lr rule in NumPy: theta += damping * solve(Hessian + ridge I, gradient)
  likelihood   scikit-learn without penalty
  penalised    scikit-learn with its default penalty, which is another problem and so the control
and with scikit-learn's metrics of the scores in the question.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

CENTRES = ["cleveland", "hungarian", "switzerland", "va"]
PLAIN = [0, 1, 3, 4, 5, 7, 8, 9]  # age, sex, trestbps, chol, fbs, thalach, exang, oldpeak
HOT = {2: (2, 3, 4), 6: (1, 2)}  # cp, restecg: the first level is the reference
BIN_COUNT = 200


def read_rows(folder, wanted_set):
    parts = []
    with open(folder / "flamby-split.csv", newline="") as file:
        split = [row for row in csv.DictReader(file) if row["set"] == wanted_set]
    for centre in CENTRES:
        lines = (folder / f"processed.{centre}.data").read_text().splitlines()
        cells = [lines[int(row["raw_line"])].split(",") for row in split if row["center"] == centre]
        values = np.array([[float(cell) for cell in row[:10]] for row in cells])
        hot = [values[:, column] == level for column, levels in HOT.items() for level in levels]
        parts.append((np.column_stack([values[:, PLAIN], *hot]), np.array([float(row[13]) > 0 for row in cells], float)))
    return parts


def newton(x, y, ridge, damping, rounds):
    extended = np.column_stack([np.ones(len(x)), x])
    theta = np.zeros(extended.shape[1])
    for _ in range(rounds):
        p = 1 / (1 + np.exp(-extended @ theta))
        hessian = extended.T @ (extended * (p * (1 - p))[:, None])
        theta = theta + damping * np.linalg.solve(hessian + ridge * np.eye(len(theta)), extended.T @ (y - p))
    return theta


def by_scikit(x, y, strength):
    model = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-13, max_iter=1000).fit(x, y)
    return [*model.intercept_, *model.coef_[0]]


def judge(scores, labels):
    scores, labels = np.array(scores), np.array(labels)
    predicted = scores >= 0.5
    tenth = np.minimum((scores * 10).astype(int), 9)
    gaps = [abs(scores[tenth == each].sum() - labels[tenth == each].sum()) for each in range(10)]
    return {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "precision": metrics.precision_score(labels, predicted),
        "recall": metrics.recall_score(labels, predicted),
        "brier": metrics.brier_score_loss(labels, scores),
        "logLoss": metrics.log_loss(labels, scores),
        "auc": metrics.roc_auc_score(labels, scores),
        "aucOfBins": metrics.roc_auc_score(labels, np.floor(scores * BIN_COUNT)),
        "calibrationError": sum(gaps) / len(scores),
    }


question = json.load(sys.stdin)
if "scores" in question:
    print(json.dumps(judge(question["scores"], question["labels"])))
else:
    sites = read_rows(Path(question["fixtures"]), "train")
    raw = np.vstack([x for x, _ in sites])
    labels = np.concatenate([y for _, y in sites])
    mean, deviation = raw.mean(axis=0), raw.std(axis=0, ddof=1)
    pooled = (raw - mean) / deviation
    answer = {
        "rows": raw.tolist(),
        "labels": labels.tolist(),
        "mean": mean.tolist(),
        "stdDev": deviation.tolist(),
        "newton": newton(pooled, labels, question["ridge"], question["damping"], question["rounds"]).tolist(),
        "likelihood": by_scikit(pooled, labels, np.inf),
        "penalised": by_scikit(pooled, labels, 1.0),
    }
    print(json.dumps(answer))
