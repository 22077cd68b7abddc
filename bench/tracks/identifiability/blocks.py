"""What one block of latents says about another, and about the perturbation: linear readings, judged on other cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats

#: Ridge of the linear readings, as a share of the cells (inputs have unit variance): only against exact collinearity.
_RIDGE = 1e-4


def linear_r2(source: Floats, target: Floats, half: NDArray[np.bool_]) -> float:
    """Mean over the target's latents of the share of variance that a linear map finds, on cells it was not fitted on.

    Args:
        source: ``[N, D]``.
        target: ``[N, E]``.
        half: Cells that the map is fitted on ``[N]``.

    Returns:
        At most 1; below 0 = worse than the mean. NaN where there is nothing to be found.
    """
    from sklearn.linear_model import Ridge
    from sklearn.metrics import r2_score

    if not target.shape[1]:
        return float("nan")
    x = scaled(source, half)
    fitted = Ridge(alpha=_RIDGE * int(half.sum())).fit(x[half], target[half])
    return float(r2_score(target[~half], np.reshape(fitted.predict(x[~half]), target[~half].shape)))


def label_skill(z: Floats, condition: NDArray[np.int64], half: NDArray[np.bool_]) -> float:
    """How well the perturbation is read from latents: 0 = at chance, 1 = always right.

    Balanced accuracy of a linear discriminant on cells that it was not fitted on, less chance, over 1 less chance.

    Args:
        z: ``[N, D]``.
        condition: ``[N]``.
        half: Cells that it is fitted on ``[N]``.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.metrics import balanced_accuracy_score

    x = scaled(z, half)
    varies = x[half].std(axis=0) > 0
    if not varies.any():
        return 0.0
    x = x[:, varies]
    # A little shrinkage: latents that are copies of each other must not make it fail.
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=1e-3)
    guess = model.fit(x[half], condition[half]).predict(x[~half])
    chance = 1 / len(np.unique(condition[~half]))
    return float((balanced_accuracy_score(condition[~half], guess) - chance) / (1 - chance))


def scaled(z: Floats, half: NDArray[np.bool_]) -> Floats:
    """Centre and scale by the fitted cells; constant columns become 0."""
    sd = z[half].std(axis=0)
    varies = sd > 1e-7 * np.maximum(np.abs(z[half]).max(axis=0), 1e-30)
    return np.asarray((z - z[half].mean(axis=0)) / np.where(varies, sd, np.inf))
