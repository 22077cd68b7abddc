"""What all figures are made of: one data set's and split's rows and boards."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bench.core.console import note, seed_text
from bench.core.errors import BenchError, unknown
from bench.core.track import Track
from bench.core.typing import Floats
from bench.reports.text import null_families
from bench.results import leaderboard
from bench.results.board import BARS, Row, board, gather
from bench.results.rows import anchors, share_tasks
from bench.results.tables import ALL, EFFECTS


@dataclass(frozen=True)
class FigureData:
    """One board, ready to be drawn.

    Attributes:
        track: The board's track.
        dataset: Data set name.
        split: Split name.
        seeds: Split seeds.
        rows: Rows to draw by label, best first.
        everyone: All rows of the board, drawn or not.
        boards: By scope: all conditions, each subgroup, each tertile of effect strength.
        names: What to print for a label, as wide as a panel.
        wide: The same, as wide as a margin.
        nulls: Which families have no skill, and why; empty where all have.
        smoke: Whether the data can carry no claim.
    """

    track: Track
    dataset: str
    split: str
    seeds: tuple[int, ...]
    rows: Mapping[str, Row]
    everyone: Mapping[str, Row]
    boards: Mapping[str, pd.DataFrame]
    names: Mapping[str, str]
    wide: Mapping[str, str]
    nulls: str
    smoke: bool

    @property
    def subgroups(self) -> list[str]:
        """Subgroups that have conditions."""
        return [scope for scope in self.boards if scope != ALL and scope not in EFFECTS]

    @property
    def tertiles(self) -> list[str]:
        """Tertiles that have conditions, weakest first."""
        return [scope for scope in EFFECTS if scope in self.boards]

    @property
    def heading(self) -> str:
        """Data, split, seeds, and on how many conditions all this stands."""
        pairs = int(self.boards[ALL]["n_conditions"].max())
        anchor = {seed: row.by_seed[seed][0] for row in self.everyone.values() for seed in row.by_seed}
        distinct = len({name for found in anchor.values() for name in found.values.conditions[ALL]})
        size = (
            f"{pairs} conditions"
            if len(self.seeds) == 1
            else f"{distinct} conditions ({pairs} over {len(self.seeds)} seeds)"
        )
        return f"{self.dataset} | {self.split} | {seed_text(list(self.seeds))} | {size}"

    def level(self, scope: str, label: str) -> pd.Series[float]:
        """One row of a board, indexed by column."""
        table = self.boards[scope]
        return table.loc[table["model"] == label].iloc[0]

    def points(self, label: str, metric: str, fields: Sequence[str]) -> pd.DataFrame:
        """Per-condition numbers of a row, one line per condition and split seed; several head seeds are averaged.

        Args:
            label: The row.
            metric: Metric name.
            fields: Of :data:`bench.results.tables.FIELDS`.
        """
        column, frames = list(self.track.metrics).index(metric), []
        for seed, group in sorted(self.everyone[label].by_seed.items()):
            table = group[0].values
            blocks: dict[str, Floats] = {
                field: np.mean([found.values.column(ALL, field, column) for found in group], axis=0) for field in fields
            }
            frame = pd.DataFrame({"condition": table.conditions[ALL], "seed": seed, **blocks})
            for what, scopes in (("subgroup", self.subgroups), ("effect", self.tertiles)):
                place = {name: scope for scope in scopes for name in table.conditions.get(scope, ())}
                frame[what] = frame["condition"].map(place)
            frames.append(frame.assign(label=label))
        return pd.concat(frames, ignore_index=True)


#: Drawn where nobody says which.
USUAL_SPLIT = "simulation"


def figure_data(
    track: Track, folders: Sequence[Path], dataset: str, split: str | None = None, models: Sequence[str] | None = None
) -> FigureData:
    """Read one board's records.

    Args:
        track: The board's track.
        folders: See :func:`bench.results.leaderboard.collect`.
        dataset: Data set name.
        split: Split name; ``None`` = the only one there is, or ``simulation`` among several.
        models: Rows wanted, by label, or by model name where that is no row's label; ``None`` = all but variants, where
            there are others.

    Raises:
        BenchError: Unknown data set, split or model, or damaged records.
    """
    everything = leaderboard.collect(track, folders)
    known = {item.record.spec.dataset for item in everything}
    if not known:
        raise BenchError(f"no records under {', '.join(map(str, folders))}. Make some with 'bench run'.")
    if dataset not in known:
        raise unknown("data set", dataset, known)
    found = leaderboard.group(item for item in everything if item.record.spec.dataset == dataset)
    splits = [kind for name, kind in found if name == dataset]
    if split is None and USUAL_SPLIT in splits:
        split = USUAL_SPLIT
    if split is None and len(splits) > 1:
        raise BenchError(f"'{dataset}' has records of several splits; choose one: {', '.join(sorted(splits))}.")
    if split is None:
        split = splits[0]
    if split not in splits:
        raise unknown("split", split, splits)
    items = found[dataset, split]
    seeds, rows = gather(items)
    share_tasks(rows, anchors(rows, seeds))
    without = sorted(label for label, row in rows.items() if not row.has_values)
    if without:
        note(f"not drawn, as their records have no values by unit: {', '.join(without)}")
        rows = {label: row for label, row in rows.items() if row.has_values}
    chosen = _chosen(rows, models)
    whole = board(items)
    if whole.empty:
        raise BenchError(f"the records of {dataset}__{split} hold no conditions.")
    labels = [label for label in whole["model"] if label in chosen]
    remarks = {label: _remark(rows[label], len(seeds)) for label in labels}
    scopes = leaderboard.scopes(items)
    boards = {ALL: whole, **{scope: part for scope in scopes if not (part := board(items, scope)).empty}}
    return FigureData(
        track=track,
        dataset=dataset,
        split=split,
        seeds=tuple(seeds),
        rows={label: rows[label] for label in labels},
        everyone=rows,
        boards=boards,
        names=printed(remarks, width=24, lines=5),
        wide=printed(remarks, width=46, lines=3),
        nulls=null_families(track, whole),
        smoke=items[0].record.evidence == "smoke",
    )


def _chosen(rows: Mapping[str, Row], models: Sequence[str] | None) -> set[str]:
    kinds = {label: row.records[0].spec.model for label, row in rows.items()}
    for name in models or ():
        if name in BARS:
            raise BenchError(f"'{name}' is drawn in every figure; name the models beside it.")
        if name not in kinds and name not in kinds.values():
            raise unknown("model", name, {*kinds, *kinds.values()})
    if models is None:
        plain = {label for label in kinds if not rows[label].records[0].spec.variant}
        if plain and (hidden := len(kinds) - len(plain)):
            note(f"{hidden} variants of models are not drawn; --models 'MODEL[NAME=VALUE]' names one.")
        return plain or set(kinds)
    return {label for label, kind in kinds.items() if label in models or (kind in models and kind not in kinds)}


def _remark(row: Row, n_seeds: int) -> list[str]:
    missing = [f" ({len(row.by_seed)} of {n_seeds} seeds)"] if len(row.by_seed) < n_seeds else []
    alien = sorted({record.controls_used for record in row.records} - {"input"})
    return ([f" (controls: {', '.join(alien)})"] if alien else []) + missing


def printed(remarks: Mapping[str, Sequence[str]], width: int, lines: int) -> dict[str, str]:
    """Wrap long labels at their joints; lines are parted by a newline. Names that would look alike get a number.

    Args:
        remarks: What to add to each label, each part kept on one line.
        width: Characters per line.
        lines: Most lines; the middle of what is longer is left out.
    """
    out: dict[str, str] = {}
    for label, remark in remarks.items():
        whole = re.sub(r"\s+", " ", label)
        rows = [""]
        for piece in [*re.findall(r"[^,\[_\-\s]*[,\[_\-\s]|[^,\[_\-\s]+", whole), *remark]:
            for part in [piece] if _breadth(piece) <= width else piece:
                if rows[-1] and _breadth(rows[-1] + part) > width:
                    rows.append("")
                rows[-1] += part
        if len(rows) > lines:
            end = whole + "".join(remark)
            while _breadth(end) > width - 2:
                end = end[1:]
            rows = [*rows[: lines - 1], "… " + end]
        name = text = "\n".join(row.strip() for row in rows)
        number = 1
        while name in out.values():
            number += 1
            name = f"{text} ({number})"
        out[label] = name
    return out


def _breadth(text: str) -> float:
    """About how many average letters wide a text is."""
    wide = sum(c.isupper() or c in "mw@%" or ord(c) > 127 for c in text)
    return len(text) + 0.4 * wide
