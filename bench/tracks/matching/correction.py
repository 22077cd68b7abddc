"""Corrections of profiles, each fitted on negative controls alone and applied to all wells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.core.typing import Floats
from bench.data.profiles.wells import Mask, Wells
from bench.tracks.matching.options import Options

#: With fewer negative controls than this nothing is fitted on them.
MIN_CONTROLS = 4
#: Most components. Source: CellCLIP's evaluation.
MAX_COMPONENTS = 500


@dataclass(frozen=True, eq=False)
class Corrected:
    """Profiles after a correction.

    Attributes:
        x: ``[N, F]``.
        n_controls: Negative controls that it was fitted on.
        n_components: Dimensions that it leaves, where it chooses some.
        limited: Wells of plates with too few controls to be corrected ``[N]``: their values mean nothing.
    """

    x: Floats
    n_controls: int
    n_components: int | None
    limited: Mask


def correct(wells: Wells, options: Options) -> Corrected:
    """Correct the profiles of an experiment."""
    x = _by_plate(wells.x, wells, np.ones(len(wells), dtype=np.bool_)) if options.plate_scale == "wells" else wells.x
    nobody = np.zeros(len(wells), dtype=np.bool_)
    n = int(wells.control.sum())
    if options.correction == "none":
        return Corrected(x, 0, None, nobody)
    if options.correction == "plate_z":
        few = [p for p in np.unique(wells.plate) if (wells.control & (wells.plate == p)).sum() < MIN_CONTROLS]
        return Corrected(_by_plate(x, wells, wells.control), n, None, np.isin(wells.plate, few))
    if n < MIN_CONTROLS:
        return Corrected(x, n, None, ~nobody)
    fits: dict[str, Callable[[Floats, Floats], tuple[Floats, int]]] = {"kpca": _kernel_pca, "sphering": _sphering}
    values, components = fits[options.correction](x, x[wells.control])
    return Corrected(values, n, components, nobody)


def _by_plate(x: Floats, wells: Wells, among: Mask) -> Floats:
    """Standardise each plate by the mean and SD of some of its wells; what does not vary among them becomes 0."""
    out = np.zeros_like(x)
    for plate in np.unique(wells.plate):
        here = wells.plate == plate
        if not (here & among).any():
            continue
        block = x[here & among]
        sd = block.std(axis=0)
        scale = np.where(sd > 1e-9 * np.maximum(1e-9, np.abs(block).max(axis=0)), sd, np.inf)
        out[here] = (x[here] - block.mean(axis=0)) / scale
    return out


def _kernel_pca(x: Floats, controls: Floats) -> tuple[Floats, int]:
    """Scores on the principal components of the controls, by a linear kernel.

    Source: CellCLIP's evaluation: ``KernelPCA(n_components=500, kernel="linear")``.
    """
    from sklearn.decomposition import KernelPCA

    n = min(MAX_COMPONENTS, len(controls) - 1, x.shape[1])
    # A fixed start: the solver for few of many components begins at random otherwise.
    return np.asarray(KernelPCA(n_components=n, kernel="linear", random_state=0).fit(controls).transform(x)), n


def _sphering(x: Floats, controls: Floats) -> tuple[Floats, int]:
    """Centre by the controls and multiply by the inverse root of their covariance.

    The covariance is shrunk, as there may be fewer controls than features.

    Source: typical variation normalisation, Ando, McLean and Berndl 2017; shrinkage: Ledoit and Wolf 2004.
    """
    from sklearn.covariance import LedoitWolf

    sd = controls.std(axis=0)
    varies = sd > 1e-9 * np.maximum(1e-9, np.abs(controls).max(axis=0))
    if not varies.any():  # as of a constant encoder: nothing tells one well from another
        return np.zeros_like(x), 0
    mean, sd = controls.mean(axis=0)[varies], sd[varies]
    covariance = LedoitWolf().fit((controls[:, varies] - mean) / sd).covariance_
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors / np.sqrt(np.maximum(values, 1e-12))) @ vectors.T
    return np.asarray(((x[:, varies] - mean) / sd) @ root), int(varies.sum())
