"""Which perturbation made a bag of cells of a held-out context, a second time."""

from __future__ import annotations

import numpy as np

from bench.audit.second.apart import Apart, Cells
from bench.audit.second.embedded import Floats, unit_length
from bench.audit.second.recognised import bag, chance, halved, means, measured, members

#: Cells of a bag; halvings.
BAGS, DRAWS = (1, 5, 20, 100), 20


def identified(apart: Apart, seed: int) -> tuple[dict[str, Floats], dict[str, float]]:
    """Values of units, and numbers of the run; both empty with fewer than two perturbations in common."""
    start = _origins(apart.roles["target_controls"])
    names, entries = _gallery(apart)
    target = apart.roles["target"]
    unit = apart.unit_of(target)
    asked = [
        i
        for i, (context, perturbation) in enumerate(apart.units)
        if (unit == i).sum() >= 2 and perturbation in names and context in start
    ]
    if len(names) < 2 or not asked:
        return {}, {}
    cells = target.at(np.isin(unit, asked))
    unit = np.searchsorted(asked, apart.unit_of(cells))
    right = np.array([names.index(apart.units[i][1]) for i in asked])
    context = np.array([apart.units[i][0] for i in asked])
    origin = np.stack([start[c] for c in context.tolist()])
    rng = np.random.default_rng([seed, 0xBA])
    found: dict[str, list[Floats]] = {}
    same: dict[int, list[Floats]] = {n: [] for n in BAGS}
    for _ in range(DRAWS):
        asks = halved(unit, cells.batch, rng)
        halves = unit_length(means(cells.z, members(unit, ~asks)) - origin)
        for n in BAGS:
            queries = unit_length(means(cells.z, bag(unit, asks, n, rng)) - origin)
            for measure, each in measured(queries @ entries.T, right).items():
                found.setdefault(f"identify_{measure}_{n}", []).append(each)
            for here in (np.flatnonzero(context == c) for c in sorted(set(context.tolist()))):
                if len(here) > 1:
                    own = measured(queries[here] @ halves[here].T, np.arange(len(here)))
                    same[n].append(own["mrr"])
    values = {}
    for name, every in found.items():
        values[name] = np.full(len(apart.units), np.nan)
        values[name][asked] = (np.median if "_rank_" in name else np.mean)(np.stack(every), axis=0)
    numbers = {f"identify_mrr_{n}_same": float(np.concatenate(of).mean()) for n, of in same.items() if of}
    return values, numbers | {f"identify_{name}_chance": value for name, value in chance(len(names)).items()}


def _origins(controls: Cells) -> dict[int, Floats]:
    """Mean latent of each context's controls."""
    return {c: controls.z[controls.context == c].mean(axis=0) for c in np.unique(controls.context).tolist()}


def _gallery(apart: Apart) -> tuple[list[int], Floats]:
    """Shared perturbations that a source context with controls knows, and their mean shifts, at length 1."""
    cells, start = apart.roles["source"], _origins(apart.roles["source_controls"])
    shifts: dict[int, list[Floats]] = {}
    for name in apart.shared:
        for c, origin in start.items():
            mine = (cells.perturbation == name) & (cells.context == c)
            if mine.any():
                shifts.setdefault(name, []).append(cells.z[mine].mean(axis=0) - origin)
    rows = [np.mean(of, axis=0) for of in shifts.values()]
    return list(shifts), unit_length(np.array(rows).reshape(len(rows), cells.z.shape[1]))
