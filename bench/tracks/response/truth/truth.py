"""What the test units really did: measured against controls that no model saw, once per task, cached.

A *task* is data + split + control fold. Definitions: see the attributes of
:class:`bench.tracks.response.truth.fields.Truth`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.core import archives
from bench.core.conditions import CONTROL, constituents, stratum
from bench.core.errors import BenchError
from bench.core.files import cache_dir, sha256_file, sha256_json
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.dataset import Dataset
from bench.data.splits.kinds import asked
from bench.data.task import Task
from bench.stats.differential import Bools, benjamini_hochberg, t_test_top, wilcoxon
from bench.stats.shifts import expressing_cells, group_sums, row_mean, train_mean
from bench.tracks.response.truth import halves
from bench.tracks.response.truth.cells import Rows, axes_of, marker_genes, paired_controls, sample, values
from bench.tracks.response.truth.doubles import doubles
from bench.tracks.response.truth.elsewhere import elsewhere
from bench.tracks.response.truth.fields import Truth
from bench.tracks.response.truth.references import reference_draws
from bench.tracks.response.truth.states import state_facts
from bench.tracks.response.truth.train import train_facts, train_z

__all__ = ["HALVINGS", "VERSION", "compute", "load", "task_id"]
#: Changes when the same task would give other numbers.
VERSION = 2
#: Times that each test unit's cells are cut in halves.
HALVINGS = 5
#: Modules whose code makes a truth, by package.
CODE = {
    "tracks/response/truth": (
        *("truth", "fields", "cells", "doubles", "elsewhere", "halves", "references", "states", "train"),
    ),
    "tracks/response/metrics": ("cache", "evaluation", "functional", "optional", "ranking"),
    "data": ("cell_states",),
    "stats": ("cellspace", "cellstates", "counts", "epistasis", "differential", "ranksum", "halved", "shifts"),
}
#: A gene counts as expressed when at least this many train cells have it.
MIN_EXPRESSING_CELLS = 10


class Moments(NamedTuple):
    """Mean ``[K, G]``, variance ``[K, G]``, number ``[K]`` and spread ``[K]`` of K groups of cells."""

    mean: Floats
    var: Floats
    cells: Floats
    spread: Floats


def _evaluated(task: Task) -> tuple[Unit, ...]:
    if not task.units:
        what = "condition" if len(task.dataset.contexts) == 1 else "condition in any context"
        raise BenchError(
            f"no test {what} has {task.dataset.min_cells} cells: nothing to evaluate. Lower min_cells in the card."
        )
    return task.units


def _pools(task: Task) -> dict[str, list[Rows]]:
    """Rows of the input cells, input controls and reference controls, each by context."""
    index = task.dataset.barcode_index
    named = {"in": task.split.input_cells, "seen": task.split.input_controls, "ref": task.split.reference_controls}
    return {
        key: [np.array([index[b] for b in pool[c]], dtype=np.int64) for c in task.dataset.contexts]
        for key, pool in named.items()
    }


def _context_of(dataset: Dataset, units: Sequence[Unit]) -> Rows:
    """Position of each unit's context ``[T]``."""
    return np.array([dataset.contexts.index(unit.context) for unit in units], dtype=np.int64)


def _targets(dataset: Dataset, units: Sequence[Unit]) -> Bools:
    """Genes perturbed in each unit ``[T, G]``."""
    targets = np.zeros((len(units), len(dataset.genes)), dtype=np.bool_)
    for i, unit in enumerate(units):
        genes = constituents(unit.perturbation)
        targets[i, [dataset.gene_index[gene] for gene in genes if gene in dataset.gene_index]] = True
    return targets


def _moments(dataset: Dataset, groups: Sequence[Rows]) -> Moments:
    """Mean, variance with ddof 1, and mean over genes of the variance with ddof 0, of each group of cells."""
    group = np.full(len(dataset.condition), -1)
    for i, rows in enumerate(groups):
        group[rows] = i
    means, var, cells = group_sums(dataset.x, group, len(groups))
    n = np.maximum(cells, 1)[:, None]
    means /= n
    var /= n
    var -= means**2
    np.maximum(var, 0, out=var)
    spread = var.mean(axis=1)
    var *= (cells / np.maximum(cells - 1, 1))[:, None]
    return Moments(means, var, cells, spread)


