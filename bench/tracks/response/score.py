"""Predictions and truth -> one value per condition and metric, beside what blind answers and a replicate score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.results import tables
from bench.results.levels import Level
from bench.results.levels import levels as average_levels
from bench.results.tables import ALL, BLIND, Table
from bench.tracks.response import bars
from bench.tracks.response.align import Cells, align, predicted_sample
from bench.tracks.response.bars import CHANCE, Bars, effect_tertiles, mean_draws, where_defined
from bench.tracks.response.evaluate import half_values, moved_identity, over_units, scopes, values_of
from bench.tracks.response.families import DE, EPISTASIS, IDENTITY, PATTERN, SIZE, answer_of, draw_scores
from bench.tracks.response.track import TRACK
from bench.tracks.response.truth.fields import Truth

__all__ = ["Scored", "align", "effect_tertiles", "levels", "predicted_sample", "score_table", "table_of"]
#: What is had in a family without knowing what is asked, where it needs no answer: of epistasis, by the plain sum too.
AT_CHANCE = {IDENTITY: 0.5, EPISTASIS: 0.0}
#: Columns that are a prediction's own.
OWN = ("value", "degenerate", "influence")


@dataclass(frozen=True, eq=False)
class Scored:
    """What a prediction scores, and its task beside it.

    Attributes:
        frame: One row per condition, metric and scope. ``scope`` is ``all``, or a subgroup for metrics whose gallery is
            within that subgroup. ``value`` and ``floor`` are against all cells of the condition; ``half_value``,
            ``half_floor`` (of metrics that stand for families), ``half_replicate`` and ``blind:<answer>`` are means
            over the halves. ``influence`` is what a condition moves a mean by beyond its own value. ``effect`` is the
            tertile of effect strength.
        draws: How far the mean value moves under bootstraps of the reference controls ``[50]``, by scope and metric.
        task_draws: The same of blind answers, and of the ceiling (``replicate``), by scope, metric and answer.
    """

    frame: pd.DataFrame
    draws: Mapping[tuple[str, str], Floats]
    task_draws: Mapping[tuple[str, str, str], Floats]


def score_table(
    truth: Truth, y_hat: Floats, fallbacks: NDArray[np.int64], cells: Cells | None = None, states: Floats | None = None
) -> Scored:
    """Score a prediction on all cells and, for the metrics that stand for families, on halves.

    Args:
        truth: Truth of the task.
        y_hat: Predicted means ``[T, G]``.
        fallbacks: Constituents that fell back ``[T]``.
        cells: Predicted cells of each condition, where the file holds some.
        states: Predicted shifts of each condition by state ``[T, K, G]``, likewise.
    """
    known = bars.load(truth)
    sample = None if cells is None else predicted_sample(truth, cells)
    found = over_units(truth, values_of(truth, y_hat, sample, states))
    halves = half_values(truth, y_hat, known.halves)
    at = np.concatenate([scopes(truth)[scope] for _, scope in known.columns])
    lengths = [len(scopes(truth)[scope]) for _, scope in known.columns]
    undefined = {key: np.full(n, np.nan) for key, n in zip(known.columns, lengths, strict=True)}
    frame = pd.DataFrame(
        {
            "condition": _strings(truth.conditions)[at],
            "context": _strings([unit.context for unit in truth.units])[at],
            "subgroup": _strings(truth.subgroup)[at],
            "metric": np.repeat(_strings([metric for metric, _ in known.columns]), lengths),
            "scope": np.repeat(_strings([scope for _, scope in known.columns]), lengths),
            **{name: np.concatenate([found[key][name] for key in known.columns]) for name in OWN},
            "floor": known.floor,
            "half_value": np.concatenate([halves.get(key, undefined[key]) for key in known.columns]),
            "half_floor": known.half_floor,
            "half_replicate": known.half_replicate,
            **_blind(known, lengths),
            "fallbacks": fallbacks[at],
            "cells": truth.cells[at].astype(np.int64),
            "effect": _strings(known.effect)[at],
        }
    )
    by_unit = draw_scores(answer_of(align(truth, y_hat)), truth)
    by_unit = where_defined(by_unit, {name: found[name, ALL]["value"] for name in by_unit})
    identity = moved_identity(truth, y_hat)
    identity = where_defined(identity, {scope: found[IDENTITY, scope]["value"] for scope in identity})
    return Scored(frame, mean_draws(truth, known.effect, by_unit, identity), known.task_draws)


def _blind(known: Bars, lengths: Sequence[int]) -> dict[str, Floats]:
    """Columns of blind answers: chance where a family has that as its floor, and the others where they are answers.

    One that remembers the perturbation from other contexts is an answer of every family.
    """
    begins = dict(zip(known.columns, np.cumsum([0, *lengths[:-1]]).tolist(), strict=True))
    total = sum(lengths)
    out = {CHANCE: np.full(total, np.nan)}
    for key, n in zip(known.columns, lengths, strict=True):
        if key[0] in AT_CHANCE:
            rows = slice(begins[key], begins[key] + n)
            out[CHANCE][rows] = np.where(np.isfinite(known.half_replicate[rows]), AT_CHANCE[key[0]], np.nan)
    for name, scores in zip(known.answers, known.blind, strict=True):
        out[name] = np.full(total, np.nan)
        for metric, values in zip((PATTERN, DE, SIZE), scores, strict=True):
            begin = begins[metric, ALL]
            out[name][begin : begin + len(values)] = values
    out |= dict(zip(known.remembered, known.half_remembered, strict=True))
    return {f"{BLIND}{name}": column for name, column in out.items()}


def _strings(names: Sequence[str]) -> NDArray[Any]:
    """As the objects that a pandas column holds."""
    return np.array(names, dtype=np.object_)


def table_of(scored: Scored) -> Table:
    """Arrange a score table as records keep it.

    Args:
        scored: From :func:`score_table`.
    """
    return tables.from_long(TRACK, scored.frame, draws=scored.draws, task_draws=scored.task_draws)


def levels(scored: Scored) -> dict[str, dict[str, Level]]:
    """Average a score table over conditions, for all of them, each subgroup and each tertile of effect strength.

    Args:
        scored: From :func:`score_table`.
    """
    return average_levels(TRACK, table_of(scored))
