"""Whether a prediction carries the noise of the reference controls, which nobody was shown.

Truth is measured against the reference controls: ``d = y - c_ref``. A tool that measured its train shifts against
these cells too hands in shifts that hold ``-c_ref``, whose noise is in the truth as well: a Pearson delta of up to .5
for nothing. The predicted shift is regressed on ``c_ref - c_in``, beside what an honest prediction can be made of.

- *Regressors*: an intercept, the mean of the input cells, that of all input controls, and the mean of every train and
  val condition (so the train mean of y too), each on its own. With fewer of them, what is left of a condition's
  response lies along the mean expression, and so does what noise in ``c_in`` keeps it from taking away.
- Genes are divided by the SD of the input controls, so that loud genes do not drown the rest.
- *Null*: ``u = mean_j s_j (x_j - c_ref) - mean_i s_i (x_i - c)`` with random signs, over reference and input controls:
  both means are noisy. (Flipping the reference controls alone gives z values that spread by 1.0 to 1.3 instead of 1.)
- *One-sided*: reference noise in the shift pulls the loading below 0. Input noise that the regressors leave, of a
  clipped or thresholded shift, pulls it above. Only the first is worth anything to a predictor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.data.task import Task
from bench.stats.shifts import group_sums, row_mean
from bench.tracks.response.truth.fields import Truth

#: Draws of signs; the smallest p is 1 in 10,001.
DRAWS = 10_000
#: A prediction carries the noise where p is at most this and the loading at most that. A tool that used all controls
#: has -.5, the reference controls alone -1, half of its shifts from all controls -.25.
MAX_P, MAX_LOADING = 5e-4, -0.05
#: What is left of a shift below this share of the prediction is rounding.
ROUNDING = 1e-6

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ControlNoise:
    """What was found.

    Attributes:
        loading: Of the predicted shift on ``c_ref - c_in``: 0 = none, -1 = measured against the reference controls.
        p: Share of null loadings at least as low.
    """

    loading: float
    p: float

    @property
    def found(self) -> bool:
        """Whether the prediction was made from reference controls."""
        return self.p <= MAX_P and self.loading <= MAX_LOADING


@dataclass(frozen=True, eq=False)
class _Design:
    """What is the same for all predictions of a task; C contexts with test units, E expressed genes.

    Attributes:
        genes: Expressed genes ``[E]``, columns.
        weight: 1 / SD of the input controls ``[E]``.
        basis: Orthonormal basis of the regressors ``[K, E]``.
        contexts: The contexts ``[C]``.
        pools: Rows of input and of reference controls by context.
        means: Their means, weighted ``[C, 2, E]``.
    """

    genes: Rows
    weight: Floats
    basis: Floats
    contexts: Rows
    pools: tuple[tuple[Rows, Rows], ...]
    means: Floats

    def rest(self, vectors: Floats) -> Floats:
        """What the regressors leave of vectors ``[..., E]``."""
        return np.asarray(vectors - (vectors @ self.basis.T) @ self.basis)


def _orthonormal(rows: Floats, most: int) -> Floats:
    """Leading directions of some vectors ``[n, E]``, at most ``most``: ``[k, E]``."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows[norms[:, 0] > 0] / norms[norms[:, 0] > 0]
    if not len(rows) or most < 1:
        return np.empty((0, rows.shape[1]))
    _, size, axes = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(axes[:most][size[:most] > 1e-8 * size[0]])


def _learned_means(task: Task) -> Floats:
    """Mean of every train and val unit ``[K, G]``."""
    dataset = task.dataset
    group = np.full(len(dataset.condition), -1)
    units = [*task.units_of("train"), *task.units_of("val")]
    for i, unit in enumerate(units):
        group[dataset.unit_rows(unit)] = i
    sums, _, cells = group_sums(dataset.x, group, len(units))
    return np.asarray(sums / np.maximum(cells, 1)[:, None])


def _design(task: Task, facts: Truth) -> _Design:
    x, index = task.dataset.x, task.dataset.barcode_index
    genes = np.flatnonzero(facts.expressed)
    sd = facts.control_sd[genes]
    # A gene that the input controls lack has no SD: it counts as one of a fifth of the usual.
    weight = 1 / np.maximum(sd, max(0.2 * float(np.median(sd)), 1e-6))
    split = task.split
    named = [
        [np.array([index[b] for b in pool[name]], dtype=np.int64) for name in facts.contexts]
        for pool in (split.input_cells, split.input_controls, split.reference_controls)
    ]
    cells, seen, reference = (np.stack([row_mean(x, rows)[genes] for rows in pool]) * weight for pool in named)
    learned = _learned_means(task)[:, genes] * weight
    first = _orthonormal(np.concatenate([weight[None], cells, seen, learned.mean(axis=0)[None]]), len(genes))
    others = learned - (learned @ first.T) @ first
    # Half of the genes' directions are left to be tested, however many conditions there are.
    basis = np.concatenate([first, _orthonormal(others, len(genes) // 2 - len(first))])
    contexts = np.unique(facts.context)
    pools = tuple((named[1][c], named[2][c]) for c in contexts.tolist())
    return _Design(genes, weight, basis, contexts, pools, np.stack([seen[contexts], reference[contexts]], axis=1))


def _null(x: sp.csr_matrix, design: _Design, left: Floats, share: Floats) -> Floats:
    """Draws of the inner product of what is left of the shifts and the noise of the controls ``[DRAWS]``."""
    part = np.zeros(x.shape[0])  # by cell: one that stands in for several contexts has one sign
    for c, pools in enumerate(design.pools):
        for sign, rows, mean in zip((-1, 1), pools, design.means[c], strict=True):
            along = np.zeros(x.shape[1])
            along[design.genes] = design.weight * left[c]
            np.add.at(part, rows, sign * share[c] * (x[rows] @ along - mean @ left[c]) / len(rows))
    part = part[part != 0]
    signs = np.random.default_rng(0xC0F).integers(0, 2, (DRAWS, len(part)), dtype=np.int8)
    return np.asarray(2 * (signs @ part) - part.sum())


def control_noise(task: Task, facts: Truth, y_hat: Floats) -> ControlNoise:
    """Measure the noise of the reference controls in a prediction.

    Args:
        task: The task.
        facts: Its truth.
        y_hat: Predicted means ``[T, G]``.

    Returns:
        Loading 0 and p 1 where the regressors leave nothing: a sum of train means, whatever its weights.
    """
    design = task.once("response control noise", lambda: _design(task, facts))
    if len(design.basis) >= len(design.genes):
        return ControlNoise(0.0, 1.0)
    shift = (y_hat - facts.c_in)[:, design.genes] * design.weight
    means = np.stack([shift[facts.context == c].mean(axis=0) for c in design.contexts.tolist()])
    share = np.array([(facts.context == c).mean() for c in design.contexts.tolist()])
    left = design.rest(means)
    size = np.abs(y_hat[:, design.genes] * design.weight).max()
    if np.linalg.norm(left) <= ROUNDING * np.sqrt(len(design.genes)) * max(size, 1e-12):
        return ControlNoise(0.0, 1.0)
    noise = design.rest(design.means[:, 1] - design.means[:, 0])
    product = float(share @ (left * noise).sum(axis=1))
    total = float(share @ (noise**2).sum(axis=1))
    if total == 0:
        return ControlNoise(0.0, 1.0)
    null = _null(task.dataset.x, design, left, share)
    return ControlNoise(product / total, float((1 + (null <= product).sum()) / (DRAWS + 1)))
