"""Few labels across contexts: what a probe that learned in source contexts says in contexts that were held out.

Perturbed or not, and which perturbation: a value per held-out unit. Beside them, numbers of the whole run: the batch
(donor) of controls in held-out contexts, which should not be readable, and the context (cell type) of controls of
source contexts that no model saw.
"""

from __future__ import annotations

import numpy as np

from bench.core.typing import Floats
from bench.data.heldout import Rows
from bench.stats.intervals import nanmean
from bench.stats.probes import recall_at
from bench.tracks.representation.across import Across, Cells, join
from bench.tracks.representation.across_metrics import LABELS, POINTS
from bench.tracks.representation.label_curve import FIT_CELLS, Point, Question, area, fit

#: Perturbations that the probe tells apart, at most.
CLASSES = 50

Curve = dict[str, Floats]


def few_labels(across: Across, seed: int) -> tuple[dict[str, Floats], dict[str, float]]:
    """Ask everything.

    Args:
        across: The cells.
        seed: Of the draws of labels.

    Returns:
        ``across_perturbed_*`` and ``across_which_*`` of each unit ``[U]``, NaN = undefined; and numbers of the run.
    """
    values: dict[str, Floats] = {}
    numbers: dict[str, float] = {}
    if (question := perturbed(across)) is not None:
        points = fit(question, seed)
        values |= _named("across_perturbed", _curve(points, [_ask_perturbed(across, p) for p in points]))
        numbers |= {"across_perturbed_chance": 0.5, "across_perturbed_labels": points[-1].labels}
    if (found := which(across, seed)) is not None:
        points = fit(found[0], seed)
        values |= _named("across_which", _curve(points, [_ask_which(across, p, found[1]) for p in points]))
        numbers |= {"across_which_chance": 1 / found[0].n, "across_which_labels": points[-1].labels}
    if (found := batch(across)) is not None:
        points, asked = fit(found[0], seed), across["target_reference"]
        asked = asked.take(np.isin(asked.batch, found[1]))
        y = np.searchsorted(found[1], asked.batch)
        curve = _curve(points, [_balanced(asked.z, y, asked.context, p) for p in points])
        numbers |= _numbers("across_batch", curve) | {"across_batch_chance": 1 / found[0].n}
    if (found := context(across, seed)) is not None:
        points, asked = fit(found[0], seed), across["source_reference"]
        asked = asked.take(np.isin(asked.context, found[1]))
        y = np.searchsorted(found[1], asked.context)
        curve = _curve(points, [_balanced(asked.z, y, np.zeros_like(y), p) for p in points])
        numbers |= _numbers("context", curve) | {"context_chance": 1 / found[0].n}
    return values, numbers


def perturbed(across: Across) -> Question | None:
    """Perturbed or not: cells of any perturbation against input controls; ``None`` where either is missing."""
    if not len(across["source"]) or not len(across["source_controls"]):
        return None
    cells, val = join([across["source"], across["source_controls"]]), across["val"]
    if len(val) and len(across["val_controls"]):
        val = join([val, across["val_controls"]])
    else:
        val = val.take(np.zeros(0, dtype=np.int64))
    y, val_y = ((part.condition != across.control).astype(np.int64) for part in (cells, val))
    return _question(cells, y, val, val_y, 2)


