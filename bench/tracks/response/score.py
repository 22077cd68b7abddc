"""Predictions and truth -> one value per condition and metric, beside the floor's and a replicate's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.results import tables
from bench.results.records import Level
from bench.results.summary import summarise
from bench.results.tables import ALL
from bench.stats.intervals import Means, half_width
from bench.tracks.response.align import Cells, align, predicted_sample
from bench.tracks.response.evaluate import evaluate_all
from bench.tracks.response.metrics import METRICS
from bench.tracks.response.truth.fields import Truth

__all__ = ["align", "effect_tertiles", "levels", "predicted_sample", "score_table", "sizes", "wide"]
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


def sizes(levels_: Mapping[str, Mapping[str, Level]]) -> dict[str, int]:
    """Count the conditions of each scope but ``all``."""
    return {
        scope: max(level.n + level.n_undefined for level in by_metric.values())
        for scope, by_metric in levels_.items()
        if scope != ALL
    }


def levels(table: pd.DataFrame) -> dict[str, dict[str, Level]]:
    """Average a score table over conditions, for all of them, each subgroup and each tertile of effect strength.

    Args:
        table: From :func:`score_table`.
    """
    names = [name for name in METRICS if name in set(table["metric"])]
    arranged = tables.arrange(pa.Table.from_pandas(table, preserve_index=False), names)
    degenerate = table[table["degenerate"]].groupby(["scope", "metric"])["condition"].agg(set).to_dict()
    out = {}
    for scope, conditions in arranged.conditions.items():
        total = summarise([[arranged]], scope)
        value, width = total.levels["value"], half_width(*_level_draws(total.levels["value"]))
        out[scope] = {
            name: Level(
                mean=_number(value.theta[m]),
                ci_low=_number(value.theta[m] - width[m]),
                ci_high=_number(value.theta[m] + width[m]),
                n=int(value.n[m]),
                n_undefined=len(conditions) - int(value.n[m]),
                n_degenerate=sum(
                    tables.identity_name(c) in conditions for c in degenerate.get((_scope_of(name, scope), name), ())
                ),
                floor=_number(total.levels["floor"].theta[m]),
                replicate=_number(total.levels["half_replicate"].theta[m]),
                skill=_number(total.skill.value[m]),
                skill_reason=total.skill.reason[m] or None,
            )
            for m, name in enumerate(names)
        }
    return out


def _scope_of(metric: str, scope: str) -> str:
    """Name the rows that a metric has in a scope: its own where it has a gallery there."""
    return scope if "gallery" in METRICS[metric].needs and scope not in tables.EFFECTS else ALL


def _level_draws(m: Means) -> tuple[Floats, Floats, NDArray[np.int64]]:
    return m.level, m.n, m.distinct


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


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