def _top_genes(dataset: Dataset, test: Moments, context: Rows) -> tuple[Floats, NDArray[np.int64]]:
    """Mean of all controls of each context ``[C, G]``, and each unit's top-50 genes against those of its own.

    A context without controls has those of all contexts.
    """
    controls = dataset.cells_of[CONTROL]
    own = [controls[dataset.context[controls] == c] for c in range(len(dataset.contexts))]
    control = _moments(dataset, [rows if len(rows) else controls for rows in own])
    top = np.empty((len(context), min(50, len(dataset.genes))), dtype=np.int64)
    for c in np.unique(context).tolist():
        mine = context == c
        of = control.mean[c], control.var[c], float(control.cells[c])
        top[mine] = t_test_top(test.mean[mine], test.var[mine], test.cells[mine], of, 50)
    return control.mean, top


def _control_sd(dataset: Dataset, seen: Rows) -> Floats:
    """SD of the input controls, within contexts ``[G]``."""
    group = np.full(len(dataset.condition), -1)
    group[seen] = dataset.context[seen]
    sums, squares, cells = group_sums(dataset.x, group, len(dataset.contexts))
    residual = (squares - sums**2 / np.maximum(cells, 1)[:, None]).sum(axis=0)
    sd: Floats = np.sqrt(np.maximum(residual, 0) / max(1, len(seen) - len(dataset.contexts)))
    return sd


def _replicate_controls(task: Task, c_in: Floats) -> Floats:
    """Mean of the controls that a replicate is measured from, by context ``[C, G]``; see :class:`Truth`.

    What the cells allow does not depend on how many of them, or how much of each, a split shows to models.
    """
    dataset, split = task.dataset, task.split
    wanted = asked(split.kind)
    if wanted.input_cells is None and wanted.input_depth >= 1:
        return c_in
    x, controls = dataset.x if dataset.deep is None else dataset.deep, dataset.cells_of[CONTROL]
    out = c_in.copy()
    for name in split.held_out_contexts:
        c = dataset.contexts.index(name)
        own = controls[dataset.context[controls] == c]
        spare = own[~np.isin(dataset.barcodes[own], split.reference_controls[name])]
        if len(spare):  # a context with too few controls is not evaluated
            out[c] = row_mean(x, spare)
    return out


