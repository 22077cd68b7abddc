"""Answers that do not know the condition, and what they score: the best of them is the floor of a family.

They are made of train cells and input controls, and may know how many genes are perturbed; of a compound, its dose and
time. An answer is a direction
(scored by pattern and DE), a size (scored by size), or nothing at all. The span of the directions is an answer too: the
best vector in it, chosen on half of the test units and scored on the other half, over and over.

Where the test units' perturbations are known from other contexts, the answers that remember them are beside these: see
:mod:`bench.tracks.response.truth.elsewhere`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import treatment_of
from bench.core.files import sha256_json
from bench.core.typing import Floats
from bench.tracks.response.families import Answer, Halves, mean_known, size_score
from bench.tracks.response.metrics.functional import standardise
from bench.tracks.response.truth.fields import Truth
from bench.tracks.response.truth.references import calls
from bench.tracks.response.truth.train import BY

#: Random cuts of the units in two, each used both ways round.
CUTS = 100
#: Units that an answer of their own is fitted to; fewer have that of all.
MIN_UNITS = 20
#: Answers whose sign means nothing are given both ways round; a leading minus is the reverse.
UNSIGNED = ("pc1", "pc2", "pc3", "c_in", "control_sd")
#: Ends the name of an answer that is another for each number of perturbed genes, or each dose and time.
NUMBER, DOSE = "_by_number", "_by_dose"


@dataclass(frozen=True, eq=False)
class Scored:
    """A blind answer.

    Attributes:
        name: Its name; ends in ``@`` and a subgroup where it is fitted to that and no answer elsewhere.
        answer: For the bootstraps.
        size: Scores of its size ``[T]``, where they do not follow from ``answer``.
    """

    name: str
    answer: Answer
    size: Floats | None = None


def answers(truth: Truth, halves: Halves) -> Iterator[Scored]:
    """All condition-blind answers of a task, one after the other: each is as large as the truth."""
    nothing = np.zeros(truth.y.shape)
    yield Scored("nothing", Answer(nothing, nothing, np.full(len(nothing), -np.inf)))
    for name, direction in _directions(truth).items():
        yield Scored(name, _answer(truth, direction))
        if name.removesuffix(_suffix(truth)) in UNSIGNED:
            yield Scored(f"-{name}", _answer(truth, -direction))
    with np.errstate(divide="ignore"):
        for name, norm in _by_stratum(truth, truth.size_names, truth.sizes).items():
            yield Scored(f"size_{name}", Answer(size=np.log(norm) * np.ones(len(nothing))))
    yield from _spans(truth, halves)


def _suffix(truth: Truth) -> str:
    return DOSE if any(map(treatment_of, truth.conditions)) else NUMBER


def _by_stratum(truth: Truth, names: tuple[str, ...], values: Floats) -> dict[str, Floats]:
    """Values of all train units ``[...]``, and by stratum ``[T, ...]``, where train units tell."""
    at = {name: i for i, name in enumerate(names)}
    out = {name: values[i] for name, i in at.items() if BY not in name}
    if len(out) < len(names):
        for name in list(out):
            rows = [at.get(f"{name}{BY}{part}", at[name]) for part in truth.stratum.tolist()]
            out[name + _suffix(truth)] = values[rows]
    return out


def _directions(truth: Truth) -> dict[str, Floats]:
    """Directions ``[G]``, or by unit ``[T, G]``."""
    found = _by_stratum(truth, truth.direction_names, truth.directions)
    return {**found, "c_in": truth.c_in, "control_sd": truth.control_sd, "ones": np.ones(len(truth.genes))}


def _answer(truth: Truth, direction: Floats) -> Answer:
    """A direction as an answer for every unit, its largest value over expressed genes set to 1."""
    shift = np.broadcast_to(direction, truth.y.shape) * truth.expressed
    shift = shift / np.maximum(np.abs(shift).max(axis=1, initial=0.0), np.finfo(np.float64).tiny)[:, None]
    pattern = standardise(shift, truth.scored)
    told = (pattern.sd > 1e-6)[:, None]  # a constant is no direction
    return Answer(
        np.where(told, np.nan_to_num(pattern.unit), 0.0), np.where(told, calls(shift, shift, truth.scored), 0.0)
    )


def _bases(truth: Truth) -> tuple[Floats, Floats]:
    """Bases of all directions ``[k, G]``, centred over expressed genes: as they are, and as signed ranks."""
    rows = np.vstack([truth.directions, np.unique(truth.c_in, axis=0), truth.control_sd, np.ones(len(truth.genes))])
    rows = rows * truth.expressed
    rows = rows / np.maximum(np.abs(rows).max(axis=1, initial=0.0), np.finfo(np.float64).tiny)[:, None]
    everywhere = np.broadcast_to(truth.expressed, rows.shape)
    return orthonormal(rows, truth.expressed), orthonormal(calls(rows, rows, everywhere), truth.expressed)


def orthonormal(rows: Floats, genes: NDArray[np.bool_]) -> Floats:
    """Orthonormal basis of rows centred over some genes ``[k, G]``, 0 at the others."""
    centred = np.where(genes, rows - rows[:, genes].mean(axis=1, keepdims=True), 0.0) if genes.any() else 0.0 * rows
    norm = np.sqrt(np.vecdot(centred, centred))
    # Alike whatever the scale of a row: a constant one is left out.
    unit = centred[norm > 1e-9 * np.sqrt(len(genes))] / norm[norm > 1e-9 * np.sqrt(len(genes)), None]
    _, size, axes = np.linalg.svd(unit, full_matrices=False)
    return np.asarray(axes[size > 1e-6 * size.max(initial=0.0)])


def cuts(units: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Random halves of some units, and their complements ``[2 x 100, units]``: those that an answer is fitted to."""
    half = np.argsort(rng.random((CUTS, units)), axis=1) < units // 2
    return np.concatenate([half, ~half])


