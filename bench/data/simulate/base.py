"""What every generator hands over: cells, and the genes they were drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from bench.core.typing import Floats

Bools = NDArray[np.bool_]
Codes = NDArray[np.int64]
Strings = NDArray[np.str_]


@dataclass(frozen=True)
class DrawnGenes:
    """What is known of the genes before a cell is drawn.

    Attributes:
        genes: Names ``[G]``.
        outgoing: What a perturbation of each gene does to each program of genes ``[G, programs]``.
        feature_tables: Noisy views, of ``outgoing`` among others, ``[G, width]`` each.
    """

    genes: Strings
    outgoing: Floats
    feature_tables: dict[str, Floats]


@dataclass(frozen=True)
class Cells:
    """Cells in random order."""

    counts: sp.csr_matrix  # [cells, genes], int32
    ncounts: Codes  # [cells], UMIs of the whole cell, unmeasured genes included
    genes: Strings  # [genes]
    barcodes: Strings  # [cells], unique
    condition: Strings  # [cells], GEARS names: ctrl, G012+ctrl, G034+G012
    context: Strings  # [cells]
    batch: Strings  # [cells]


def gene_names(n: int) -> Strings:
    """Names of ``n`` genes ``[n]``, of one width: G000, G001, ..."""
    return np.array([f"G{i:0{len(str(n - 1))}d}" for i in range(n)])


def noisy_view(features: Floats, width: int, noise: float, rng: np.random.Generator) -> Floats:
    """Random mixtures ``[rows, width]`` of the columns of ``features [rows, columns]``, with noise of ``noise`` SD."""
    mixed = features @ rng.standard_normal((features.shape[1], width))
    return np.asarray(mixed + noise * mixed.std(axis=0) * rng.standard_normal(mixed.shape))
