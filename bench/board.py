"""One board: rows of one data set and split with means, intervals, skill and shared ranks.

No row's numbers depend on which other rows are there: all rows share one set of draws, which depends on the test
conditions alone, and a rank only says how many rows are clearly better.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from bench import tables
from bench.errors import BenchError
from bench.intervals import MIN_FAMILIES, Means, beat_rate, half_width, mean_skill
from bench.metrics import METRICS
from bench.records import Record
from bench.shifts import Floats
from bench.summary import Summary, plan_for, summarise
from bench.tables import ALL, Table

FLOOR = "train_mean"
REPLICATE = "replicate"
#: The four families, by the metric that stands for each in the mean skill.
FAMILIES = {metric.family: name for name, metric in METRICS.items() if metric.family}
#: What ``beat_rate`` and ``control_sd`` are about, and the order where no skill is defined.
PRIMARY = FAMILIES["pattern"]
NAMES = tuple(METRICS)


@dataclass(frozen=True)
class Found:
    """A record and where it lies; its per-condition table is read when it is needed."""

    record: Record
    path: Path

    @cached_property
    def table(self) -> Table:
        """The per-condition numbers, metrics in registry order."""
        return tables.read(self.path.with_suffix(".parquet"), NAMES)


@dataclass
class Row:
    """One model on one board.

    Attributes:
        label: Model and what differs from its defaults.
        by_seed: Its records on control fold 0, by split seed.
        folds: Its records on control fold 1, by split seed.
        summary: Levels and skill; set by :func:`board`.
        mean_skill: Mean over families; NaN = null.
        paired: Its draws with the seeds as they are, for paired differences ``[B]``.
        half_width: Of its own 95% interval; NaN = none.
    """

    label: str
    by_seed: dict[int, list[Found]] = field(default_factory=lambda: defaultdict(list))
    folds: dict[int, list[Found]] = field(default_factory=lambda: defaultdict(list))
    summary: Summary | None = None
    mean_skill: float = float("nan")
    paired: Floats = field(default_factory=lambda: np.empty(0))
    half_width: float = float("nan")

    @property
    def records(self) -> list[Record]:
        """All its records on fold 0."""
        return [found.record for seed in sorted(self.by_seed) for found in self.by_seed[seed]]

    @property
    def honest(self) -> bool:
        """Whether its predictions were made from the input controls: anything else gets no skill, rank or claim."""
        return all(record.controls_used == "input" for record in self.records)


def gather(items: Iterable[Found], seeds: Sequence[int] | None = None) -> tuple[list[int], dict[str, Row]]:
    """Sort a board's records into rows.

    Args:
        items: Records of one data set and split.
        seeds: Split seeds wanted; absent = those of the floor's own records, or else all.

    Returns:
        The seeds and the rows by label, with records of these seeds only.
    """
    items = list(items)
    zero = [item for item in items if item.record.spec.control_fold == 0]
    floor = {item.record.spec.split_seed for item in zero if item.record.spec.label == FLOOR}
    wanted = sorted(set(seeds) if seeds is not None else floor or {item.record.spec.split_seed for item in zero})
    rows: dict[str, Row] = {}
    for item in items:
        spec = item.record.spec
        if spec.split_seed in wanted:
            row = rows.setdefault(spec.label, Row(spec.label))
            (row.folds if spec.control_fold else row.by_seed)[spec.split_seed].append(item)
    present = sorted({seed for row in rows.values() for seed in row.by_seed})
    return [seed for seed in wanted if seed in present], {k: row for k, row in rows.items() if row.by_seed}


def board(items: Sequence[Found], scope: str = ALL, seeds: Sequence[int] | None = None) -> pd.DataFrame:
    """Make the table of one data set and split.

    Args:
        items: Its records.
        scope: ``all``, a subgroup or a tertile of effect strength.
        seeds: See :func:`gather`. Rows that lack one of them are listed without a rank.

    Returns:
        One row per model and variant, then the replicate and the floor; undefined numbers are NaN.
    """
    wanted, rows = gather(items, seeds)
    anchor = {seed: next(r.by_seed[seed][0] for r in rows.values() if seed in r.by_seed) for seed in wanted}
    if not any(found.table.conditions.get(scope) for found in anchor.values()):
        return pd.DataFrame()
    base = [[anchor[seed].table] for seed in wanted]
    plan = plan_for(base, scope)
    _check_task(rows, anchor, scope)
    bars = summarise(base, scope, plan)
    for row in rows.values():
        own = sorted(row.by_seed)
        by_seed = [[found.table for found in row.by_seed[seed]] for seed in own]
        whole = own == wanted
        row.summary = summarise(by_seed, scope, plan if whole else None, bars.levels if whole else None)
        if row.honest:
            _place(row, row.summary)
    ranks = _ranks([row for row in rows.values() if _ranked(row, wanted)])
    lines = [_line(row, wanted, scope, ranks) for label, row in rows.items() if label != FLOOR]
    lines.append(_bar(REPLICATE, bars, "half_replicate", 1.0, len(wanted)))
    floor = rows.get(FLOOR)
    own_line = _line(floor, wanted, scope, {}) if floor and sorted(floor.by_seed) == wanted else None
    lines.append(own_line or _bar(FLOOR, bars, "floor", 0.0, len(wanted)))
    table = pd.DataFrame(lines)
    table["_bar"] = table["model"].map({REPLICATE: 1, FLOOR: 2}).fillna(0)
    table["_order"] = -table["skill"].fillna(-np.inf).astype(float)
    table["_then"] = -table[PRIMARY].fillna(-np.inf)
    order = ["_bar", "rank", "_order", "_then", "model"]
    table = table.sort_values(order, na_position="last", ignore_index=True).drop(columns=["_bar", "_order", "_then"])
    counts = ["rank", "rank_low", "rank_high", "n_seeds", "n_conditions", "n_informative", "n_fallback", "parameters"]
    table[counts] = table[counts].astype("Int64")
    table.attrs["skill_reasons"] = dict(zip(NAMES, bars.skill.reason, strict=True))
    return table


def _place(row: Row, summary: Summary) -> None:
    families = [NAMES.index(name) for name in FAMILIES.values()]
    skill = summary.skill
    row.mean_skill = float(mean_skill(skill.value[families]))
    row.paired = mean_skill(skill.paired[:, families])
    row.half_width = _width(summary, mean_skill(skill.level[:, families]))


def _ranked(row: Row, wanted: Sequence[int]) -> bool:
    return sorted(row.by_seed) == list(wanted) and row.label != FLOOR and np.isfinite(row.mean_skill)


def _ranks(rows: Sequence[Row]) -> dict[str, tuple[int, int, int]]:
    """Rank rows by mean skill: place, and the places they share with rows whose paired interval includes 0."""
    out = {}
    for row in rows:
        better = clearly_better = clearly_worse = 0
        for other in rows:
            gap = other.mean_skill - row.mean_skill
            better += gap > 1e-12
            if other is not row:
                assert row.summary is not None
                width = np.nan_to_num(_width(row.summary, other.paired - row.paired), nan=np.inf)
                clearly_better += gap > width
                clearly_worse += -gap > width
        out[row.label] = (1 + better, 1 + clearly_better, len(rows) - clearly_worse)
    return out


def _width(summary: Summary, draws: Floats) -> float:
    m = NAMES.index(PRIMARY)
    level = summary.levels["half_floor"]
    return float(half_width(draws[:, None], level.n[[m]], level.distinct[[m]])[0])


def _check_task(rows: Mapping[str, Row], anchor: Mapping[int, Found], scope: str) -> None:
    """Records of one task must hold the same conditions, floor and replicate."""
    m = NAMES.index(PRIMARY)
    for row in rows.values():
        for seed, group in row.by_seed.items():
            for found in group:
                if found.table.conditions.get(scope) != anchor[seed].table.conditions.get(scope):
                    raise BenchError(
                        f"seed {seed}: {found.path} and {anchor[seed].path} hold different test conditions."
                    )
                for name in ("floor", "half_replicate") if scope in found.table.fields else ():
                    ours = found.table.fields[scope][name][:, m]
                    theirs = anchor[seed].table.fields[scope][name][:, m]
                    if not np.allclose(ours, theirs, atol=1e-6, equal_nan=True):  # machines round differently
                        what = "floor" if name == "floor" else "replicate"
                        raise BenchError(f"seed {seed}: {found.path} and {anchor[seed].path} disagree on the {what}.")


def _columns(level: Means, skill: Floats) -> dict[str, float]:
    width = half_width(level.level, level.n, level.distinct)
    out = {}
    for m, name in enumerate(NAMES):
        out[name] = level.theta[m]
        out[f"{name}_ci_low"] = level.theta[m] - width[m]
        out[f"{name}_ci_high"] = level.theta[m] + width[m]
        out[f"{name}_skill"] = skill[m]
    return out


def _line(row: Row, wanted: Sequence[int], scope: str, ranks: Mapping[str, tuple[int, int, int]]) -> dict[str, object]:
    assert row.summary is not None
    rank: tuple[int | None, ...] = ranks.get(row.label, (None, None, None))
    summary, m = row.summary, NAMES.index(PRIMARY)
    first = [row.by_seed[seed][0] for seed in sorted(row.by_seed)]
    n = sum(len(found.table.conditions.get(scope, ())) for found in first)
    fell = sum(int((found.table.fallbacks[scope] > 0).sum()) for found in first if scope in found.table.fallbacks)
    budgets = [record.budget for record in row.records]
    beats = [beat_rate(v["value"][:, m], v["floor"][:, m]) for v in summary.values]
    width = row.half_width if row.label != FLOOR else float("nan")
    return {
        "rank": rank[0],
        "rank_low": rank[1],
        "rank_high": rank[2],
        "model": row.label,
        "skill": row.mean_skill if row.label != FLOOR else 0.0,
        "skill_ci_low": row.mean_skill - width,
        "skill_ci_high": row.mean_skill + width,
        "n_seeds": len(first),
        "n_conditions": n,
        "n_informative": n - fell,
        **_columns(summary.levels["value"], summary.skill.value if row.honest else np.full(len(NAMES), np.nan)),
        "beat_rate": _average(beats) if row.label != FLOOR else np.nan,
        "control_sd": _control_sd(row, wanted, scope),
        "n_fallback": fell,
        "wall_s": _average(b.fit_s + b.predict_s for b in budgets if b.fit_s is not None and b.predict_s is not None),
        "parameters": max((sum(b.parameters.values()) for b in budgets if b.parameters is not None), default=None),
        "run_ids": " ".join(
            sorted(f.record.run_id for group in (row.by_seed, row.folds) for found in group.values() for f in found)
        ),
    }


def _bar(label: str, summary: Summary, name: str, skill: float, n_seeds: int) -> dict[str, object]:
    m = NAMES.index(PRIMARY)
    room = [not reason for reason in summary.skill.reason]
    beats = [beat_rate(v[name][:, m], v["half_floor"][:, m]) for v in summary.values]
    known = sum(room[NAMES.index(f)] for f in FAMILIES.values()) >= MIN_FAMILIES
    return {
        "rank": None,
        "rank_low": None,
        "rank_high": None,
        "model": label,
        "skill": skill if known else np.nan,
        "skill_ci_low": np.nan,
        "skill_ci_high": np.nan,
        "n_seeds": n_seeds,
        "n_conditions": sum(len(v[name]) for v in summary.values),
        "n_informative": None,
        **_columns(summary.levels[name], np.where(room, skill, np.nan)),
        "beat_rate": _average(beats) if label == REPLICATE else np.nan,
        "control_sd": np.nan,
        "n_fallback": None,
        "wall_s": np.nan,
        "parameters": None,
        "run_ids": "",
    }


def _control_sd(row: Row, wanted: Sequence[int], scope: str) -> float:
    """Half the difference between the two control folds in the primary metric: what the choice of controls is worth."""
    if sorted(row.folds) != list(wanted) or sorted(row.by_seed) != list(wanted):
        return float("nan")
    m = NAMES.index(PRIMARY)

    def level(groups: Mapping[int, list[Found]]) -> float:
        return _average(
            _average(f.table.fields[scope]["value"][:, m].tolist()) if scope in f.table.fields else float("nan")
            for seed in wanted
            for f in groups[seed]
        )

    return abs(level(row.by_seed) - level(row.folds)) / 2


def _average(values: Iterable[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