def best_in_span(truths: Floats, scored: NDArray[np.bool_], basis: Floats, fitted: NDArray[np.bool_]) -> Floats:
    """Mean over cuts of the standardised best vector of the span, for units that it was not fitted to ``[T, G]``.

    Its product with a standardised truth is the unit's mean score out of half. On the fitted units the vector of norm 1
    in the span that agrees best on average is the projection of their mean truth. Own targets are left out of a unit's
    truth (they are 0 in it) and of its score, as the metric leaves them out; the vector is fitted on all other units'
    values there.

    Args:
        truths: Standardised truths, 0 at genes that are not scored ``[T, G]``.
        scored: ``[T, G]``.
        basis: Orthonormal ``[k, G]``.
        fitted: From :func:`cuts` ``[n, T]``.
    """
    mean = fitted @ truths / np.maximum(fitted.sum(axis=1), 1)[:, None]
    vectors = (mean @ basis.T) @ basis  # [n, G]
    genes = scored.astype(np.float64)
    count = np.maximum(genes.sum(axis=1), 1)
    level = vectors @ genes.T / count  # [n, T], mean over the unit's scored genes
    norm = np.sqrt(np.maximum(vectors**2 @ genes.T - count * level**2, 0.0))
    out = ~fitted & (norm > 0)
    weight = np.divide(out, norm, out=np.zeros_like(norm), where=out) / np.maximum((~fitted).sum(axis=0), 1)
    return np.asarray((weight.T @ vectors - (weight * level).sum(axis=0)[:, None]) * genes)


def best_size(true: Floats, fitted: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Scores out of half of the size that is best on the other half, and the mean of these sizes ``[T]`` each.

    The constant that is least wrong on average in the log is the median.

    Args:
        true: Log sizes by half of the cells ``[H, T]``; NaN = undefined.
        fitted: From :func:`cuts` ``[n, T]``.
    """
    mean = mean_known(true)
    sizes = np.array(
        [np.median(mean[f & np.isfinite(mean)]) if (f & np.isfinite(mean)).any() else -np.inf for f in fitted]
    )
    scores = np.array(
        [np.where(f, np.nan, mean_known(size_score(s, true))) for s, f in zip(sizes, fitted, strict=True)]
    )
    with np.errstate(invalid="ignore"):
        return mean_known(scores), mean_known(np.where(fitted, np.nan, sizes[:, None]))


def _spans(truth: Truth, halves: Halves) -> Iterator[Scored]:
    """The span as an answer: fitted to all units, to those of a stratum, and to each subgroup."""
    bases = _bases(truth)
    everyone = np.arange(len(truth.cells))

    def fit(name: str, parts: list[NDArray[np.int64]]) -> Scored:
        pattern, de = (np.full(truth.y.shape, np.nan) for _ in range(2))
        score, size = (np.full(len(everyone), np.nan) for _ in range(2))
        for rows in parts:
            fitted = cuts(len(rows), np.random.default_rng([_seed(truth), len(rows), 0x59A4]))
            for out, truths, basis in ((pattern, halves.pattern, bases[0]), (de, halves.de, bases[1])):
                mine = truths[rows]
                out[rows] = best_in_span(np.nan_to_num(mine), truth.scored[rows], basis, fitted)
                out[rows[np.isnan(mine).any(axis=1)]] = np.nan
            score[rows], size[rows] = best_size(halves.size[:, rows], fitted)
        return Scored(name, Answer(pattern, de, size), score)

    yield fit("span", [everyone])
    strata = [np.flatnonzero(truth.stratum == name) for name in np.unique(truth.stratum).tolist()]
    large = [rows for rows in strata if len(rows) >= MIN_UNITS]
    if len(strata) > 1 and large:
        # Units of a rarer stratum keep what is fitted to all.
        whole = fit("span", [everyone])
        own = fit("span" + _suffix(truth), large)
        yield _merged(own, whole)
    subgroup = np.array(truth.subgroup, dtype=np.str_)
    for name in sorted({name for name in truth.subgroup if name}):
        rows = np.flatnonzero(subgroup == name)
        if len(rows) >= MIN_UNITS:
            yield fit(f"span{BY}{name}", [rows])


def _seed(truth: Truth) -> int:
    """Follows from the test units of the task."""
    return int(sha256_json([list(unit) for unit in truth.units])[:8], 16)


def _merged(own: Scored, whole: Scored) -> Scored:
    """One answer where it is fitted, another elsewhere."""

    def either(a: Floats | None, b: Floats | None) -> Floats:
        assert a is not None
        assert b is not None
        return np.where(np.isnan(a), b, a)

    answer = Answer(*(either(a, b) for a, b in zip(own.answer, whole.answer, strict=True)))
    return Scored(own.name, answer, either(own.size, whole.size))
