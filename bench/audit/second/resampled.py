"""How values move where the reference controls are drawn again: 50 bootstraps, a second time.

A unit's shift is its mean less that of the reference controls, so that which of these were measured moves all units
together; intervals add the variance of a row's mean over bootstraps. All controls of the data are drawn at once, by a
seed that is their number, and each pool's weights are scaled to its size.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.audit.second.scores import GALLERY, LIMIT, TIE, Scores
from bench.audit.second.truth import Cells, Truth

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
#: Bootstraps, and what their seed holds beside the number of controls.
DRAWS, SEED = 50, 0xB007


def weights(controls: Rows, pool: Rows) -> Floats:
    """How much each cell of a pool counts in each bootstrap ``[R, 50]``.

    Args:
        controls: Rows of all control cells of the data, by barcode.
        pool: Rows of the reference controls of one context.
    """
    n = len(controls)
    drawn = np.random.default_rng([n, SEED]).multinomial(n, np.full(n, 1.0 / n), size=DRAWS)
    of = {int(row): i for i, row in enumerate(controls)}
    mine = drawn[:, [of[int(row)] for row in pool]].T.astype(np.float64)
    total = mine.sum(axis=0)
    return np.where(total > 0, mine * len(pool) / np.maximum(total, 1.0), 1.0)


class Resampled:
    """Facts of a task under every bootstrap of its reference controls.

    Args:
        cells: Of the task.
        truth: The same, measured.
    """

    def __init__(self, cells: Cells, truth: Truth) -> None:
        self.cells, self.truth = cells, truth
        self.weights = [weights(cells.by_barcode, pool) for pool in cells.reference]
        #: How far the mean of each context's reference controls moves ``[C, 50, G]``.
        self.moved = np.stack(
            [
                (w.T - 1.0) @ cells.x[pool].astype(np.float64).toarray() / max(len(pool), 1)
                for w, pool in zip(self.weights, cells.reference, strict=True)
            ]
        )
        self._scored = truth.scored.astype(np.float64)
        self._summed: dict[int, tuple[Floats, Floats, Floats]] = {}

    def _sums(self, half: int) -> tuple[Floats, Floats, Floats]:
        """Of moved shifts: norms about the mean, log sizes less sampling noise ``[50, T]``; the shifts ``[T, G]``."""
        if half in self._summed:
            return self._summed[half]
        w, d = self._scored, (self.truth.y[half] - self.truth.c_ref) * self._scored
        n, noise = np.maximum(w.sum(axis=1), 1.0), (w * self.truth.d_var[half]).sum(axis=1)
        norm, size = np.empty((DRAWS, len(d))), np.empty((DRAWS, len(d)))
        for b in range(DRAWS):
            now = d - self.moved[self.truth.context, b] * w
            square, total = (now**2).sum(axis=1), now.sum(axis=1)
            norm[b] = np.sqrt(np.maximum(square - total**2 / n, 0.0))
            size[b] = np.log(np.maximum(square - noise, np.finfo(np.float64).tiny)) / 2.0
        self._summed[half] = norm, size, d
        return norm, size, d

    def _product(self, vectors: Floats, shift: Floats) -> Floats:
        """Products of vectors over scored genes ``[T, G]`` with moved shifts ``[50, T]``."""
        out = np.tile((vectors * shift).sum(axis=1), (DRAWS, 1))
        for c in np.unique(self.truth.context).tolist():
            mine = self.truth.context == c
            out[:, mine] -= self.moved[c] @ vectors[mine].T
        return out

    def _standard(self, values: Floats, keep: NDArray[np.bool_]) -> Floats:
        """Values less their mean over scored genes, in norm 1; 0 where they are not to be kept ``[T, G]``."""
        w = self._scored
        out = w * (values - (w * values).sum(axis=1, keepdims=True) / np.maximum(w.sum(axis=1, keepdims=True), 1.0))
        size = np.linalg.norm(out, axis=1, keepdims=True)
        return np.where(keep[:, None] & (size > 0), out / np.where(size > 0, size, 1.0), 0.0)

    def by_unit(self, d_hat: Floats, half: int = 0) -> dict[str, Floats]:
        """Pattern and size of predicted shifts ``[T, G]`` under each bootstrap, and DE against all cells ``[50, T]``.

        Args:
            d_hat: Predicted shifts.
            half: 0 = against all cells; 1 to 10 = against a half.
        """
        own = Scores(self.truth, d_hat, half)
        with np.errstate(divide="ignore"):
            mine = np.log((self._scored * d_hat**2).sum(axis=1)) / 2.0
        signed = self._standard(own.signed, ~own.degenerate) if half == 0 else None
        return self.of(self._standard(d_hat, ~own.degenerate), signed, mine, half)

    def of(self, pattern: Floats | None, de: Floats | None, size: Floats | None, half: int = 0) -> dict[str, Floats]:
        """Pattern, DE and size of an answer under each bootstrap, of those that it has ``[50, T]``.

        Args:
            pattern: What is multiplied with shifts, of mean 0 and norm 1 over scored genes, 0 elsewhere ``[T, G]``.
            de: The same of z; asked for against all cells alone.
            size: Log norms ``[T]``.
            half: As of :meth:`by_unit`.
        """
        norm, true, shift = self._sums(half)
        out = {}
        with np.errstate(divide="ignore", invalid="ignore"):
            if pattern is not None:
                out["pearson_delta"] = self._product(pattern, shift) / norm
            if de is not None:
                single = de.astype(np.float32)
                products = np.stack([(single * z).sum(axis=1, dtype=np.float64) for z in self._z])
                out["signed_rank_z"] = products / self._z_norms
            if size is not None:
                out["shift_ratio"] = -np.abs(np.clip(size - true, -LIMIT, LIMIT))
        return out

    def identity(self, d_hat: Floats, rows: Rows, none: NDArray[np.bool_], half: int = 0) -> Floats:
        """Identity of some units among those of their context and stratum, under each bootstrap ``[50, n]``.

        Args:
            d_hat: Predicted shifts ``[T, G]``.
            rows: Units of the gallery ``[n]``.
            none: Units of the task whose prediction is to count as none ``[T]``.
            half: As of :meth:`by_unit`.
        """
        truth, own = self.truth, Scores(self.truth, d_hat, half)
        out = np.full((DRAWS, len(rows)), np.nan)
        key = list(zip(truth.context[rows].tolist(), truth.stratum[rows].tolist(), strict=True))
        for one in sorted(set(key)):
            at = np.array([i for i, each in enumerate(key) if each == one])
            mine = rows[at]
            if len(mine) < GALLERY:
                continue
            genes = truth.expressed & ~truth.targets[mine].any(axis=0)
            u, v = ((shift[mine] - truth.train_delta)[:, genes] for shift in (d_hat, own.d))
            lost = (np.abs(u).max(axis=1) <= own.noise[mine]) | own.degenerate[mine] | none[mine]
            nowhere = np.abs(v).max(axis=1) <= own.true_noise[mine]
            with np.errstate(divide="ignore", invalid="ignore"):
                u = np.nan_to_num(u / np.linalg.norm(u, axis=1)[:, None])
            for b in range(DRAWS):
                now = v - self.moved[one[0], b, genes]
                cosine = u @ (now / np.maximum(np.linalg.norm(now, axis=1), 1e-150)[:, None]).T
                mean = np.diag(cosine)[:, None]
                won = (cosine < mean - TIE) + 0.5 * (np.abs(cosine - mean) <= TIE)
                won[:, nowhere], won[nowhere], won[lost] = 0.5, 0.5, 0.5
                np.fill_diagonal(won, 0.0)
                out[b, at] = np.where(lost, 0.5, won.sum(axis=1) / (len(mine) - 1))
        return out

    @cached_property
    def _z(self) -> NDArray[np.float32]:
        """Wilcoxon z of each unit, in the SD of the test as it is, 0 at genes not scored ``[50, T, G]``.

        U is the sum over a unit's cells of how much of the weighted reference lies below each, ties by half.
        """
        truth, m = self.truth, self.cells
        out = np.zeros((DRAWS, *truth.scored.shape), dtype=np.float32)
        for c in np.unique(truth.context).tolist():
            mine = np.flatnonzero(truth.context == c)
            cells = [len(m.units[t]) for t in mine]
            tested = m.x[np.concatenate([m.units[t] for t in mine])].toarray()
            pool, w = m.x[m.reference[c]].toarray(), self.weights[c]
            n, r = np.array(cells, dtype=np.float64)[:, None], len(pool)
            step = np.repeat(np.arange(len(mine)), cells) * (r + 1)
            for g in np.flatnonzero(truth.expressed).tolist():
                order = np.argsort(pool[:, g], kind="stable")
                below = np.vstack([np.zeros(DRAWS), np.cumsum(w[order], axis=0)])
                counts = np.zeros(len(mine) * (r + 1))
                for side in ("left", "right"):
                    place = np.searchsorted(pool[order, g], tested[:, g], side)
                    counts += np.bincount(step + place, minlength=len(counts))
                u = counts.reshape(len(mine), r + 1) @ below / 2.0
                sd = truth.z_sd[mine, g][:, None]
                out[:, mine, g] = np.where(sd > 0, (u - n * r / 2.0) / np.where(sd > 0, sd, 1.0), 0.0).T
        return out * truth.scored

    @cached_property
    def _z_norms(self) -> Floats:
        """Norm of z about its mean over scored genes ``[50, T]``."""
        n = np.maximum(self._scored.sum(axis=1), 1.0)
        z = (each.astype(np.float64) for each in self._z)
        return np.stack([np.sqrt(np.maximum((each**2).sum(axis=1) - each.sum(axis=1) ** 2 / n, 0.0)) for each in z])


def changes(values: Floats) -> Floats | None:
    """How far the mean over units of values under bootstraps ``[50, n]`` moves from its own mean ``[50]``.

    ``None`` where no unit has a value under all of them.
    """
    known = np.isfinite(values).all(axis=0)
    if not known.any():
        return None
    mean = values[:, known].mean(axis=1)
    return np.asarray(mean - mean.mean())
