"""What the test conditions really did: measured against controls that no model saw, once per task, cached.

A *task* is data + split + control fold. Definitions: see ``docs`` of each attribute of :class:`Truth`.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.conditions import CONTROL, constituents
from bench.data.cells import PerturbationData
from bench.data.splits import Split
from bench.differential import benjamini_hochberg, t_test_top, wilcoxon_by_context
from bench.errors import BenchError
from bench.files import atomic, cache_dir, sha256_file, sha256_json
from bench.shifts import Floats, group_sums, row_mean, train_mean, weighted_controls
from bench.truth_cells import axes_of, paired_controls, panel_genes, sample, values
from bench.truth_doubles import doubles
from bench.truth_fields import Truth

__all__ = ["HALVINGS", "VERSION", "Truth", "compute", "load", "task_id"]
#: Changes when the same task would give other numbers.
VERSION = 1
#: Times that each test condition's cells are cut in halves.
HALVINGS = 5
#: Modules whose code makes a truth.
CODE = ("truth", "truth_fields", "truth_cells", "truth_doubles", "cellspace", "epistasis", "differential", "shifts")
#: A gene counts as expressed when at least this many train cells have it.
MIN_EXPRESSING_CELLS = 10


def _mean(sums: Floats, cells: Floats) -> Floats:
    return np.asarray(sums / np.maximum(cells, 1)[..., None])


def _spread(sums: Floats, squares: Floats, cells: Floats) -> Floats:
    """Mean over genes of the variance within each group, ddof 0."""
    return np.asarray(np.maximum(_mean(squares, cells) - _mean(sums, cells) ** 2, 0).mean(axis=1))


def compute(data: PerturbationData, split: Split) -> Truth:
    """Compute the truth of a task in float64.

    Args:
        data: The cells.
        split: Its split.

    Raises:
        BenchError: If no test condition has ``min_cells`` cells.
    """
    names = tuple(n for n in split.test if len(data.cells_of[n]) >= data.min_cells and n != CONTROL)
    if not names:
        raise BenchError(
            f"no test condition has {data.min_cells} cells: nothing to evaluate. Lower min_cells in the card."
        )
    index, n_contexts = data.barcode_index, len(data.contexts)
    pools = {
        key: [np.array([index[b] for b in pool[c]], dtype=np.int64) for c in data.contexts]
        for key, pool in (("in", split.input_cells), ("seen", split.input_controls), ("ref", split.reference_controls))
    }

    def pool_means(key: str) -> Floats:
        return np.stack([row_mean(data.x, rows) for rows in pools[key]])

    def weights(conditions: tuple[str, ...]) -> Floats:
        share = [
            np.bincount(data.context[data.cells_of[n]], minlength=n_contexts) / len(data.cells_of[n])
            for n in conditions
        ]
        return np.array(share).reshape(len(conditions), n_contexts)

    # Train conditions, test conditions and all controls in one pass over the cells.
    group = np.full(len(data.condition), -1)
    for i, name in enumerate((*names, *split.train, CONTROL)):
        group[data.cells_of[name]] = i
    sums, squares, cells = group_sums(data.x, group, len(names) + len(split.train) + 1)
    means = _mean(sums, cells)
    var = (
        np.maximum(squares / np.maximum(cells, 1)[:, None] - means**2, 0) * (cells / np.maximum(cells - 1, 1))[:, None]
    )
    test, train = slice(0, len(names)), slice(len(names), -1)
    c_in = pool_means("in")
    seen_rows = np.unique(np.concatenate(pools["seen"]))
    train_rows = np.concatenate([data.rows(split.train), seen_rows])
    expressed = np.bincount(data.x[train_rows].indices, minlength=len(data.genes)) >= MIN_EXPRESSING_CELLS

    test_rows = data.rows(names)
    # In a context with too few controls those of all contexts stand in: such rows are listed once per context.
    reference = [(rows, np.full(len(rows), c)) for c, rows in enumerate(pools["ref"])]
    rows = np.concatenate([test_rows, *(r for r, _ in reference)])
    context = np.concatenate([data.context[test_rows], *(c for _, c in reference)])
    block = data.x[rows]
    whole = np.concatenate([group[test_rows], np.full(len(rows) - len(test_rows), -1)])
    de_z = wilcoxon_by_context(block, whole, context, len(names), n_contexts)

    sampled, begins = sample(data, names, split.seed)
    half_y, half_z, spread, sides = [], [], [_spread(sums[test], squares[test], cells[test])], []
    position = {row: i for i, row in enumerate(test_rows.tolist())}
    for repeat in range(HALVINGS):
        rng = np.random.default_rng([split.seed, repeat, 0x4A1F])
        half = whole.copy()
        for i, name in enumerate(names):
            shuffled = rng.permutation(data.cells_of[name])
            half[[position[row] for row in shuffled.tolist()]] = 2 * i + (np.arange(len(shuffled)) % 2)
        half_sums, half_squares, half_cells = group_sums(block, half, 2 * len(names))
        half_spread = _spread(half_sums, half_squares, half_cells)
        sides.append(half[[position[row] for row in sampled.tolist()]] % 2)
        z = wilcoxon_by_context(block, half, context, 2 * len(names), n_contexts)
        for side in (0, 1):
            half_y.append(_mean(half_sums, half_cells)[side::2])
            half_z.append(z[side::2])
            spread.append(half_spread[side::2])

    within = group_sums(data.x, np.where(np.isin(np.arange(len(group)), seen_rows), data.context, -1), n_contexts)
    residual = (within[1] - within[0] ** 2 / np.maximum(within[2], 1)[:, None]).sum(axis=0)
    c_ref = pool_means("ref")
    control_sd = np.sqrt(np.maximum(residual, 0) / max(1, len(seen_rows) - n_contexts))
    targets = np.array([np.isin(data.genes, constituents(name)) for name in names])
    top = t_test_top(means[test], var[test], cells[test], (means[-1], var[-1], float(cells[-1])), 50)
    panel = panel_genes(means[train], control_sd, expressed & ~targets.any(axis=0))
    space = axes_of(data, train_rows, split.seed)
    controls = paired_controls(data, sampled, split.seed)
    shared: dict[str, Any] = {
        "c_in": weighted_controls(c_in, weights(names)),
        "c_ref": weighted_controls(c_ref, weights(names)),
        "train_delta": train_mean(means[train] - weighted_controls(c_in, weights(split.train))),
        "train_y": train_mean(means[train]),
        "half_y": np.stack(half_y),
    }
    pair_facts = {**shared, "scored": expressed & ~targets}
    return Truth(
        conditions=names,
        genes=tuple(data.genes.tolist()),
        contexts=data.contexts,
        weights=weights(names),
        cells=cells[test],
        y=means[test],
        control_sd=control_sd,
        expressed=expressed,
        targets=targets,
        de_z=de_z,
        significant=benjamini_hochberg(de_z, expressed),
        half_de_z=np.stack(half_z),
        gears_control=means[-1],
        gears_de=top[:, :20],
        n_controls=np.array([[len(a), len(b)] for a, b in zip(pools["seen"], pools["ref"], strict=True)]),
        variance=var[test].astype(np.float32),
        legacy_de=top,
        legacy_spread=np.stack(spread),
        cell_begin=begins,
        cell_side=np.stack(sides),
        panel=panel,
        **shared,
        **space,
        **values(data, sampled, controls, begins, space, targets, panel, top[:, :20]),
        **doubles(data, names, split.train, split.seed, (c_in, c_ref), pair_facts),
    )


def task_id(data: PerturbationData, split: Split) -> str:
    """Hash that names a task and the version of its truth (24 hex digits)."""
    of = {"data": data.hash, "split": split.split_id, "min_cells": data.min_cells, "version": VERSION}
    return sha256_json(of)[:24]


@cache
def _code_hash() -> str:
    """8 hex digits of the code that computes a truth: a cache made by other code is another cache."""
    folder = Path(__file__).parent
    return sha256_json([sha256_file(folder / f"{name}.py") for name in CODE])[:8]


def load(data: PerturbationData, split: Split) -> Truth:
    """Return the truth of a task, from the cache where it is there and whole.

    A damaged cache file is computed again, never used: every member of the archive carries a checksum.
    """
    path = cache_dir() / "truth" / f"{task_id(data, split)}-{_code_hash()}.npz"
    with contextlib.suppress(Exception):  # a damaged archive raises a dozen kinds
        return _read(path)
    truth = compute(data, split)
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
