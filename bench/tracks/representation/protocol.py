"""The whole protocol for one encoder and one split: embed the cells once, then every number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import identity
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.data.dataset import Dataset
from bench.data.splits.split import Split
from bench.data.task import Task
from bench.tracks.representation import geometry, heldout, probes, retrieval
from bench.tracks.representation.embedding import Embedder, embed_rows, normalise, standardise
from bench.tracks.representation.heldout import HeldOut, check_conditions, some, strata
from bench.tracks.representation.references import shuffle_within

#: Changes when the same encoder and cells would give other numbers.
VERSION = 1
#: Train cells that mean and spread are taken from, at most.
MAX_TRAIN = 5_000
#: Conditions and cells of each that a probe looks at, so that its cost does not grow with the screen.
PROBE_CONDITIONS = 100
PROBE_CELLS = 50

Numbers = dict[str, float | None]

_RETRIEVAL = tuple(f"{measure}_{n}" for n in (*retrieval.QUERY_CELLS, "chance") for measure in retrieval.MEASURES)
_PROBE = ("accuracy", "top5", "majority", "top5_majority")
#: Every number, in the order of the table's columns.
NAMES = (
    *(f"retrieval_{name}" for name in _RETRIEVAL),
    "retrieval_mrr_20_shuffled",
    *(f"cross_batch_{name}" for name in (*_RETRIEVAL, "n_conditions")),
    "silhouette_condition",
    "silhouette_batch",
    *(f"probe_heldout_{name}" for name in _PROBE),
    *(f"probe_seen_{name}" for name in _PROBE),
    "batch_probe_accuracy",
    "batch_probe_majority",
    "batch_probe_scaled",
    "knn_purity",
    "knn_purity_chance",
    "effective_rank",
    "width",
    "n_conditions",
    "n_conditions_left_out",
    "n_cells",
    "n_controls",
    "n_batches",
)
#: Which number of chance belongs to which number.
CHANCE = {
    **{
        f"{kind}_{measure}_{n}": f"{kind}_{measure}_chance"
        for kind in ("retrieval", "cross_batch")
        for measure in retrieval.MEASURES
        for n in retrieval.QUERY_CELLS
    },
    "retrieval_mrr_20_shuffled": "retrieval_mrr_chance",
    **{
        f"probe_{cells}_{of}": f"probe_{cells}_{chance}"
        for cells in ("heldout", "seen")
        for of, chance in (("accuracy", "majority"), ("top5", "top5_majority"))
    },
    "batch_probe_accuracy": "batch_probe_majority",
    "knn_purity": "knn_purity_chance",
}
#: What rows are sorted by: retrieval by means of 20 cells.
PRIMARY = "retrieval_mrr_20"


@dataclass(frozen=True)
class Embedded:
    """Embeddings of one split's cells by one encoder, standardised as its train cells are.

    Attributes:
        cells: The held-out cells; its constructor has refused any other.
        z: Standardised embeddings of ``cells.rows`` ``[N, D]``.
        controls: The same of ``cells.controls`` ``[M, D]``.
        seen: The same of some cells of train conditions ``[S, D]``: for ``probe_seen`` alone.
        seen_condition: Their conditions, numbered from 0 ``[S]``.
        seen_batch: Their batches ``[S]``.
    """

    cells: HeldOut
    z: Floats
    controls: Floats
    seen: Floats
    seen_condition: NDArray[np.int64]
    seen_batch: NDArray[np.int64]


def embed_split(cells: HeldOut, embed: Embedder, seed: int) -> Embedded:
    """Embed everything that the protocol looks at, each cell once.

    Args:
        cells: Held-out cells and controls.
        embed: The encoder. If it has an attribute ``fitted_on`` (names of conditions), none may be a test condition.
        seed: Seed of the draw of train cells.

    Raises:
        BenchError: An encoder fitted on test conditions; embeddings that are not finite or not ``[n, D]``.
    """
    dataset, split = cells.task.dataset, cells.task.split
    _check_fit(embed, split)
    rng = np.random.default_rng([seed, 0xE0])
    train = some(dataset.rows(split.train), MAX_TRAIN, rng)
    seen = _probe_rows(dataset, split.train, rng)
    parts = [cells.rows, cells.controls, train, seen]
    rows, place = np.unique(np.concatenate(parts), return_inverse=True)
    z = embed_rows(dataset.x, rows, embed)
    held, controls, fit, probe = (z[at] for at in np.split(place, np.cumsum([len(part) for part in parts])[:-1]))
    return Embedded(
        cells,
        standardise(held, fit),
        standardise(controls, fit),
        standardise(probe, fit),
        np.unique(dataset.condition[seen], return_inverse=True)[1],
        strata(dataset, seen),
    )


def _check_fit(embed: Embedder, split: Split) -> None:
    fitted_on: tuple[str, ...] = getattr(embed, "fitted_on", ())
    test = {identity(name) for name in split.test}
    leaked = [name for name in fitted_on if identity(name) in test]
    if leaked:
        raise BenchError(
            f"the encoder was fitted on {len(leaked)} test conditions of this split ({leaked[0]}, ...): its split is "
            f"another. Evaluate it on the split (kind and seed) that it was trained on."
        )


def _probe_rows(dataset: Dataset, names: tuple[str, ...], rng: np.random.Generator) -> NDArray[np.int64]:
    large = np.array(sorted(name for name in names if len(dataset.cells_of[name]) >= heldout.MIN_CELLS))
    chosen = some(np.arange(len(large)), PROBE_CONDITIONS, rng)
    parts = [some(dataset.cells_of[name], PROBE_CELLS, rng) for name in large[chosen].tolist()]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def score(embedded: Embedded, seed: int, shuffle: bool = False) -> Numbers:
    """Compute every number of the protocol.

    Args:
        embedded: From :func:`embed_split`.
        seed: Seed of all draws.
        shuffle: Whether to permute condition labels within batch first: everything about conditions must then come
            out at chance.

    Returns:
        :data:`NAMES`; ``None`` = undefined.
    """
    cells = embedded.cells
    dataset = cells.task.dataset
    check_conditions((dataset.conditions[i] for i in np.unique(dataset.condition[cells.rows])), cells.task.split)
    condition, batch = cells.conditions, cells.batches
    seen = embedded.seen_condition
    if shuffle:
        condition = shuffle_within(condition, batch, seed)
        seen = shuffle_within(seen, embedded.seen_batch, seed)
    z = normalise(embedded.z)
    rng = np.random.default_rng([seed, 0xE1])
    few = _few(condition, rng)
    purity = geometry.knn_purity(z, condition, batch, seed)
    leak = (
        probes.batch_probe(normalise(embedded.controls), cells.control_batches, seed) if len(cells.controls) else None
    )
    found: dict[str, float | None] = {
        **_prefix("retrieval", retrieval.half_retrieval(z, condition, batch, seed)),
        "retrieval_mrr_20_shuffled": retrieval.half_retrieval(
            z, shuffle_within(condition, batch, seed + 1), batch, seed
        )["mrr_20"],
        **_prefix("cross_batch", retrieval.cross_batch_retrieval(z, condition, batch, seed)),
        "silhouette_condition": geometry.macro_silhouette(z, condition, seed),
        "silhouette_batch": geometry.macro_silhouette(z, batch, seed),
        **_probe("probe_heldout", z[few], np.unique(condition[few], return_inverse=True)[1], batch[few], seed),
        **_probe("probe_seen", normalise(embedded.seen), seen, embedded.seen_batch, seed),
        **_prefix("batch_probe", dict(zip(("accuracy", "majority", "scaled"), leak, strict=True)) if leak else None),
        **dict(zip(("knn_purity", "knn_purity_chance"), purity or (None, None), strict=True)),
        "effective_rank": geometry.effective_rank(embedded.z),
        "width": float(z.shape[1]),
        "n_conditions": float(condition.max() + 1),
        "n_conditions_left_out": float(cells.left_out),
        "n_cells": float(len(z)),
        "n_controls": float(len(cells.controls)),
        "n_batches": float(batch.max() + 1),
    }
    return {name: found.get(name) for name in NAMES}


def _prefix(prefix: str, numbers: Mapping[str, float] | None) -> dict[str, float | None]:
    return {f"{prefix}_{name}": value for name, value in (numbers or {}).items()}


def _probe(
    prefix: str, z: Floats, label: NDArray[np.int64], batch: NDArray[np.int64], seed: int
) -> dict[str, float | None]:
    found = probes.condition_probe(z, label, batch, seed) if len(z) else None
    return {f"{prefix}_{name}": getattr(found, name) for name in _PROBE} if found else {}


def _few(condition: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """At most :data:`PROBE_CELLS` cells of at most :data:`PROBE_CONDITIONS` conditions, as row numbers."""
    chosen = some(np.arange(condition.max() + 1), PROBE_CONDITIONS, rng)
    return np.concatenate([some(np.flatnonzero(condition == code), PROBE_CELLS, rng) for code in chosen.tolist()])


def evaluate(
    task: Task,
    embed: Embedder,
    seed: int,
    cells: HeldOut | None = None,
    shuffle: bool = False,
) -> Numbers:
    """Evaluate a frozen encoder on the held-out cells of a split.

    Args:
        task: The task.
        embed: The encoder: dense log1p expression ``[n, G]`` float32 -> pooled embeddings ``[n, D]``.
        seed: Seed of all draws (the split's, so that all encoders are compared on the same draws).
        cells: Held-out cells; absent = those of :func:`bench.tracks.representation.heldout.draw`.
        shuffle: See :func:`score`.

    Returns:
        :data:`NAMES`; ``None`` = undefined.

    Raises:
        BenchError: Too few test conditions, cells that are not held out, or a broken embedding.
    """
    cells = heldout.draw(task, seed) if cells is None else cells
    if cells.task.split.split_id != task.split.split_id or cells.task.dataset.hash != task.dataset.hash:
        raise BenchError("these held-out cells belong to another split or data set.")
    return score(embed_split(cells, embed, seed), seed, shuffle)
