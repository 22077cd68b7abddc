"""Predictions and truth -> one value per condition and metric, beside the floor's and a replicate's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.results import tables
from bench.results.levels import Level
from bench.results.levels import levels as average_levels
from bench.results.tables import ALL, Table
from bench.tracks.response.align import Cells, align, predicted_sample
from bench.tracks.response.evaluate import evaluate_all
from bench.tracks.response.metrics import METRICS
from bench.tracks.response.track import TRACK
from bench.tracks.response.truth.fields import Truth

__all__ = ["align", "effect_tertiles", "levels", "predicted_sample", "score_table", "table_of", "wide"]
#: Columns of a score table that :func:`bench.tracks.response.evaluate.columns` gives.
COLUMNS = ("value", "degenerate", "floor", "half_value", "half_floor", "half_replicate")


def score_table(
    truth: Truth,
    y_hat: Floats,
    fallbacks: NDArray[np.int64],
    subgroups: Mapping[str, Sequence[str]],
    cells: Cells | None = None,
) -> pd.DataFrame:
    """Score a prediction, the floor and the replicate, on all cells and on halves.

    Args:
        truth: Truth of the task.
        y_hat: Predicted means ``[T, G]``.
        fallbacks: Constituents that fell back ``[T]``.
        subgroups: Test conditions by subgroup.
        cells: Predicted cells of each condition, where the file holds some; the floor never has any.

    Returns:
        One row per condition, metric and scope. ``effect`` is the tertile of effect strength. ``scope`` is ``all``, or
        a subgroup for metrics whose gallery is that subgroup. ``value`` and ``floor`` are against all cells of the
        condition; ``half_value``, ``half_floor`` and ``half_replicate`` are means over the halves.
    """
    sample = None if cells is None else predicted_sample(truth, cells)
    group_of = {name: group for group, names in subgroups.items() for name in names}
    groups = _strings([group_of[name] for name in truth.conditions])
    everyone = np.arange(len(truth.conditions))
    scopes = {ALL: everyone, **{g: rows for g in subgroups if len(rows := np.flatnonzero(groups == g))}}
    found = evaluate_all(truth, y_hat, sample, {g: rows for g, rows in scopes.items() if g != ALL})
    kept = [(metric, scope) for metric in METRICS for scope in scopes if (metric, scope) in found]
    at = np.concatenate([scopes[scope] for _, scope in kept])
    lengths = [len(scopes[scope]) for _, scope in kept]
    table = pd.DataFrame(
        {
            "condition": _strings(truth.conditions)[at],
            "context": _strings([unit.context for unit in truth.units])[at],
            "subgroup": groups[at],
            "metric": np.repeat(_strings([metric for metric, _ in kept]), lengths),
            "scope": np.repeat(_strings([scope for _, scope in kept]), lengths),
            **{name: np.concatenate([found[key][name] for key in kept]) for name in COLUMNS},
            "fallbacks": fallbacks[at],
            "cells": truth.cells[at].astype(np.int64),
        }
    )
    strength = found["pearson_delta", ALL]["half_replicate"]
    table["effect"] = _strings(effect_tertiles(strength))[at]
    return table


def _strings(names: Sequence[str]) -> NDArray[Any]:
    """As the objects that a pandas column holds."""
    return np.array(names, dtype=np.object_)


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """One row per condition, one column per metric, against all cells."""
    rows = table[table["scope"] == ALL]
    return rows.pivot_table(index=["condition", "subgroup"], columns="metric", values="value").reset_index()


def table_of(scored: pd.DataFrame) -> Table:
    """Arrange a score table as records keep it.

    Args:
        scored: From :func:`score_table`.
    """
    return tables.from_long(TRACK, scored)


def levels(scored: pd.DataFrame) -> dict[str, dict[str, Level]]:
    """Average a score table over conditions, for all of them, each subgroup and each tertile of effect strength.

    Args:
        scored: From :func:`score_table`.
    """
    return average_levels(TRACK, table_of(scored))


def effect_tertiles(replicate: Floats) -> list[str]:
    """Cut conditions in thirds by how well a replicate predicts them: that is how strong an effect can be seen.

    Args:
        replicate: Pearson delta of a replicate ``[T]``; undefined counts as none.

    Returns:
        One of :data:`bench.results.tables.EFFECTS` per condition; empty strings with fewer than 9 conditions.
    """
    if len(replicate) < 9:
        return [""] * len(replicate)
    order = np.argsort(np.argsort(np.nan_to_num(replicate, nan=-1.0), kind="stable"), kind="stable")
    return [tables.EFFECTS[3 * int(rank) // len(replicate)] for rank in order]
