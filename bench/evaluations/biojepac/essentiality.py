"""Evaluation 8, essentiality: do vectors of genes say which of them a cell cannot live without?

Published: a classifier on the vectors alone. Essential genes are expressed more than others, and a vector that knows
the expression level knows that much. Corrected: expression level is a covariate of both sides, so that a vector counts
for what it adds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.evaluations.biojepac.inputs import Codes, SuiteInputs, Vectors
from bench.evaluations.biojepac.interval import resampled
from bench.evaluations.biojepac.row import Row, absent

NAME = "8 essentiality"
MEASURE = "AUROC"
#: Inverse strengths of the penalty.
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
#: Folds, and genes of either kind that are needed.
FOLDS, LEAST = 5, 10


def left_out_scores(x: Floats, y: Codes, seed: int = 0) -> Floats:
    """Place of each gene, among those of its fold, by a logistic regression fitted and tuned on other genes ``[n]``.

    Folds hold the classes in equal shares. Their scores are not comparable, as each has its own penalty: places are.

    Args:
        x: Features ``[n, F]``; standardised on the genes of each fit.
        y: 0 or 1 ``[n]``.
        seed: Of the folds.

    Returns:
        0 = the least likely of its fold to be essential, 1 = the likeliest.
    """
    from scipy.stats import rankdata
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inner = StratifiedKFold(3, shuffle=True, random_state=seed)
    model = GridSearchCV(LogisticRegression(max_iter=500), {"C": STRENGTHS}, scoring="roc_auc", cv=inner)
    found = np.zeros(len(y))
    for fit, report in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y):
        scores = make_pipeline(StandardScaler(), model).fit(x[fit], y[fit]).decision_function(x[report])
        found[report] = (rankdata(scores) - 1) / max(len(report) - 1, 1)
    return found


def auroc(score: Floats, y: Codes) -> float:
    """Area under the curve; NaN with one class."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y, score)) if 0 < y.sum() < len(y) else float("nan")


def rows(inputs: SuiteInputs) -> Sequence[Row]:
    """The measure of the evaluation, on gene vectors where there are some, else on action vectors."""
    if inputs.essential is None:
        return [absent(NAME, MEASURE, inputs.why("essential genes"))]
    vectors = inputs.gene_vectors or inputs.action_vectors
    if vectors is None:
        return [absent(NAME, MEASURE, inputs.why("gene vectors"))]
    place = {gene: i for i, gene in enumerate(inputs.truth.genes)}
    at = [i for i, gene in enumerate(vectors.genes) if gene in inputs.essential and gene in place]
    y = np.array([inputs.essential[vectors.genes[i]] for i in at], dtype=np.int64)
    if min(y.sum(), len(y) - y.sum()) < LEAST:
        reason = f"{y.sum()} essential and {len(y) - y.sum()} other genes of the table have a vector; {LEAST} of each"
        return [absent(NAME, MEASURE, f"{reason} are needed")]
    level = np.array([inputs.level[place[vectors.genes[i]]] for i in at])
    return [_row(vectors, np.array(at), y, level, inputs.task.split.seed)]


def _row(vectors: Vectors, at: NDArray[np.int64], y: Codes, level: Floats, seed: int) -> Row:
    x = vectors.values[at]
    before = x if vectors.published is None else vectors.published[at]
    scores = {
        "published": left_out_scores(before, y, seed),
        "level": left_out_scores(level[:, None], y, seed),
        "both": left_out_scores(np.column_stack([level, x]), y, seed),
    }
    value = resampled(lambda which: auroc(scores["both"][which], y[which]), len(y))
    added = resampled(
        lambda which: auroc(scores["both"][which], y[which]) - auroc(scores["level"][which], y[which]), len(y)
    )
    return Row(
        NAME,
        MEASURE,
        auroc(scores["published"], y),
        0.5,
        *value.numbers,
        auroc(scores["level"], y),
        "expression level",
        None,
        len(y),
        f"corrected: vectors and level; the vectors add {added.value:+.3f} [{added.low:+.3f}, {added.high:+.3f}]",
    )
