"""Predictions for all candidates and the truth -> one value per test unit and metric, and numbers of the whole run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.core.units import Unit
from bench.results.latents import OwnLatents
from bench.results.tables import BLIND
from bench.tracks.planning import bars, own_space, tasks
from bench.tracks.planning.metrics import FAMILIES, METRICS
from bench.tracks.planning.queries import USUAL
from bench.tracks.planning.ranking import measure, places, within_strata
from bench.tracks.planning.scoring import NOISE, Gallery, merged
from bench.tracks.planning.tasks import Predictor, Values
from bench.tracks.planning.truth import Context, Facts, bag_shifts

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model predicts for the candidates of every context.

    Attributes:
        means: By unit, predicted mean expression ``[G]``, log1p.
        fallbacks: By unit, constituents of which the model knew nothing.
    """

    means: Mapping[Unit, Floats | NDArray[np.float32]]
    fallbacks: Mapping[Unit, int]

    def of(self, here: Context) -> tuple[Floats, Rows]:
        """Means ``[C, G]`` in float64 and fallbacks ``[C]`` of the candidates of a context."""
        units = here.candidates.units
        means = np.stack([self.means[unit] for unit in units]).astype(np.float64)
        return means, np.array([self.fallbacks[unit] for unit in units], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Scored:
    """What a model scores.

    Attributes:
        frame: One row per unit and metric, as :func:`bench.results.tables.from_long` takes them.
        numbers: Of the whole run; None = undefined.
    """

    frame: pd.DataFrame
    numbers: dict[str, float | None]


def evaluate(facts: Facts, predictions: Predictions, own: OwnLatents | None = None) -> Scored:
    """Score the predictions of one model.

    Args:
        facts: The truth.
        predictions: Of expression.
        own: The same in its own latents, where it has some.
    """
    known = bars.load(facts)
    parts, nulls, unknown, fell = [], [], 0, []
    for here in facts.contexts:
        shifts, first, informed = merged_predictions(here, predictions)
        unknown += int((~informed).sum())
        tested = (here.candidates.units[i] for i in here.candidates.tested.tolist())
        fell.append(np.array([predictions.fallbacks[unit] for unit in tested], dtype=np.int64))
        gallery = Gallery.of(facts.space(shifts), first, informed)
        who = Predictor(lambda _, gallery=gallery: gallery, facts.space(facts.centre[None])[0])  # type: ignore[misc]
        genes = Gallery.of(shifts[:, facts.space.genes], first, informed)
        parts.append(_values(facts, here, who, known.rooms) | _expression(facts, here, genes))
        if own is not None:
            parts[-1] |= own_space.recovery(facts, here, own, informed)
        nulls.append(_nulls(facts, here, who))
    values = bars.joined(facts, parts)
    numbers = _numbers(facts, known, nulls, unknown)
    return Scored(_frame(facts, values, known, np.concatenate(fell)), numbers)


def merged_predictions(here: Context, predictions: Predictions) -> tuple[Floats, Rows, Bools]:
    """Predicted shifts in one context, and which of them are one.

    Returns:
        Shifts ``[C, G]`` from the mean of the input cells; for each the first that it equals ``[C]``; and whether the
        model knows anything of a candidate ``[C]``.
    """
    means, fallbacks = predictions.of(here)
    # Equal up to what float32 keeps of the *expression*: a shift of nothing is that, and no direction.
    first = merged(means - here.c_in, NOISE * max(1.0, float(np.abs(means).max(initial=0.0))))
    return means - here.c_in, first, fallbacks < np.maximum(here.candidates.number, 1)


def _values(facts: Facts, here: Context, who: Predictor, rooms: dict[str, float]) -> Values:
    """All metrics in the common space ``[T]``."""
    values = tasks.recovery(here, who) | tasks.mixed(here, who) | tasks.pairs(here, who) | tasks.budget(here, who)
    values |= bars.regrets(here, who, rooms)
    raw = bars.families(here, tasks.without_shift(who), rooms)
    for name in (f"{task}_mrr_{USUAL}" for task in ("e1", "e2", "e3")):
        if name in raw:
            values[name.replace("mrr", "mrr_raw")] = raw[name]
    return values | {f"{name}_raw": raw[name] for name in bars.REGRETS}


def _expression(facts: Facts, here: Context, gallery: Gallery) -> Values:
    """E1 by cosines of shifts of genes, the systematic shift removed ``[T]``."""
    centre, rows = facts.centre[facts.space.genes], here.candidates.tested
    total = np.zeros(len(rows))
    for d in range(len(here.halves)):
        scores = gallery.take(rows).scores(bag_shifts(facts.task.dataset, facts, here, d), centre)
        total += measure("mrr", places(scores).of(np.arange(len(rows))), len(rows))
    return {f"e1_mrr_expression_{USUAL}": total / len(here.halves)}


def _nulls(facts: Facts, here: Context, who: Predictor) -> dict[str, tuple[float, float, int]]:
    """By task: the permutation null within strata, its p, and the number of queries."""
    found = {}
    for task in ("e1", "e2", "e3"):
        if not tasks.is_asked(here, task):
            continue
        by_draw, own, rows = tasks.all_places(here, who, task)
        mrr = np.mean([measure("mrr", where, len(rows)) for where in by_draw], axis=0)
        null, p = within_strata(mrr, own, here.candidates.strata[rows], facts.task.split.seed)
        found[task] = (null, p, len(own))
    return found


def _numbers(
    facts: Facts, known: bars.Bars, nulls: list[dict[str, tuple[float, float, int]]], unknown: int
) -> dict[str, float | None]:
    out: dict[str, float | None] = {"n_unknown": float(unknown)}
    counts = {
        "e1": [len(here.candidates.tested) for here in facts.contexts],
        "e2": [here.candidates.measured for here in facts.contexts],
        "e3": [len(here.candidates.pairs) for here in facts.contexts],
    }
    for task, sizes in counts.items():
        here = [found[task] for found in nulls if task in found]
        queries = sum(n for *_, n in here)
        out[f"{task}_candidates"] = float(np.mean(sizes))
        chance = known.chance.get(f"{task}_mrr_{USUAL}")
        out[f"{task}_mrr_chance"] = None if chance is None else _mean(chance)
        out[f"{task}_mrr_null"] = sum(null * n for null, _, n in here) / queries if queries else None
        # Contexts are permuted apart: of several, the smallest p counts, times their number (Bonferroni).
        out[f"{task}_mrr_null_p"] = min(1.0, len(here) * min(p for _, p, _ in here)) if here else None
    return out


def _mean(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _frame(facts: Facts, values: Values, known: bars.Bars, fallbacks: Rows) -> pd.DataFrame:
    units, dataset = facts.units, facts.task.dataset
    nothing = np.full(len(units), np.nan)
    words: dict[str, Any] = {
        "condition": [unit.perturbation for unit in units],
        "context": [unit.context for unit in units],
        "subgroup": [facts.task.split.subgroup_of(unit) for unit in units],
        "cells": [len(dataset.unit_rows(unit)) for unit in units],
        "fallbacks": fallbacks,
    }
    frames = []
    for name in METRICS:
        mine = values.get(name, nothing)
        family = name in FAMILIES.values()
        answers = {f"{BLIND}{answer}": found.get(name, nothing) for answer, found in known.blind.items()}
        frames.append(
            pd.DataFrame(
                {
                    **words,
                    "metric": name,
                    "value": mine,
                    "half_value": mine if family else nothing,
                    "floor": known.chance.get(chance_of(name), nothing),
                    "half_floor": known.chance.get(name, nothing) if family else nothing,
                    "half_replicate": known.replicate.get(name, nothing),
                    **(answers if family else dict.fromkeys(answers, nothing)),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def chance_of(name: str) -> str:
    """The metric whose chance value is that of another: by which space candidates are ranked makes no difference to it.

    Example:
        >>> chance_of("e1_mrr_raw_20"), chance_of("e6_mrr_50"), chance_of("e4_regret_raw")
        ('e1_mrr_20', 'e3_mrr_20', 'e4_regret')
    """
    plain = name.replace("_raw", "").replace("_expression", "")
    return f"e3_mrr_{USUAL}" if plain.startswith("e6_") else plain
