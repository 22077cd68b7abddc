"""What the test conditions really did: measured against controls that no model saw, once per task, cached.

A *task* is data + split + control fold. Definitions: see the attributes of
:class:`bench.tracks.response.truth.fields.Truth`.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.core.conditions import CONTROL, constituents
from bench.core.errors import BenchError
from bench.core.files import atomic, cache_dir, sha256_file, sha256_json
from bench.core.typing import Floats
from bench.data.dataset import Dataset
from bench.data.task import Task
from bench.stats.differential import Bools, benjamini_hochberg, t_test_top, wilcoxon
from bench.stats.shifts import expressing_cells, group_sums, row_mean, train_mean, weighted_controls
from bench.tracks.response.truth import halves
from bench.tracks.response.truth.cells import Rows, axes_of, marker_genes, paired_controls, sample, values
from bench.tracks.response.truth.doubles import doubles
from bench.tracks.response.truth.fields import Truth

__all__ = ["HALVINGS", "VERSION", "compute", "load", "task_id"]
#: Changes when the same task would give other numbers.
VERSION = 1
#: Times that each test condition's cells are cut in halves.
HALVINGS = 5
#: Modules whose code makes a truth, by package.
CODE = {
    "tracks/response/truth": ("truth", "fields", "cells", "doubles", "halves"),
    "stats": ("cellspace", "epistasis", "differential", "ranksum", "halved", "shifts"),
}
#: A gene counts as expressed when at least this many train cells have it.
MIN_EXPRESSING_CELLS = 10


class Moments(NamedTuple):
    """Mean ``[K, G]``, variance ``[K, G]``, number ``[K]`` and spread ``[K]`` of the cells of K conditions."""

    mean: Floats
    var: Floats
    cells: Floats
    spread: Floats


def _evaluated(task: Task) -> tuple[str, ...]:
    dataset = task.dataset
    names = tuple(n for n in task.split.test if len(dataset.cells_of[n]) >= dataset.min_cells and n != CONTROL)
    if not names:
        raise BenchError(
            f"no test condition has {task.dataset.min_cells} cells: nothing to evaluate. Lower min_cells in the card."
        )
    return names


def _pools(task: Task) -> dict[str, list[Rows]]:
    """Rows of the input cells, input controls and reference controls, each by context."""
    index = task.dataset.barcode_index
    named = {"in": task.split.input_cells, "seen": task.split.input_controls, "ref": task.split.reference_controls}
    return {
        key: [np.array([index[b] for b in pool[c]], dtype=np.int64) for c in task.dataset.contexts]
        for key, pool in named.items()
    }


def _weights(dataset: Dataset, names: tuple[str, ...]) -> Floats:
    """Share of each condition's cells by context ``[T, C]``."""
    n = len(dataset.contexts)
    share = [
        np.bincount(dataset.context[dataset.cells_of[name]], minlength=n) / len(dataset.cells_of[name])
        for name in names
    ]
    return np.array(share).reshape(len(names), n)


def _targets(dataset: Dataset, names: tuple[str, ...]) -> Bools:
    """Genes perturbed in each condition ``[T, G]``."""
    targets = np.zeros((len(names), len(dataset.genes)), dtype=np.bool_)
    for i, name in enumerate(names):
        targets[i, [dataset.gene_index[gene] for gene in constituents(name) if gene in dataset.gene_index]] = True
    return targets


def _moments(dataset: Dataset, names: tuple[str, ...]) -> Moments:
    """Mean, variance with ddof 1, and mean over genes of the variance with ddof 0, of each condition's cells."""
    group = np.full(len(dataset.condition), -1)
    for i, name in enumerate(names):
        group[dataset.cells_of[name]] = i
    means, var, cells = group_sums(dataset.x, group, len(names))
    n = np.maximum(cells, 1)[:, None]
    means /= n
    var /= n
    var -= means**2
    np.maximum(var, 0, out=var)
    spread = var.mean(axis=1)
    var *= (cells / np.maximum(cells - 1, 1))[:, None]
    return Moments(means, var, cells, spread)


def _control_sd(dataset: Dataset, seen: Rows) -> Floats:
    """SD of the input controls, within contexts ``[G]``."""
    group = np.full(len(dataset.condition), -1)
    group[seen] = dataset.context[seen]
    sums, squares, cells = group_sums(dataset.x, group, len(dataset.contexts))
    residual = (squares - sums**2 / np.maximum(cells, 1)[:, None]).sum(axis=0)
    sd: Floats = np.sqrt(np.maximum(residual, 0) / max(1, len(seen) - len(dataset.contexts)))
    return sd