def compute(task: Task) -> Truth:
    """Compute the truth of a task in float64.

    Args:
        task: The task.

    Raises:
        BenchError: If no test unit has ``min_cells`` cells.
    """
    dataset, split = task.dataset, task.split
    units, learned = _evaluated(task), task.units_of("train")
    context, train_context = (_context_of(dataset, of) for of in (units, learned))
    groups = [dataset.unit_rows(unit) for unit in units]
    pools = _pools(task)
    c_in, c_ref = (np.stack([row_mean(dataset.x, rows) for rows in pools[key]]) for key in ("in", "ref"))
    c_rep = _replicate_controls(task, c_in)
    seen = np.unique(np.concatenate(pools["seen"]))  # where those of all contexts stand in, rows are in several pools
    train_rows = np.concatenate([task.rows("train"), seen])
    expressed = expressing_cells(dataset.x, train_rows) >= MIN_EXPRESSING_CELLS
    control_sd = _control_sd(dataset, seen)

    test, train = _moments(dataset, groups), _moments(dataset, [dataset.unit_rows(unit) for unit in learned])
    side = halves.draw(groups, len(dataset.condition), HALVINGS, split.seed)
    tested = halves.halved(groups, side)
    half_y, half_spread = halves.half_means(dataset, tested)
    z = wilcoxon(dataset.x, tested, dataset.context, pools["ref"])

    targets = _targets(dataset, units)
    gears_control, top = _top_genes(dataset, test, context)
    sampled, begins = sample(groups, split.seed)
    # Contexts differ more than perturbations do: what their controls differ by is taken off (0 with one context).
    levelled = train.mean - (c_in - c_in.mean(axis=0))[train_context]
    markers = marker_genes(levelled, control_sd, expressed & ~targets.any(axis=0))
    space = axes_of(dataset, train_rows, split.seed)
    controls = paired_controls(dataset, sampled, split.seed)
    shifts = train.mean - c_in[train_context]
    given = train_facts(
        shifts,
        _shift_noise(train, control_sd, np.array([len(rows) for rows in pools["in"]])[train_context]),
        train_z(dataset, [dataset.unit_rows(unit) for unit in learned], pools["seen"]),
        expressed & ~_targets(dataset, learned),
        expressed,
        np.array([stratum(unit.perturbation) for unit in learned], dtype=np.str_),
    )
    others = elsewhere(shifts, learned, units)
    shared: dict[str, Any] = {
        "c_in": c_in[context],
        "c_ref": c_ref[context],
        "c_rep": c_rep[context],
        "train_delta": train_mean(shifts),
        "train_y": train_mean(train.mean),
        "half_y": half_y,
    }
    pair_facts = {**shared, "scored": expressed & ~targets}
    return Truth(
        conditions=tuple(unit.perturbation for unit in units),
        context=context,
        genes=tuple(dataset.genes.tolist()),
        contexts=dataset.contexts,
        cells=test.cells,
        y=test.mean,
        control_sd=control_sd,
        expressed=expressed,
        targets=targets,
        de_z=z[0],
        significant=benjamini_hochberg(z[0], expressed),
        half_de_z=z[1:],
        gears_control=gears_control,
        gears_de=top[:, :20],
        n_controls=np.array([[len(a), len(b)] for a, b in zip(pools["seen"], pools["ref"], strict=True)]),
        variance=test.var.astype(np.float32),
        legacy_de=top,
        legacy_spread=np.concatenate([test.spread[None], half_spread]),
        cell_begin=begins,
        cell_side=side[:, sampled].astype(np.int64),
        markers=markers,
        subgroup=_subgroups(task, units),
        elsewhere=np.array(list(others.values())).reshape(len(others), *test.mean.shape),
        elsewhere_names=tuple(others),
        **shared,
        **given,
        **reference_draws(dataset, tested, context, pools["ref"], pair_facts),
        **space,
        **values(dataset, sampled, controls, begins, space, targets, markers, top[:, :20]),
        **doubles(dataset, units, learned, split.seed, (c_in, c_ref), pair_facts),
        **state_facts(task, context, side),
    )


def _shift_noise(train: Moments, control_sd: Floats, inputs: NDArray[np.int64]) -> Floats:
    """Sampling variance of train shifts ``[U, G]``: of the units' cells, and of their context's input cells."""
    own: Floats = train.var / np.maximum(train.cells, 1)[:, None]
    return own + control_sd**2 / np.maximum(inputs, 1)[:, None]


def _subgroups(task: Task, units: Sequence[Unit]) -> tuple[str, ...]:
    """Subgroup of each unit ``[T]``; empty = none."""
    return tuple(task.split.subgroup_of(unit) for unit in units)


def task_id(task: Task) -> str:
    """Hash that names a task and the version of its truth (24 hex digits)."""
    dataset, split = task.dataset, task.split
    of = {"data": dataset.hash, "split": split.split_id, "min_cells": dataset.min_cells, "version": VERSION}
    if len(dataset.contexts) > 1:
        of["unit"] = "condition in context"  # version 1 once averaged over contexts
    return sha256_json(of)[:24]


@cache
def _code_hash() -> str:
    """8 hex digits of the code that computes a truth: a cache made by other code is another cache."""
    root = Path(__file__).parents[3]
    paths = [root / package / f"{name}.py" for package, names in CODE.items() for name in names]
    return sha256_json([sha256_file(path) for path in paths])[:8]


def load(task: Task) -> Truth:
    """Return the truth of a task, from the cache where it is there and whole.

    A damaged cache file is computed again, never used.
    """
    stem = f"{task_id(task)}-{_code_hash()}"
    path = cache_dir() / "truth" / f"{stem}.npz"
    names = [f.name for f in fields(Truth) if f.init]
    found = archives.kept(path, names)
    truth = compute(task) if found is None else Truth(**found)
    if found is None:
        archives.keep(path, {name: getattr(truth, name) for name in names})
    object.__setattr__(truth, "stem", stem)
    return truth
