"""What the truth keeps of doubles: the shifts of their singles, from all cells and from two disjoint halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.core.conditions import constituents, single, treatment_of
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.dataset import Dataset
from bench.stats.epistasis import Bools, agreement, resolved, unshared_agreement
from bench.stats.shifts import group_sums, row_mean


def singles_of(units: Sequence[Unit], train: Sequence[Unit]) -> dict[int, tuple[Unit, ...]]:
    """Train singles, in its own context, of each test unit that is a combination of nothing else, by position."""
    spelled = {unit.identity: unit for unit in train}
    found = {}
    for i, unit in enumerate(units):
        genes = constituents(unit.perturbation)
        alone = [single(gene, treatment_of(unit.perturbation)) for gene in genes]
        parts = [spelled.get(Unit(name, unit.context).identity) for name in alone]
        known = tuple(part for part in parts if part is not None)
        if len(genes) > 1 and len(known) == len(genes):
            found[i] = known
    return found


def additive_shifts(
    dataset: Dataset, singles: dict[int, tuple[Unit, ...]], seed: int, c_in: Floats, c_ref: Floats
) -> Floats:
    """Sum of the singles' shifts of each double.

    Args:
        dataset: The cells.
        singles: From :func:`singles_of`, D doubles.
        seed: Seed of the halves.
        c_in: Mean of the input cells by context ``[C, G]``.
        c_ref: Mean of the reference controls by context ``[C, G]``.

    Returns:
        ``[4, D, G]``: from all cells, from one half and from the other half of the singles' cells, all against the
        input cells; and what to add to have them against the reference controls.
    """
    used = sorted({unit for parts in singles.values() for unit in parts})
    group = np.full(len(dataset.condition), -1)
    for i, unit in enumerate(used):
        rng = np.random.default_rng([seed, 0xE915, i])
        shuffled = rng.permutation(dataset.unit_rows(unit))
        group[shuffled] = 2 * i + (np.arange(len(shuffled)) % 2)
    context = [dataset.contexts.index(unit.context) for unit in used]
    sums, _, cells = group_sums(dataset.x, group, 2 * len(used))
    inputs = c_in[context]
    halves = [sums[k::2] / np.maximum(cells[k::2], 1)[:, None] for k in (0, 1)]
    whole = (sums[0::2] + sums[1::2]) / np.maximum(cells[0::2] + cells[1::2], 1)[:, None]
    # A single of one cell has no second half: the mean of all stands in, and the double will not be resolved.
    halves = [np.where((cells[k::2] > 0)[:, None], halves[k], whole) for k in (0, 1)]
    parts = [whole - inputs, halves[0] - inputs, halves[1] - inputs, inputs - c_ref[context]]
    position = {unit: i for i, unit in enumerate(used)}
    return np.stack(
        [np.array([part[[position[unit] for unit in pair]].sum(axis=0) for pair in singles.values()]) for part in parts]
    ).reshape(4, len(singles), sums.shape[1])


def kept_shifts(kept: Dataset | None, singles: dict[int, tuple[Unit, ...]], c_ref: Floats) -> tuple[Floats, Bools]:
    """Sum of the shifts from the reference controls of each double's singles, in cells that are kept from all models.

    Args:
        kept: These cells; None = there are none.
        singles: From :func:`singles_of`, D doubles.
        c_ref: Mean of the reference controls by context ``[C, G]``.

    Returns:
        ``[D, G]``, 0 where unknown; and whether both singles have kept cells ``[D]``.
    """
    sums, known = np.zeros((len(singles), c_ref.shape[1])), np.zeros(len(singles), dtype=np.bool_)
    for i, parts in enumerate(singles.values() if kept is not None else ()):
        assert kept is not None
        rows = [kept.unit_rows(unit) for unit in parts]
        known[i] = all(map(len, rows))
        if known[i]:
            context = kept.contexts.index(parts[0].context)
            sums[i] = sum(row_mean(kept.x, of) - c_ref[context] for of in rows)
    return sums, known


def doubles(
    dataset: Dataset,
    units: Sequence[Unit],
    train: Sequence[Unit],
    seed: int,
    pools: tuple[Floats, Floats],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Additive shifts of the test doubles, and which of them do measurably more than their singles.

    Args:
        dataset: The cells.
        units: Test units ``[T]``.
        train: Train units.
        seed: Seed of the halves.
        pools: Means of input cells and of reference controls by context ``[C, G]``.
        facts: ``c_rep``, ``c_ref``, ``train_y``, ``train_delta``, ``half_y`` and ``scored`` of the truth.

    Returns:
        ``double_row [T]`` (-1 = not a double of two train singles), ``additive [4, D, G]`` (see
        :func:`additive_shifts`) and ``epistasis_resolved [T]``; ``kept_additive [D, G]`` (:func:`kept_shifts`) and
        ``kept_resolved [T]``, the same by singles whose cells are kept from all models.
    """
    found = singles_of(units, train)
    row = np.full(len(units), -1, dtype=np.int64)
    row[list(found)] = np.arange(len(found))
    known: Bools = np.zeros(len(units), dtype=np.bool_)
    additive = np.zeros((4, 0, len(dataset.genes)), dtype=np.float32)
    kept, has_kept = kept_shifts(dataset.kept, found, pools[1])
    kept_known = known.copy()
    if found:
        additive = additive_shifts(dataset, found, seed, *pools).astype(np.float32)
        at = np.array(list(found))
        c_rep, c_ref, scored = facts["c_rep"][at], facts["c_ref"][at], facts["scored"][at]
        halves = additive[1:3].astype(np.float64)
        mine = np.tile(facts["train_delta"], (len(at), 1))
        truth_side = (halves + additive[3], facts["train_y"] - c_ref)
        values = [
            agreement((facts["half_y"][h, at] - c_ref, *truth_side), (facts["half_y"][h ^ 1, at] - c_rep, halves, mine),
                      scored)
            for h in range(len(facts["half_y"]))
        ]  # fmt: skip
        replicates = np.mean([values[0::2], values[1::2]], axis=0)
        known[at] = resolved(replicates, scored.sum(axis=1).astype(np.float64))
        if has_kept.any():
            to_train = np.stack([kept, additive[0] + additive[3]])
            values = [
                unshared_agreement((facts["half_y"][h, at] - c_ref, to_train, facts["train_y"] - c_ref),
                                   (facts["half_y"][h ^ 1, at] - c_rep, additive[0].astype(np.float64), mine), scored)
                for h in range(len(facts["half_y"]))
            ]  # fmt: skip
            replicates = np.mean([values[0::2], values[1::2]], axis=0)
            kept_known[at] = resolved(replicates, scored.sum(axis=1).astype(np.float64)) & has_kept
    return {
        "double_row": row,
        "additive": additive,
        "epistasis_resolved": known,
        "kept_additive": kept.astype(np.float32),
        "kept_resolved": kept_known,
    }
