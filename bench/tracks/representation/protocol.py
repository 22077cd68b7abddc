"""The whole protocol for one encoder and one task: embed the cells once, then every number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import identity
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data import heldout
from bench.data.heldout import HeldOut, strata, subsample
from bench.data.splits.split import Split
from bench.data.task import Task
from bench.stats import geometry, probes
from bench.stats.embedding import Embedder, embed_rows, normalise, standardise
from bench.tracks.representation import across, few_labels, identify, retrieval
from bench.tracks.representation.across import Across
from bench.tracks.representation.across_metrics import ACROSS
from bench.tracks.representation.metrics import METRICS, NUMBERS
from bench.tracks.representation.references import shuffle_within
from bench.tracks.representation.scores import RepresentationScores, defined_mean

Codes = NDArray[np.int64]
_PROBE = ("accuracy", "top5", "majority", "top5_majority")
#: What is found within a context.
_WITHIN = (
    *(f"{kind}_{name}" for kind in ("retrieval", "cross_batch") for name in retrieval.COLUMNS),
    "retrieval_mrr_20_shuffled",
    "silhouette_condition",
    *(f"probe_heldout_{name}" for name in _PROBE),
    "knn_purity",
    "knn_purity_chance",
)

#: Train cells that mean and spread are taken from, at most.
MAX_TRAIN = 5_000
#: Units of a context, and cells of each, that a probe looks at, so that its cost does not grow with the screen.
PROBE_UNITS = 100
PROBE_CELLS = 50


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
        across: What is asked across contexts; ``None`` where no context is held out.
        looked_at: Standardised embeddings of every cell of the above, once, ascending by row: all that numbers are
            computed from ``[n, D]``.
    """

    cells: HeldOut
    z: Floats
    controls: Floats
    seen: Floats
    seen_condition: NDArray[np.int64]
    seen_batch: NDArray[np.int64]
    across: Across | None
    looked_at: Floats


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
    train = subsample(cells.task.rows("train"), MAX_TRAIN, rng)
    seen = _probe_rows(cells.task.cells_of("train"), rng)
    apart = across.draw(cells.task, cells, seed)
    parts = [cells.rows, cells.controls, train, seen, *(apart or {}).values()]
    rows, place = np.unique(np.concatenate(parts), return_inverse=True)
    z = embed_rows(dataset.x, rows, embed)
    looked_at = np.unique(np.concatenate([cells.rows, cells.controls, seen, *(apart or {}).values()]))
    held, controls, fit, probe, *rest = (z[at] for at in np.split(place, np.cumsum([len(part) for part in parts])[:-1]))
    return Embedded(
        cells,
        standardise(held, fit),
        standardise(controls, fit),
        standardise(probe, fit),
        np.unique(dataset.condition[seen], return_inverse=True)[1],
        strata(dataset, seen),
        None if apart is None else across.arrange(cells.task, apart, dict(zip(apart, rest)), cells.units),
        standardise(z[np.searchsorted(rows, looked_at)], fit),
    )


def _check_fit(embed: Embedder, split: Split) -> None:
    fitted_on: tuple[str | Unit, ...] = getattr(embed, "fitted_on", ())
    test = {identity(name) for name in split.test} if split.units is None else set(split.units["test"])
    leaked = [one for one in fitted_on if (one if isinstance(one, Unit) else identity(one)) in test]
    if leaked:
        raise BenchError(
            f"the encoder was fitted on {len(leaked)} test conditions of this split ({leaked[0]}, ...): its split is "
            f"another. Evaluate it on the split (kind and seed) that it was trained on."
        )


def _probe_rows(cells_of: Mapping[str, NDArray[np.int64]], rng: np.random.Generator) -> NDArray[np.int64]:
    large = np.array(sorted(name for name, rows in cells_of.items() if len(rows) >= heldout.MIN_CELLS))
    chosen = subsample(np.arange(len(large)), PROBE_UNITS, rng)
    parts = [subsample(cells_of[name], PROBE_CELLS, rng) for name in large[chosen].tolist()]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def score(embedded: Embedded, seed: int, shuffle: bool = False) -> RepresentationScores:
    """Compute every number of the protocol.

    A unit is compared with the other units of its context only: all that depends on units is computed within each
    context. Batches (of the cells, and of the controls), probes of train conditions and the effective rank are about
    all cells at once.

    Args:
        embedded: From :func:`embed_split`.
        seed: Seed of all draws.
        shuffle: Whether to permute the labels of perturbations within batch first: everything about perturbations must
            then come out at chance.
    """
    cells = embedded.cells
    heldout.check_rows(cells.task, cells.rows)
    unit, batch, context = cells.unit, cells.batches, cells.context
    seen = embedded.seen_condition
    if shuffle:
        unit = shuffle_within(unit, batch, seed)
        seen = shuffle_within(seen, embedded.seen_batch, seed)
    z = normalise(embedded.z)
    rng = np.random.default_rng([seed, 0xE1])
    parts = [
        _of_context(z[rows], _renumber(unit[rows]), batch[rows], seed, rng)
        for rows in (np.flatnonzero(context == code) for code in range(int(context.max()) + 1))
    ]
    by_unit = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    between, numbers_between = _across(embedded.across, seed, shuffle)
    by_unit |= {name: between.get(name, np.full(len(cells.units), np.nan)) for name in ACROSS}
    numbers: dict[str, float | None] = {
        **{name: defined_mean(values) for name, values in by_unit.items()},
        **numbers_between,
        "cross_batch_n_conditions": float(by_unit["present"].sum()) or None,
        "silhouette_batch": defined_mean(geometry.label_silhouettes(z, batch, seed)),
        **_probe_seen(normalise(embedded.seen), seen, embedded.seen_batch, seed),
        **_batch_probe(normalise(embedded.controls), cells.control_batches, seed),
        "effective_rank": geometry.effective_rank(embedded.z),
        "width": float(z.shape[1]),
        "n_conditions": float(len(cells.units)),
        "n_conditions_left_out": float(cells.left_out),
        "n_cells": float(len(z)),
        "n_controls": float(len(cells.controls)),
        "n_batches": float(batch.max() + 1),
    }
    return RepresentationScores(
        units=cells.units,
        values={name: by_unit[name] for name in METRICS},
        numbers={name: numbers.get(name) for name in NUMBERS},
    )


