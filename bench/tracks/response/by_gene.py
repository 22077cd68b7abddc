"""A prediction gene by gene: what moves in each condition, and what was predicted to."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.core.conditions import written
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.tracks.response.truth.fields import Truth


def by_gene(truth: Truth, y_hat: Floats, top: int | None = 20) -> pd.DataFrame:
    """Put predicted shifts beside the observed ones, for the genes that move most surely in each test unit.

    Shifts are those that metrics compare: predicted against the input cells, observed against the reference controls,
    of expressed genes, the perturbed ones left out.

    Args:
        truth: Truth of the task, of T units and G genes.
        y_hat: Predicted means ``[T, G]``.
        top: Genes of each unit, by the size of ``z``; None = all that are scored.

    Returns:
        A row per unit and gene: ``condition``, ``context``, ``gene``, ``predicted`` and ``observed`` shift, ``z`` (of
        the Wilcoxon test of the unit's cells against the reference controls), ``de`` (significant at 5% by
        Benjamini-Hochberg), ``sign_right`` (both shifts point the same way; no shift points nowhere).

    Raises:
        BenchError: ``top`` is under 1.
    """
    if top is not None and top < 1:
        raise BenchError(f"top {top}: expected a number of genes from 1.")
    predicted, observed = y_hat - truth.c_in, truth.y - truth.c_ref
    genes, scored, parts = np.array(truth.genes), truth.scored, []
    for t, unit in enumerate(truth.units):
        order = np.argsort(-np.abs(truth.de_z[t]), kind="stable")
        chosen = order[scored[t][order]][:top]
        parts.append(
            pd.DataFrame(
                {
                    "condition": written(unit.perturbation),
                    "context": unit.context,
                    "gene": genes[chosen],
                    "predicted": predicted[t, chosen],
                    "observed": observed[t, chosen],
                    "z": truth.de_z[t, chosen],
                    "de": truth.significant[t, chosen],
                    "sign_right": predicted[t, chosen] * observed[t, chosen] > 0,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