def compute(task: Task) -> Truth:
    """Compute the truth of a task in float64.

    Args:
        task: The task.

    Raises:
        BenchError: If no test condition has ``min_cells`` cells.
    """
    names = _evaluated(task)
    pools, weights = _pools(task), _weights(task.dataset, names)
    c_in, c_ref = (np.stack([row_mean(task.dataset.x, rows) for rows in pools[key]]) for key in ("in", "ref"))
    seen = np.unique(np.concatenate(pools["seen"]))  # where those of all contexts stand in, rows are in several pools
    train_rows = np.concatenate([task.dataset.rows(task.split.train), seen])
    expressed = expressing_cells(task.dataset.x, train_rows) >= MIN_EXPRESSING_CELLS
    control_sd = _control_sd(task.dataset, seen)

    test, train, control = (_moments(task.dataset, conditions) for conditions in (names, task.split.train, (CONTROL,)))
    side = halves.draw(task.dataset, names, HALVINGS, task.split.seed)
    tested = halves.halved(task.dataset, names, side)
    half_y, half_spread = halves.half_means(task.dataset, tested)
    z = wilcoxon(task.dataset.x, tested, task.dataset.context, pools["ref"])

    targets = _targets(task.dataset, names)
    top = t_test_top(test.mean, test.var, test.cells, (control.mean[0], control.var[0], float(control.cells[0])), 50)
    sampled, begins = sample(task.dataset, names, task.split.seed)
    markers = marker_genes(train.mean, control_sd, expressed & ~targets.any(axis=0))
    space = axes_of(task.dataset, train_rows, task.split.seed)
    controls = paired_controls(task.dataset, sampled, task.split.seed)
    shared: dict[str, Any] = {
        "c_in": weighted_controls(c_in, weights),
        "c_ref": weighted_controls(c_ref, weights),
        "train_delta": train_mean(train.mean - weighted_controls(c_in, _weights(task.dataset, task.split.train))),
        "train_y": train_mean(train.mean),
        "half_y": half_y,
    }
    pair_facts = {**shared, "scored": expressed & ~targets}
    return Truth(
        conditions=names,
        genes=tuple(task.dataset.genes.tolist()),
        contexts=task.dataset.contexts,
        weights=weights,
        cells=test.cells,
        y=test.mean,
        control_sd=control_sd,
        expressed=expressed,
        targets=targets,
        de_z=z[0],
        significant=benjamini_hochberg(z[0], expressed),
        half_de_z=z[1:],
        gears_control=control.mean[0],
        gears_de=top[:, :20],
        n_controls=np.array([[len(a), len(b)] for a, b in zip(pools["seen"], pools["ref"], strict=True)]),
        variance=test.var.astype(np.float32),
        legacy_de=top,
        legacy_spread=np.concatenate([test.spread[None], half_spread]),
        cell_begin=begins,
        cell_side=side[:, sampled].astype(np.int64),
        markers=markers,
        **shared,
        **space,
        **values(task.dataset, sampled, controls, begins, space, targets, markers, top[:, :20]),
        **doubles(task.dataset, names, task.split.train, task.split.seed, (c_in, c_ref), pair_facts),
    )


def task_id(task: Task) -> str:
    """Hash that names a task and the version of its truth (24 hex digits)."""
    dataset, split = task.dataset, task.split
    of = {"data": dataset.hash, "split": split.split_id, "min_cells": dataset.min_cells, "version": VERSION}
    return sha256_json(of)[:24]


@cache
def _code_hash() -> str:
    """8 hex digits of the code that computes a truth: a cache made by other code is another cache."""
    root = Path(__file__).parents[3]
    paths = [root / package / f"{name}.py" for package, names in CODE.items() for name in names]
    return sha256_json([sha256_file(path) for path in paths])[:8]


def load(task: Task) -> Truth:
    """Return the truth of a task, from the cache where it is there and whole.

    A damaged cache file is computed again, never used: every member of the archive carries a checksum.
    """
    path = cache_dir() / "truth" / f"{task_id(task)}-{_code_hash()}.npz"
    with contextlib.suppress(Exception):  # a damaged archive raises a dozen kinds
        return _read(path)
    truth = compute(task)
    with contextlib.suppress(BenchError), atomic(path) as temporary, open(temporary, "wb") as handle:
        arrays: dict[str, Any] = {f.name: np.asarray(getattr(truth, f.name)) for f in fields(Truth)}
        np.savez(handle, **arrays)
    return truth


def _read(path: Path) -> Truth:
    arrays: dict[str, Any] = {}
    with zipfile.ZipFile(path) as archive:
        for name in (f.name for f in fields(Truth)):
            # All of a member is read before any of it is parsed: zipfile checks the checksum at its end, and a header
            # that claims a smaller shape would stop short of that.
            with io.BytesIO(archive.read(f"{name}.npy")) as member:
                arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    for name in ("conditions", "genes", "contexts"):
        arrays[name] = tuple(arrays[name].tolist())
    return Truth(**arrays)
