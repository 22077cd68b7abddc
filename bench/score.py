"""Predictions and truth -> one value per condition and metric, beside the floor's and a replicate's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.differential import benjamini_hochberg
from bench.metrics import METRICS, Case, GearsCase, Metric, evaluate
from bench.records import Level
from bench.shifts import Floats
from bench.truth import Truth

ALL = "all"


def case_of(truth: Truth, y_hat: Floats, half: int | None = None) -> Case:
    """Put a prediction beside the whole truth, or beside one half of it with that half's own DE list.

    Args:
        truth: Truth of the task.
        y_hat: Predicted means ``[T, G]``.
        half: Index of a half; absent = all cells.
    """
    y = truth.y if half is None else truth.half_y[half]
    de_z = truth.de_z if half is None else truth.half_de_z[half]
    gallery = truth.expressed & ~truth.targets.any(axis=0)
    return Case(
        y=y,
        y_hat=y_hat,
        d=y - truth.c_ref,
        d_hat=y_hat - truth.c_in,
        scored=truth.expressed & ~truth.targets,
        gallery_scored=gallery,
        train_delta=truth.train_delta,
        control_sd=truth.control_sd,
        expressed=truth.expressed,
        de_z=de_z,
        significant=truth.significant if half is None else benjamini_hochberg(de_z, truth.expressed),
        gears=GearsCase(y=y, control=truth.gears_control, de_genes=truth.gears_de) if half is None else None,
    )


def score_table(
    truth: Truth, y_hat: Floats, fallbacks: NDArray[np.int64], subgroups: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Score a prediction, the floor and the replicate, on all cells and on halves.

    Args:
        truth: Truth of the task.
        y_hat: Predicted means ``[T, G]``.
        fallbacks: Constituents that fell back ``[T]``.
        subgroups: Test conditions by subgroup.

    Returns:
        One row per condition, metric and scope. ``scope`` is ``all``, or a subgroup for metrics whose gallery is that
        subgroup. ``value`` and ``floor`` are against all cells of the condition; ``half_value``, ``half_floor`` and
        ``half_replicate`` are means over the halves.
    """
    floor = truth.c_in + truth.train_delta
    halves = range(len(truth.half_y))
    group_of = {name: group for group, names in subgroups.items() for name in names}
    cases: dict[str, list[Case]] = {"value": [case_of(truth, y_hat)], "floor": [case_of(truth, floor)]}
    cases["half_value"] = [case_of(truth, y_hat, half) for half in halves]
    cases["half_floor"] = [case_of(truth, floor, half) for half in halves]
    # The complement of half h is h ^ 1. It is handed in as a shift of the input cells, so that its delta is measured
    # from the input controls while the truth's is measured from the reference controls.
    cases["half_replicate"] = [case_of(truth, truth.half_y[half ^ 1], half) for half in halves]

    scopes = [(ALL, np.arange(len(truth.conditions)))]
    for group in subgroups:
        rows = np.flatnonzero([group_of[name] == group for name in truth.conditions])
        if len(rows):
            scopes.append((group, rows))
    frames = []
    for metric in METRICS.values():
        for scope, rows in scopes if "gallery" in metric.needs else scopes[:1]:
            frame = pd.DataFrame(
                {
                    "condition": [truth.conditions[i] for i in rows],
                    "subgroup": [group_of[truth.conditions[i]] for i in rows],
                    "metric": metric.name,
                    "scope": scope,
                    **_columns(metric, cases, rows, whole=scope == ALL),
                    "fallbacks": fallbacks[rows],
                    "cells": truth.cells[rows].astype(np.int64),
                }
            )
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _columns(metric: Metric, cases: Mapping[str, list[Case]], rows: NDArray[np.int64], whole: bool) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, group in cases.items():
        if "gears" in metric.needs and name.startswith("half"):
            out[name] = np.full(len(rows), np.nan)
            continue
        results = [evaluate(metric, case if whole else case.subset(rows)) for case in group]
        values = np.stack([result.values for result in results])
        known = np.isfinite(values)
        out[name] = np.where(
            known.any(axis=0), np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan
        )
        if name == "value":
            out["degenerate"] = results[0].degenerate
    return out


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """One row per condition, one column per metric, against all cells."""
    rows = table[table["scope"] == ALL]
    return rows.pivot_table(index=["condition", "subgroup"], columns="metric", values="value").reset_index()


def levels(table: pd.DataFrame, scope: str = ALL) -> dict[str, Level]:
    """Average a score table over conditions.

    Args:
        table: From :func:`score_table`.
        scope: ``all`` or a subgroup.
    """
    return {name: _level(select(table, name, scope)) for name in METRICS if len(select(table, name, scope))}


def select(table: pd.DataFrame, metric: str, scope: str) -> pd.DataFrame:
    """Rows of one metric in one scope: those of a subgroup's own gallery where the metric has one."""
    rows = table[table["metric"] == metric]
    own = rows[rows["scope"] == scope]
    return own if scope == ALL or "gallery" in METRICS[metric].needs else rows[rows["subgroup"] == scope]


def _level(rows: pd.DataFrame) -> Level:
    def mean(name: str) -> float | None:
        values = rows[name].to_numpy(dtype=np.float64)
        return float(np.nanmean(values)) if np.isfinite(values).any() else None

    defined = rows["value"].notna()
    return Level(
        mean=mean("value"),
        n=int(defined.sum()),
        n_undefined=int((~defined).sum()),
        n_degenerate=int(rows["degenerate"].sum()),
        floor=mean("floor"),
        replicate=mean("half_replicate"),
    )
