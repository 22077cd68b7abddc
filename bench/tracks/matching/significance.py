"""From average precision of profiles to labels: mean, p and q, and which are retrieved."""

from __future__ import annotations

import contextlib
import functools
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from bench.core.typing import Floats
from bench.tracks.matching.options import Options
from bench.tracks.matching.precision import Ints

#: Seed of the null, as the published scripts set it.
NULL_SEED = 0


@functools.cache
def _null_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="bench-null-")


def prepared(n_pos: Ints, n_total: Ints, null_size: int) -> Path:
    """Draw the null of every kind of list that is asked for, where copairs looks for it; return that folder.

    Left to itself copairs keeps nulls in the user's home, each drawn with a seed that depends on what else was asked
    for in the call that first needed it: p would depend on what was computed before. Here the seed is that of the list.
    """
    from copairs import compute

    folder = Path(_null_folder().name)
    kept = folder / f"seed{NULL_SEED}" / f"ns{null_size}"
    kept.mkdir(parents=True, exist_ok=True)
    for pos, total in sorted(set(zip(n_pos.tolist(), n_total.tolist()))):
        path = kept / f"n{total}_k{pos}.npy"
        if not path.exists():
            seed = [NULL_SEED, total, pos]
            np.save(path, compute.random_ap(null_size, pos, total, seed))
    return folder


def retrieved(ap: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Judge every label by the average precision of its profiles.

    Args:
        ap: Columns of :meth:`bench.tracks.matching.precision.Precision.frame`.
        options: How.

    Returns:
        By ``label``: ``mean_average_precision``, ``mean_normalized_average_precision``, ``p_value``,
        ``corrected_p_value`` (Benjamini and Hochberg over labels), ``retrieved``, ``n_profiles``.
    """
    n_pos, n_total = ap["n_pos_pairs"].to_numpy(np.int64), ap["n_total_pairs"].to_numpy(np.int64)
    cache = prepared(n_pos, n_total, options.null_size)
    from copairs.map import mean_average_precision

    with _quiet():
        table = mean_average_precision(
            ap,
            ["label"],
            null_size=options.null_size,
            threshold=options.threshold,
            seed=NULL_SEED,
            progress_bar=False,
            max_workers=2,
            cache_dir=cache,
        )
    if options.aggregation == "geomean_p":
        p = profile_p(ap, options.null_size)
        table["p_value"] = np.exp(
            pd.Series(np.log(p)).groupby(ap["label"].to_numpy()).mean().loc[table["label"]]
        ).to_numpy()
        table["corrected_p_value"] = benjamini_hochberg(table["p_value"].to_numpy())
    counts = ap.groupby("label").size()
    return pd.DataFrame(
        {
            "label": table["label"],
            "mean_average_precision": table["mean_average_precision"],
            "mean_normalized_average_precision": table["mean_normalized_average_precision"],
            "p_value": table["p_value"],
            "corrected_p_value": table["corrected_p_value"],
            "retrieved": table["corrected_p_value"] < options.threshold,
            "n_profiles": counts.loc[table["label"]].to_numpy(),
        }
    )


def profile_p(ap: pd.DataFrame, null_size: int) -> Floats:
    """Tell how many random orders are at least as good as each profile, as a share its p ``[Q]``.

    Source: ``copairs.map.average_precision.p_values``, which keeps its nulls in the user's home and cannot be told
    otherwise.
    """
    n_pos, n_total = ap["n_pos_pairs"].to_numpy(np.int64), ap["n_total_pairs"].to_numpy(np.int64)
    folder = prepared(n_pos, n_total, null_size) / f"seed{NULL_SEED}" / f"ns{null_size}"
    scores, out = ap["average_precision"].to_numpy(), np.empty(len(ap))
    for pos, total in sorted(set(zip(n_pos.tolist(), n_total.tolist()))):
        null = np.sort(np.load(folder / f"n{total}_k{pos}.npy"))
        here = (n_pos == pos) & (n_total == total)
        as_good = null_size - np.searchsorted(null, scores[here].astype(np.float32))
        out[here] = (as_good + 1) / (null_size + 1)
    return out


def few_pairs(ap: pd.DataFrame, options: Options) -> str:
    """Say where pairs are so few that "found" says little; empty = it does say something.

    A random order has all ``M`` right ones of ``L`` first with probability ``1 / C(L, M)``. Profiles of one kind of
    list get the same random draw, so that more of them do not lower it. Where it is above the threshold, ``geomean_p``
    finds nothing; ``mean_ap_null`` finds whoever is perfect, as copairs counts only the orders that are better.

    Args:
        ap: See :func:`retrieved`.
        options: How labels are judged.
    """
    from scipy.special import comb

    kinds = ap[["label", "n_pos_pairs", "n_total_pairs"]].drop_duplicates()
    best = 1 / comb(kinds["n_total_pairs"].to_numpy(float), kinds["n_pos_pairs"].to_numpy(float))
    by_label = pd.Series(best).groupby(kinds["label"].to_numpy()).prod()
    if by_label.empty or by_label.min() < options.threshold:
        return ""
    pairs = kinds[kinds["label"] == by_label.idxmin()].iloc[0]
    chance = f"by chance all {pairs['n_pos_pairs']} right of {pairs['n_total_pairs']} pairs are first with p = "
    chance += f"{by_label.min():.3g}"
    if options.aggregation == "geomean_p":
        return f"nothing can be found at q < {options.threshold:g}: {chance}; look at mAP*"
    return f"'found' says little: {chance}, and whoever is perfect counts as found; look at mAP*"


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjusted p ``[L]``."""
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p, method="bh")) if len(p) else p


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence copairs' log of its steps."""
    logger = logging.getLogger("copairs")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
