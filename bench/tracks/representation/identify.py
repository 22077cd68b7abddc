"""Reverse identification across contexts: which perturbation made a bag of cells of a context that was held out?

Query: mean latent of the bag less that of the context's input controls. Gallery: the same difference of each
perturbation in every source context, averaged over these. By cosine.
"""

from __future__ import annotations

import numpy as np

from bench.core.typing import Floats
from bench.data.heldout import Rows
from bench.stats.embedding import normalise
from bench.stats.intervals import nanmean
from bench.tracks.representation.across import Across, Cells
from bench.tracks.representation.across_metrics import BAGS
from bench.tracks.representation.retrieval import (
    MEASURES,
    chance,
    half_split,
    rank_measures,
    subsample_units,
    unit_means,
)

#: Bags of each size, each from another half of the unit.
DRAWS = 20
#: What is found of each unit.
COLUMNS = tuple(f"{measure}_{n}" for n in BAGS for measure in MEASURES)


def identify(across: Across, seed: int) -> tuple[dict[str, Floats], dict[str, float]]:
    """Identify every held-out unit whose perturbation is known from a source context.

    Args:
        across: The cells.
        seed: Of the bags.

    Returns:
        ``identify_<measure>_<cells>`` of each unit ``[U]``, averaged over bags (``rank``: their median), NaN =
        undefined; and numbers of the run: chance, and the ceiling ``identify_mrr_<cells>_same``, whose gallery
        is made of the other halves of the units of the query's own context. Empty with fewer than two perturbations.
    """
    source = across["source"]
    source = source.take(np.isin(source.condition, across.shared))
    names, gallery = shift_gallery(source, across["source_controls"])
    at, cells = _asked(across, names)
    if len(names) < 2 or not len(at):
        return {}, {}
    entry = np.searchsorted(names, across.units[at, 0])
    starts = _start(across["target_controls"], across.units[at, 1])
    unit = np.searchsorted(at, across.unit_of(cells))
    contexts = np.unique(across.units[at, 1], return_inverse=True)[1]
    bags = {name: np.full((DRAWS, len(at)), np.nan) for name in COLUMNS}
    same = {n: np.full((DRAWS, len(at)), np.nan) for n in BAGS}
    rng = np.random.default_rng([seed, 0xBA])
    for draw in range(DRAWS):
        query = half_split(unit, cells.batch, rng)
        others = normalise(unit_means(cells.z, unit, ~query, len(at)) - starts)
        for n in BAGS:
            shifts = unit_means(cells.z, unit, subsample_units(unit, query, n, rng), len(at)) - starts
            bag = normalise(shifts)
            for measure, values in rank_measures(bag @ gallery.T, entry).items():
                bags[f"{measure}_{n}"][draw] = values
            for rows in (np.flatnonzero(contexts == c) for c in np.unique(contexts).tolist()):
                if len(rows) > 1:
                    same[n][draw, rows] = rank_measures(bag[rows] @ others[rows].T, np.arange(len(rows)))["mrr"]
    out = {}
    for name, values in bags.items():
        out[f"identify_{name}"] = whole = np.full(len(across.units), np.nan)
        whole[at] = _over_bags(name, values)
    ceiling = {f"identify_mrr_{n}_same": float(nanmean(values.ravel())) for n, values in same.items()}
    numbers = {name: value for name, value in ceiling.items() if np.isfinite(value)}
    return out, numbers | {f"identify_{name}_chance": value for name, value in chance(len(names)).items()}


def _asked(across: Across, names: Rows) -> tuple[Rows, Cells]:
    """Units that are in the gallery and have two cells, and controls of their own; and their cells."""
    cells = across["target"]
    unit = across.unit_of(cells)
    enough = np.bincount(unit[unit >= 0], minlength=len(across.units)) >= 2
    known = np.isin(across.units[:, 0], names) & np.isin(across.units[:, 1], across["target_controls"].context)
    at = np.flatnonzero(enough & known)
    return at, cells.take(np.isin(unit, at))


def _over_bags(name: str, values: Floats) -> Floats:
    """Average a measure over the bags of each unit ``[bags, U] -> [U]``; of ranks the median."""
    return np.asarray(np.median(values, axis=0) if name.startswith("rank") else values.mean(axis=0))


def shift_gallery(cells: Cells, controls: Cells) -> tuple[Rows, Floats]:
    """Mean latent shifts of perturbations, each context counting once, at length 1.

    Args:
        cells: Perturbed cells of source contexts.
        controls: Their input controls.

    Returns:
        The perturbations ``[P]``, sorted, and their shifts ``[P, D]``.
    """
    usable = cells.take(np.isin(cells.context, controls.context))
    pairs, unit = np.unique(np.stack([usable.condition, usable.context], axis=1), axis=0, return_inverse=True)
    everything = np.ones(len(usable), dtype=bool)
    unit = unit.reshape(-1)
    shifts = unit_means(usable.z, unit, everything, len(pairs)) - _start(controls, pairs[:, 1])
    names, place = np.unique(pairs[:, 0], return_inverse=True)
    return names, normalise(unit_means(shifts, place, np.ones(len(pairs), dtype=bool), len(names)))


def _start(controls: Cells, contexts: Rows) -> Floats:
    """Mean latent of each context's controls ``[n, D]``."""
    here, place = np.unique(controls.context, return_inverse=True)
    means = unit_means(controls.z, place, np.ones(len(controls), dtype=bool), len(here))
    return np.asarray(means[np.searchsorted(here, contexts)])
