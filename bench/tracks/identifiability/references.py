"""What stands beside models: closed forms, and answers that know too little or too much."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.data.known_latents import Problem
from bench.results.latents import Latents

#: Cells that closed forms are fitted on, at most.
CELLS = 10_000
#: The same of sparse components, whose fit takes a hundred times longer.
SPARSE_CELLS = 1_000


def learned_rows(problem: Problem, seed: int, most: int = CELLS) -> NDArray[np.int64]:
    """Rows of (a sample of) the cells that a model may learn from, in the task's own data set."""
    rows = np.sort(np.concatenate([problem.task.rows("train"), problem.task.dataset.cells_of["ctrl"]]))
    rng = np.random.default_rng([seed, 0x5E])
    return np.sort(rng.permutation(rows)[:most])


def _sample(problem: Problem, seed: int, most: int = CELLS) -> Floats:
    return problem.task.dataset.x[learned_rows(problem, seed, most)].toarray().astype(np.float64)


def _fitted(model: Any, problem: Problem, seed: int, most: int = CELLS) -> Latents:
    """Latents of a transformer of scikit-learn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence: the row is what the usual number of steps gives
        model.fit(_sample(problem, seed, most))
        return Latents(np.asarray(model.transform(problem.x.astype(np.float64)), dtype=np.float64))


def pca(problem: Problem, seed: int) -> Latents:
    """Principal components of log expression."""
    from sklearn.decomposition import PCA

    return _fitted(PCA(problem.width, svd_solver="full"), problem, seed)


def ica(problem: Problem, seed: int) -> Latents:
    """Independent components (FastICA; Hyvarinen 1999) of log expression."""
    from sklearn.decomposition import FastICA

    return _fitted(FastICA(problem.width, whiten="unit-variance", max_iter=300, random_state=seed), problem, seed)


def sparse_pca(problem: Problem, seed: int) -> Latents:
    """Components with few genes each (Mairal et al. 2009), in batches."""
    from sklearn.decomposition import MiniBatchSparsePCA

    model = MiniBatchSparsePCA(problem.width, alpha=1.0, batch_size=64, max_iter=20, method="cd", random_state=seed)
    return _fitted(model, problem, seed, SPARSE_CELLS)


def look_up(problem: Problem, seed: int) -> Latents:
    """The true mean of each perturbation's latents, without any look at the cell."""
    truth, p = problem.truth, problem.truth.parameters
    seen = np.flatnonzero(np.isin(truth.code, np.arange(problem.n_singles)) | (truth.code == problem.control))
    n = np.bincount(truth.code[seen], minlength=len(truth.conditions))
    sums = np.zeros((len(truth.conditions), p.d_v))
    np.add.at(sums, truth.code[seen], truth.z_v[seen])
    return Latents((sums / np.maximum(n, 1)[:, None])[problem.code])


def random_rotation(problem: Problem, seed: int) -> Latents:
    """The true latents that perturbations move, turned at random among themselves: all of the information, no axis."""
    q, r = np.linalg.qr(np.random.default_rng([seed, 0x07]).standard_normal((problem.z_v.shape[1],) * 2))
    return Latents(problem.z_v @ (q * np.sign(np.diag(r))), problem.z_i if problem.z_i.shape[1] else None)


def noise(problem: Problem, seed: int) -> Latents:
    """Numbers that were drawn without a look at anything, and a graph without edges."""
    z = np.random.default_rng([seed, 0x01]).standard_normal((len(problem.held), problem.width))
    return Latents(z, graph=np.zeros((problem.width, problem.width)))


def true_regression(problem: Problem, seed: int) -> Latents:
    """True latents, read linearly from expression by a ridge that was told those of the cells it learned from."""
    from sklearn.linear_model import Ridge

    learned = problem.task.dataset
    rows = learned_rows(problem, seed)
    index = problem.dataset.barcode_index
    whole = np.array([index[b] for b in learned.barcodes[rows].tolist()])
    target = np.hstack([problem.truth.z_v[whole], problem.truth.z_i[whole]])
    model = Ridge(alpha=1.0).fit(learned.x[rows].toarray().astype(np.float64), target)
    found = np.asarray(model.predict(problem.x.astype(np.float64)))
    d_v = problem.truth.parameters.d_v
    return Latents(found[:, :d_v], found[:, d_v:] if problem.z_i.shape[1] else None)


@dataclass(frozen=True)
class Reference:
    """A row beside the models.

    Attributes:
        make: Its latents on a problem, under a training seed.
        kind: ``model`` = it learns from cells; ``control`` = it knows nothing that it should be credited for;
            ``head-room`` = it is told what no model can know.
        meaning: What it is, in a line.
        drawn: Whether another training seed gives other latents.
        rounded: Whether rounding decides them, so that another processor gives others. Of all others nothing need be
            kept: ``bench audit`` makes them again from the screen.
    """

    make: Callable[[Problem, int], Latents]
    kind: Literal["model", "control", "head-room"]
    meaning: str
    drawn: bool = False
    rounded: bool = False


REFERENCES: dict[str, Reference] = {
    "true_regression": Reference(
        true_regression, "head-room", "true latents of training cells are told: what is there to be read"
    ),
    "pca": Reference(pca, "model", "principal components"),
    "ica": Reference(ica, "model", "independent components (FastICA)", True, rounded=True),
    "sparse_pca": Reference(sparse_pca, "model", "components with few genes each", True),
    "look_up": Reference(look_up, "head-room", "the true mean of the perturbation, whatever the cell"),
    "random_rotation": Reference(random_rotation, "head-room", "true latents of each block, turned at random", True),
    "noise": Reference(noise, "control", "numbers drawn at random", True),
}
