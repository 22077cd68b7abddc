"""An online probe: what a linear classifier finds in the latents while they are learned."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import CONTROL
from bench.data.dataset import Dataset
from bench.training.embedding import Rows, Singles, scale_of, spread_rows

Codes = NDArray[np.int64]
#: Cells that a probe is fitted on, and others that it is tried on: 2,000 in all.
FIT_CELLS, TRIED_CELLS = 1_200, 800
#: Most L-BFGS steps; stopping early is a penalty of its own.
STEPS = 100


def balanced_accuracy(fit: Singles, label: Codes, tried: Singles, truth: Codes) -> float | None:
    """Fit a logistic regression on some cells and try it on others: the mean over classes of the share found.

    Args:
        fit: Latents ``[N, D]``.
        label: Their classes ``[N]``.
        tried: Latents of other cells ``[M, D]``.
        truth: Their classes ``[M]``; cells of a class that is not fitted are left out.

    Returns:
        Chance is one over the number of classes; ``None`` with fewer than two classes on either side.

    Source: Alain and Bengio 2017 (linear probes).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    known = np.isin(truth, label)
    tried, truth = tried[known], truth[known]
    classes = np.unique(truth)
    if len(classes) < 2:
        return None
    scale = scale_of(fit)
    model = LogisticRegression(max_iter=STEPS, class_weight="balanced")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # see STEPS
        model.fit(scale(fit).astype(np.float64), label)
    right = model.predict(scale(tried).astype(np.float64)) == truth
    return float(np.mean([right[truth == one].mean() for one in classes]))


class Probe:
    """Linear probes for labels that self-supervised objectives do not use: perturbed or not, and the context.

    Fitted on train cells and half of the controls, tried on held-out cells and the other half. Controls of both halves
    are among the cells that the encoder learns from: no others may be seen.

    Args:
        dataset: The cells.
        fit: Train cells and controls whose latents are at hand.
        controls: The same of controls.
        held: The same of held-out cells.
        seed: Draws which of them are used.
    """

    def __init__(self, dataset: Dataset, fit: Rows, controls: Rows, held: Rows, seed: int) -> None:
        apart = np.union1d(held, controls[::2])
        self.tried = spread_rows(apart, TRIED_CELLS, seed)
        self.fit = spread_rows(np.setdiff1d(np.union1d(fit, controls), apart), FIT_CELLS, seed)
        seen = np.concatenate([fit, controls, held])
        order = np.argsort(seen, kind="stable")
        self.places = {
            part: order[np.searchsorted(seen, rows, sorter=order)]
            for part, rows in (("fit", self.fit), ("tried", self.tried))
        }
        perturbed = dataset.condition != dataset.conditions.index(CONTROL)
        self.labels = {"perturbed": perturbed.astype(np.int64)}
        if len(dataset.contexts) > 1:
            self.labels["context"] = dataset.context.astype(np.int64)

    def __call__(self, z: Singles) -> dict[str, float]:
        """Balanced accuracy by label; a label of which only one class can be tried is left out.

        Args:
            z: Latents of ``fit``, ``controls`` and ``held``, one below the other.
        """
        fit, tried = (z[self.places[part]] for part in ("fit", "tried"))
        found = {
            name: balanced_accuracy(fit, label[self.fit], tried, label[self.tried])
            for name, label in self.labels.items()
        }
        return {name: value for name, value in found.items() if value is not None}