def _across(found: Across | None, seed: int, shuffle: bool) -> tuple[dict[str, Floats], dict[str, float]]:
    """Ask everything across contexts: values of each unit, and numbers; both empty where no context is held out."""
    if found is None:
        return {}, {}
    found = found.shuffled(seed) if shuffle else found
    curves, readable = few_labels.few_labels(found, seed)
    identified, bars = identify.identify(found, seed)
    counts = {f"n_{role}_contexts": float(len(np.unique(found[role].context))) for role in ("source", "target")}
    return curves | identified, readable | bars | counts


def _of_context(z: Floats, unit: Codes, batch: Codes, seed: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Compute everything about the units of one context, chance levels included, each ``[U]``.

    Args:
        z: Unit-length embeddings of its cells ``[N, D]``.
        unit: ``0 .. U-1`` ``[N]``.
        batch: ``[N]``.
        seed: Seed of all draws but the probe's cells.
        rng: Draws the probe's cells.
    """
    undefined = np.full(int(unit.max()) + 1, np.nan)
    if len(undefined) < 2:  # in a context that is held out: there is nothing to confuse it with
        return {**dict.fromkeys(_WITHIN, undefined), "present": np.zeros(1)}
    probed = _probe_cells(unit, rng)
    chosen, code = np.unique(unit[probed], return_inverse=True)
    probe = probes.unit_probe(z[probed], code, batch[probed], seed)
    probe_values = dict.fromkeys((f"probe_heldout_{name}" for name in _PROBE), undefined)
    if probe:
        for name in _PROBE:
            probe_values[f"probe_heldout_{name}"] = whole = undefined.copy()
            whole[chosen] = getattr(probe, name)
    across = retrieval.cross_batch_retrieval(z, unit, batch, seed) or {}
    purity, purity_chance = geometry.knn_purity(z, unit, batch, seed)
    shuffled = retrieval.half_retrieval(z, shuffle_within(unit, batch, seed + 1), batch, seed)
    return {
        **{f"retrieval_{name}": values for name, values in retrieval.half_retrieval(z, unit, batch, seed).items()},
        "retrieval_mrr_20_shuffled": shuffled["mrr_20"],
        **{f"cross_batch_{name}": across.get(name, undefined) for name in retrieval.COLUMNS},
        "present": across.get("present", np.zeros(len(undefined))),
        "silhouette_condition": geometry.label_silhouettes(z, unit, seed),
        **probe_values,
        "knn_purity": purity,
        "knn_purity_chance": purity_chance,
    }


def _probe_seen(z: Floats, condition: Codes, batch: Codes, seed: int) -> dict[str, float | None]:
    """Probe cells of train conditions for their condition; empty where there are not two."""
    found = probes.unit_probe(z, condition, batch, seed) if len(z) else None
    return {f"probe_seen_{name}": defined_mean(np.atleast_1d(getattr(found, name))) for name in _PROBE if found}


def _batch_probe(z: Floats, batch: Codes, seed: int) -> dict[str, float | None]:
    """Probe control cells for their batch; empty where there are not two large ones."""
    found = probes.batch_probe(z, batch, seed) if len(z) else None
    return dict(zip(("batch_probe_accuracy", "batch_probe_majority", "batch_probe_scaled"), found or ()))


def _probe_cells(unit: Codes, rng: np.random.Generator) -> Codes:
    """At most :data:`PROBE_CELLS` cells of at most :data:`PROBE_UNITS` units, as row numbers."""
    chosen = subsample(np.arange(unit.max() + 1), PROBE_UNITS, rng)
    return np.concatenate([subsample(np.flatnonzero(unit == code), PROBE_CELLS, rng) for code in chosen.tolist()])


def _renumber(code: Codes) -> Codes:
    """The same labels as ``0 .. K-1``, in their order ``[N]``."""
    return np.unique(code, return_inverse=True)[1].astype(np.int64)


def evaluate(
    task: Task,
    embed: Embedder,
    seed: int,
    cells: HeldOut | None = None,
    shuffle: bool = False,
) -> RepresentationScores:
    """Evaluate a frozen encoder on the held-out cells of a split.

    Args:
        task: The task.
        embed: The encoder: dense log1p expression ``[n, G]`` float32 -> pooled embeddings ``[n, D]``.
        seed: Seed of all draws (the split's, so that all encoders are compared on the same draws).
        cells: Held-out cells; absent = those of :func:`bench.data.heldout.draw`.
        shuffle: See :func:`score`.

    Raises:
        BenchError: Too few test conditions, cells that are not held out, or a broken embedding.
    """
    cells = heldout.draw(task, seed) if cells is None else cells
    if cells.task.split.split_id != task.split.split_id or cells.task.dataset.hash != task.dataset.hash:
        raise BenchError("these held-out cells belong to another split or data set.")
    return score(embed_split(cells, embed, seed), seed, shuffle)
