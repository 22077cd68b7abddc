"""Label curves a second time: what a probe says in held-out contexts that learned few labels in others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bench.audit.second.apart import Apart, Cells
from bench.audit.second.asked_cells import Rows
from bench.audit.second.embedded import Floats
from bench.audit.second.probed import DOUBT, STRENGTHS, Fitted, balanced, named, path

#: Labels per class and context; draws of each; cells in a fit with the most of them, and with all labels.
LABELS, DRAWS, FIT, ALL = (2, 5, 20), 5, 4_000, 8_000
#: Perturbations that are told apart, at most; the strength where no context chooses one.
CLASSES, UNTUNED = 50, 1e-1
POINTS = (*map(str, LABELS), "all", "area")


class Question(NamedTuple):
    """Cells that are learned from and their classes; the same that choose the strength; number of classes."""

    cells: Cells
    y: Rows
    val: Cells
    val_y: Rows
    n: int


class Point(NamedTuple):
    """Fits with one number of labels: that number, fits, and the merit of the best in the validation contexts.

    ``fits`` has a fit per draw with the strength that is chosen, then the same with those that would be if
    :data:`DOUBT` cells of the validation contexts were named otherwise.
    """

    labels: float
    fits: list[list[Fitted]]
    merit: float


class Told(NamedTuple):
    """Values of units and numbers of the run; of either, the least and the largest that a choice in doubt may give."""

    values: dict[str, Floats]
    numbers: dict[str, float]
    doubt: dict[str, tuple[Floats, Floats]]


def curve(question: Question, seed: int) -> list[Point]:
    """Fits with 2, 5, 20 and all labels."""
    points, kinds = [], len(set(zip(question.y.tolist(), question.cells.context.tolist(), strict=True)))
    strengths = STRENGTHS if len(question.val) else (UNTUNED,)
    for i, labels in enumerate((*LABELS, max(LABELS[-1], ALL // kinds))):
        drawn = [_labelled(question, labels, (seed, 0xAD, i, k)) for k in range(DRAWS if i < len(LABELS) else 1)]
        paths = [path(question.cells.z[rows], question.y[rows], question.n, strengths, "balanced") for rows in drawn]
        merits = np.array([[_merit(question, fit) for fit in fits] for fits in paths]).mean(axis=0)
        best = int(np.flatnonzero(merits > merits.max() - 1e-9)[0]) if len(strengths) > 1 else 0
        least = merits[best] - _doubt(question) if len(strengths) > 1 else np.inf
        used = sum(len(rows) for rows in drawn) / len(drawn) / kinds
        order = [best, *(i for i, merit in enumerate(merits) if i != best and merit >= least)]
        points.append(Point(used, [[fits[i] for fits in paths] for i in order], float(merits[best])))
    return points


def _doubt(question: Question) -> float:
    """By how much a merit moves where :data:`DOUBT` cells of a small class are named otherwise."""
    context, y = question.val.context, question.val_y
    there = np.unique(context).tolist()
    sizes = [np.unique(y[context == c], return_counts=True)[1] for c in there]
    return DOUBT / (min(int(size.min()) * len(size) for size in sizes) * len(there)) + 1e-9


def _labelled(question: Question, labels: int, seed: Sequence[int]) -> Rows:
    draws = np.random.default_rng(seed).random(len(question.y))
    chosen: list[int] = []
    for one in set(zip(question.y.tolist(), question.cells.context.tolist(), strict=True)):
        mine = np.flatnonzero((question.y == one[0]) & (question.cells.context == one[1]))
        chosen += mine[np.argsort(draws[mine])[:labels]].tolist()
    return np.array(sorted(chosen), dtype=np.int64)


def _merit(question: Question, fit: Fitted) -> float:
    context = question.val.context
    each = [context == c for c in np.unique(context).tolist()]
    scores = fit.scores(question.val.z)
    return float(np.mean([balanced(scores[of], question.val_y[of]) for of in each])) if each else float("nan")


def area(labels: Sequence[float], values: Sequence[Floats]) -> Floats:
    """Mean height of a curve over log2 of the number of labels; of points at one place the first counts."""
    at: list[float] = []
    height: list[Floats] = []
    for x, y in zip(np.log2(labels).tolist(), values, strict=True):
        if not at or x > at[-1]:
            at, height = [*at, x], [*height, np.asarray(y)]
    if len(at) == 1:
        return height[0]
    steps = [(b - a) * (lower + upper) / 2 for a, b, lower, upper in zip(at, at[1:], height, height[1:])]
    return np.asarray(sum(steps) / (at[-1] - at[0]))


def perturbed(apart: Apart) -> Question | None:
    """Perturbed or not, of all source cells and their controls."""
    of = apart.roles
    if not len(of["source"]) or not len(of["source_controls"]):
        return None
    cells, val = of["source"].with_(of["source_controls"]), of["val"].with_(of["val_controls"])
    if not len(of["val"]) or not len(of["val_controls"]):
        val = val.at(np.empty(0, dtype=np.int64))
    y, val_y = ((each.perturbation != apart.control).astype(np.int64) for each in (cells, val))
    return Question(cells, y, val, val_y, 2)


def _which(apart: Apart, seed: int) -> tuple[Question, list[int]] | None:
    """Which of the shared perturbations; with many, of fewer source contexts."""
    rng = np.random.default_rng([seed, 0xAE])
    names = sorted(rng.permutation(np.array(apart.shared, dtype=np.int64))[:CLASSES].tolist())
    cells = apart.roles["source"]
    chosen = rng.permutation(np.unique(cells.context))[: max(2, FIT // (LABELS[-1] * max(len(names), 1)))]
    cells = cells.at(np.isin(cells.perturbation, names) & np.isin(cells.context, chosen))
    names = sorted(set(cells.perturbation.tolist()))
    return _of(cells, apart.roles["val"], "perturbation", names)


def _of(cells: Cells, val: Cells, label: str, names: list[int]) -> tuple[Question, list[int]] | None:
    """A question whose classes are some values of a label; nothing where there are fewer than two."""
    if len(names) < 2:
        return None
    parts = [each.at(np.isin(getattr(each, label), names)) for each in (cells, val)]
    y, val_y = (np.searchsorted(names, getattr(each, label)) for each in parts)
    return Question(parts[0], y, parts[1], val_y, len(names)), names


def _context(apart: Apart, seed: int) -> tuple[Question, list[int]] | None:
    """The context of controls; every third of each context's chooses the strength."""
    cells = apart.roles["source_controls"]
    names = sorted(set(cells.context.tolist()) & set(apart.roles["source_reference"].context.tolist()))
    cells = cells.at(np.isin(cells.context, names))
    draws, val = np.random.default_rng([seed, 0xAF]).random(len(cells)), np.zeros(len(cells), dtype=np.bool_)
    val[sorted(range(len(cells)), key=lambda i: (int(cells.context[i]), float(draws[i])))[::3]] = True
    y = np.searchsorted(names, cells.context)
    one = Cells(cells.z, cells.perturbation, np.zeros_like(cells.context), cells.batch)  # labels are by class alone
    return (Question(one.at(~val), y[~val], one.at(val), y[val], len(names)), names) if len(names) > 1 else None


