"""Whether predictions carry the noise of controls that no model was given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.audit.second.truth import Cells, Truth

Floats = NDArray[np.float64]

#: Draws of the null, the loading and its distance from the null beyond which controls were seen. An honest loading is
#: 0; that of predictions which start from the reference controls is 1.
DRAWS, LOADING, CLEAR = 200, 0.5, 5.0


class Noise:
    """What the mean of the reference controls holds beyond that of the input cells and the mean of train units.

    Args:
        cells: Of the task.
        truth: Of the task.
    """

    def __init__(self, cells: Cells, truth: Truth) -> None:
        self.truth = truth
        self.parts: list[tuple[NDArray[np.bool_], NDArray[np.bool_], Floats, Floats, Floats]] = []
        rng = np.random.default_rng(0x5EED)
        for c in np.unique(truth.context).tolist():
            mine = truth.context == c
            genes = truth.expressed & ~truth.targets[mine].any(axis=0)
            known = np.stack([np.ones(genes.sum()), truth.c_in[mine][0, genes], truth.train_y[genes]])
            pool = cells.x[cells.reference[c]].toarray()[:, genes].astype(np.float64)
            centred = pool - pool.mean(axis=0)
            signs = rng.choice([-1.0, 1.0], size=(DRAWS, len(pool)))
            axis = self._left(truth.c_ref[mine][:1, genes], known)[0]
            self.parts.append((mine, genes, known, axis, self._left(signs @ centred / len(pool), known)))

    @staticmethod
    def _left(rows: Floats, known: Floats) -> Floats:
        """What is left of rows ``[n, G]`` beyond the known ones."""
        weights = np.linalg.lstsq(known.T, rows.T, rcond=None)[0]
        return np.asarray(rows - weights.T @ known)

    def carried(self, d_hat: Floats) -> str:
        """Say that predictions carry it; empty where they do not, or where nobody could tell."""
        loadings, null = [], []
        for mine, genes, known, axis, draws in self.parts:
            mean = (self.truth.c_in + d_hat)[mine][:, genes].mean(axis=0)
            left = self._left(mean[None], known)[0]
            loadings.append(float(left @ axis / (axis @ axis)))
            null.append(draws @ left / (draws**2).sum(axis=1))
        loading = float(np.mean(loadings))
        spread = float(np.std(np.mean(null, axis=0)))
        if loading <= LOADING or loading <= CLEAR * spread:
            return ""
        return f"they carry the noise of the reference controls (loading {loading:.2f}, honest 0 with SD {spread:.2f})"
