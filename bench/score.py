"""Predictions and truth -> one value per condition and metric, beside the floor's and a replicate's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench import tables
from bench.case_parts import Cells, cells_part, epistasis_part, half_sample, legacy_part, predicted_sample
from bench.differential import benjamini_hochberg
from bench.intervals import Means, half_width
from bench.metrics import METRICS, Case, GearsCase, Metric, Sample, evaluate
from bench.records import Level
from bench.shifts import Floats
from bench.summary import summarise
from bench.tables import ALL
from bench.truth import Truth


def sampling_variance(truth: Truth, half: int | None = None) -> Floats:
    """Variance of the true shift's own sampling noise ``[T, G]``: of the test cells' mean, and of the controls' mean.

    Args:
        truth: Truth of the task.
        half: Index of a half (even ones hold the odd cell); absent = all cells.
    """
    n = truth.cells if half is None else (truth.cells + 1 - half % 2) // 2
    controls = truth.weights**2 @ (1 / np.maximum(truth.n_controls[:, 1], 1))
    return truth.variance / np.maximum(n, 1)[:, None] + controls[:, None] * truth.control_sd**2


def case_of(truth: Truth, y_hat: Floats, half: int | None = None, cells: Sample | None = None) -> Case:
    """Put a prediction beside the whole truth, or beside one half of it with that half's own DE list.

    Args:
        truth: Truth of the task.
        y_hat: Predicted means ``[T, G]``.
        half: Index of a half; absent = all cells.
        cells: Predicted cells, where the model emits some (see :func:`bench.case_parts.predicted_sample`).
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
        train_y=truth.train_y,
        d_var=sampling_variance(truth, half),
        cells=cells_part(truth, half, cells),
        legacy=legacy_part(truth, half),
        epistasis=epistasis_part(truth),
    )


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
    floor = truth.c_in + truth.train_delta
    halves = range(len(truth.half_y))
    group_of = {name: group for group, names in subgroups.items() for name in names}
    sample = None if cells is None else predicted_sample(truth, cells)
    cases: dict[str, list[Case]] = {"value": [case_of(truth, y_hat, cells=sample)], "floor": [case_of(truth, floor)]}
    cases["half_value"] = [case_of(truth, y_hat, half, sample) for half in halves]
    cases["half_floor"] = [case_of(truth, floor, half) for half in halves]
    # The complement of half h is h ^ 1. It is handed in as a shift of the input cells, so that its delta is measured
    # from the input controls while the truth's is measured from the reference controls.
    cases["half_replicate"] = [
        case_of(truth, truth.half_y[half ^ 1], half, None if sample is None else half_sample(truth, half ^ 1))
        for half in halves
    ]

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
    table = pd.concat(frames, ignore_index=True)
    strength = table[(table["metric"] == "pearson_delta") & (table["scope"] == ALL)]
    thirds = dict(zip(strength["condition"], effect_tertiles(strength["half_replicate"].to_numpy()), strict=True))
    table["effect"] = table["condition"].map(thirds)
    return table


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
        One of :data:`bench.tables.EFFECTS` per condition; empty strings with fewer than 9 conditions.
    """
    if len(replicate) < 9:
        return [""] * len(replicate)
    order = np.argsort(np.argsort(np.nan_to_num(replicate, nan=-1.0), kind="stable"), kind="stable")
    return [tables.EFFECTS[3 * int(rank) // len(replicate)] for rank in order]