def which(across: Across, seed: int) -> tuple[Question, Rows] | None:
    """Which perturbation, among those that source and target have in common.

    Returns:
        The question and the conditions that its classes are; ``None`` with fewer than two.
    """
    rng = np.random.default_rng([seed, 0xAE])
    classes = np.sort(rng.permutation(across.shared)[:CLASSES])
    most = max(2, FIT_CELLS // (LABELS[-1] * max(len(classes), 1)))
    chosen = rng.permutation(np.unique(across["source"].context))[:most]
    cells = across["source"]
    cells = cells.take(np.isin(cells.condition, classes) & np.isin(cells.context, chosen))
    classes = np.intersect1d(classes, cells.condition)
    if len(classes) < 2:
        return None
    val = across["val"].take(np.isin(across["val"].condition, classes))
    y, val_y = (np.searchsorted(classes, part.condition) for part in (cells, val))
    return _question(cells, y, val, val_y, len(classes)), classes


def batch(across: Across) -> tuple[Question, Rows] | None:
    """The batch (donor) of control cells, among those that source and target contexts have in common.

    Returns:
        The question and the batches that its classes are; ``None`` with fewer than two.
    """
    cells, val = across["source_controls"], across["val_controls"]
    classes = np.intersect1d(cells.batch, across["target_reference"].batch)
    if len(classes) < 2:
        return None
    cells, val = (part.take(np.isin(part.batch, classes)) for part in (cells, val))
    y, val_y = (np.searchsorted(classes, part.batch) for part in (cells, val))
    return _question(cells, y, val, val_y, len(classes)), classes


def context(across: Across, seed: int) -> tuple[Question, Rows] | None:
    """The context itself, as a cell type: input controls of source contexts; a third of them chooses the strength.

    Returns:
        The question and the contexts that its classes are; ``None`` with fewer than two.
    """
    cells = across["source_controls"]
    classes = np.intersect1d(cells.context, across["source_reference"].context)
    if len(classes) < 2:
        return None
    cells = cells.take(np.isin(cells.context, classes))
    y = np.searchsorted(classes, cells.context)
    order = np.lexsort((np.random.default_rng([seed, 0xAF]).random(len(y)), y))
    third = np.zeros(len(y), dtype=bool)
    third[order[::3]] = True
    whole = Cells(cells.z, cells.condition, np.zeros_like(cells.context), cells.batch)  # labels are per class alone
    return _question(whole.take(~third), y[~third], whole.take(third), y[third], len(classes)), classes


def _question(cells: Cells, y: Rows, val: Cells, val_y: Rows, n: int) -> Question:
    return Question(cells.z, y, cells.context, val.z, val_y, val.context, n)


def _ask_perturbed(across: Across, point: Point) -> Floats:
    """Balanced accuracy of each unit's cells against reference controls of its context, over draws ``[U]``."""
    cells, controls = across["target"], across["target_reference"]
    unit, contexts = across.unit_of(cells), across.units[:, 1]
    found = []
    for probe in point.probes:
        yes = _hit_rate(probe.scores(cells.z), np.ones(len(cells), np.int64), unit, len(contexts))
        size = int(max(contexts.max(), controls.context.max(initial=0))) + 1
        no = _hit_rate(probe.scores(controls.z), np.zeros(len(controls), np.int64), controls.context, size)
        found.append((yes + no[contexts]) / 2)
    return np.asarray(np.mean(found, axis=0))


def _ask_which(across: Across, point: Point, classes: Rows) -> Floats:
    """Share of each unit's cells whose perturbation is named, over draws ``[U]``; NaN where it is no class."""
    cells = across["target"]
    cells = cells.take(np.isin(cells.condition, classes))
    y, unit = np.searchsorted(classes, cells.condition), across.unit_of(cells)
    return np.asarray(
        np.mean([_hit_rate(probe.scores(cells.z), y, unit, len(across.units)) for probe in point.probes], axis=0)
    )


def _hit_rate(scores: Floats, y: Rows, group: Rows, n: int) -> Floats:
    """Share of each group's cells that are assigned to their class; ties count as their chance ``[n]``."""
    own = scores[np.arange(len(y)), y][:, None]
    right = np.where((scores > own).any(axis=1), 0.0, 1 / (scores == own).sum(axis=1))
    known = group >= 0
    count = np.bincount(group[known], minlength=n)
    return np.asarray(
        np.divide(np.bincount(group[known], right[known], n), count, out=np.full(n, np.nan), where=count > 0)
    )


def _balanced(x: Floats, y: Rows, context: Rows, point: Point) -> Floats:
    """Balanced accuracy within each context, averaged over contexts and draws ``[]``."""
    found = []
    for probe in point.probes:
        scores = probe.scores(x)
        inside = [context == c for c in np.unique(context).tolist()]
        found.append(np.mean([nanmean(recall_at(scores[rows], y[rows], 1)) for rows in inside]))
    return np.asarray(np.mean(found))


def _curve(points: list[Point], values: list[Floats]) -> Curve:
    return {**dict(zip(POINTS[:-1], values, strict=True)), "area": area([p.labels for p in points], np.stack(values))}


def _named(prefix: str, curve: Curve) -> dict[str, Floats]:
    return {f"{prefix}_{name}": values for name, values in curve.items()}


def _numbers(prefix: str, curve: Curve) -> dict[str, float]:
    return {f"{prefix}_{name}": float(value) for name, value in curve.items()}