def few_labels(apart: Apart, seed: int) -> Told:
    """Everything that is learned from few labels."""
    found = Told({}, {}, {})
    if (question := perturbed(apart)) is not None:
        points = curve(question, seed)
        _note(found, "across_perturbed", points, [[_told(apart, fits) for fits in p.fits] for p in points])
        found.numbers.update({"across_perturbed_chance": 0.5, "across_perturbed_labels": points[-1].labels})
    if (which := _which(apart, seed)) is not None:
        points = curve(which[0], seed)
        told = [[_which_told(apart, fits, which[1]) for fits in p.fits] for p in points]
        _note(found, "across_which", points, told)
        found.numbers.update({"across_which_chance": 1 / which[0].n, "across_which_labels": points[-1].labels})
    of = apart.roles
    shared = sorted(set(of["source_controls"].batch.tolist()) & set(of["target_reference"].batch.tolist()))
    batch = _of(of["source_controls"], of["val_controls"], "batch", shared)
    for name, asked, cells, label in (
        ("across_batch", batch, of["target_reference"], "batch"),
        ("context", _context(apart, seed), of["source_reference"], "context"),
    ):
        if asked is None:
            continue
        cells = cells.at(np.isin(getattr(cells, label), asked[1]))
        within = cells.context if label == "batch" else np.zeros_like(cells.context)
        points, y = curve(asked[0], seed), np.searchsorted(asked[1], getattr(cells, label))
        told = [
            [np.array([np.mean([_within(fit.scores(cells.z), y, within) for fit in fits])]) for fits in p.fits]
            for p in points
        ]
        of_run = Told({}, {}, found.doubt)
        _note(of_run, name, points, told)
        found.numbers.update({key: float(value[0]) for key, value in of_run.values.items()})
        found.numbers[f"{name}_chance"] = 1 / asked[0].n
    return found


def _note(found: Told, name: str, points: list[Point], told: list[list[Floats]]) -> None:
    """Add a curve and the area under it, and between what they may lie."""
    labels = [point.labels for point in points]

    def curve_of(each: list[Floats]) -> dict[str, Floats]:
        return {f"{name}_{point}": one for point, one in zip(POINTS, [*each, area(labels, each)], strict=True)}

    found.values.update(curve_of([each[0] for each in told]))
    least, largest = (curve_of([end(each, axis=0) for each in told]) for end in (np.min, np.max))
    found.doubt.update({key: (least[key], largest[key]) for key in least})


def _within(scores: Floats, y: Rows, context: Rows) -> float:
    return float(np.mean([balanced(scores[context == c], y[context == c]) for c in np.unique(context).tolist()]))


def _told(apart: Apart, fits: list[Fitted]) -> Floats:
    """Mean of the shares of a unit's cells and of its context's controls that are told right ``[U]``."""
    cells, controls = apart.roles["target"], apart.roles["target_reference"]
    unit, found = apart.unit_of(cells), []
    for fit in fits:
        yes = named(fit.scores(cells.z), np.ones(len(cells), dtype=np.int64), 1)
        no = named(fit.scores(controls.z), np.zeros(len(controls), dtype=np.int64), 1)
        pairs = [(_mean(yes[unit == i]), _mean(no[controls.context == c])) for i, (c, _) in enumerate(apart.units)]
        found.append(np.mean(pairs, axis=1))
    return np.asarray(np.mean(found, axis=0))


def _which_told(apart: Apart, fits: list[Fitted], names: list[int]) -> Floats:
    """Share of a unit's cells that are named right ``[U]``."""
    cells = apart.roles["target"].at(np.isin(apart.roles["target"].perturbation, names))
    y, unit = np.searchsorted(names, cells.perturbation), apart.unit_of(cells)
    told = [named(fit.scores(cells.z), y, 1) for fit in fits]
    return np.asarray(np.mean([[_mean(right[unit == i]) for i in range(len(apart.units))] for right in told], axis=0))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")
