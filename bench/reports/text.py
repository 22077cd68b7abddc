"""A board as people read it: skill and the four families, then ceiling, replicate and floor, then what to distrust."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.core.console import answer, console, note, seed_text
from bench.core.text import escaped
from bench.core.track import Track
from bench.data.features.bank import shorten
from bench.reports.merged import merged
from bench.results import leaderboard, records
from bench.results.board import FLOOR, MAX_FALLBACK, board
from bench.results.entries import BoardEntry
from bench.results.records import Record
from bench.stats.intervals import MIN_CONDITIONS
from bench.tracks import registry

#: Longest name on one line, and the longest that leaves room for two spaces between columns.
_NAME, _ROOMY = 23, 11


def _tells(values: pd.Series[float]) -> bool:
    """Whether a column is worth its width: half of the rows have a value, and one is clearly another than 0."""
    return bool(values.notna().mean() >= 0.5 and (values.fillna(0).abs() >= 0.05).any())


def _number(value: float, form: str = "number") -> str:
    if value is None or math.isnan(value):
        return "-"
    if form == "log_ratio":
        return f"{math.exp(value):.2f}"
    if form == "share":
        return f"{value:.0%}"
    text = f"{value:.2f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def _skill(track: Track, row: Mapping[Hashable, Any]) -> str:
    if row["model"] == FLOOR:
        return "0"
    if pd.isna(row["skill"]):
        return "null"
    if pd.isna(row["skill_ci_low"]):
        return _number(row["skill"])
    texts = [_number(row[name]) for name in ("skill", "skill_ci_low", "skill_ci_high")]
    mean, low, high = ("-1" if text == "-1.00" else text for text in texts)  # as low as skill goes
    return f"{mean} [{low}, {high}]"


def _rank(row: Mapping[Hashable, Any]) -> str:
    if pd.isna(row["rank"]):
        return "-"
    return str(row["rank"]) if row["rank"] == row["rank_high"] else f"{row['rank']}-{row['rank_high']}"


def _mostly(track: Track, row: Mapping[Hashable, Any]) -> str:
    """The family that gave most of the skill; empty where there is none, or none to speak of."""
    found = {family: row[f"{name}_skill"] for family, name in track.families.items()}
    known = {family: value for family, value in found.items() if not pd.isna(value)}
    if not known or pd.isna(row["skill"]) or row["kind"] == "bar":
        return ""
    best = max(known, key=lambda family: known[family])
    return best if known[best] >= 0.005 else "nothing"


def _what(row: Mapping[Hashable, Any], as_mean: int) -> str:
    """What a row is: a model, a control, head-room; in what share of the conditions it fell back, or is the mean."""
    if row["kind"] == "bar":
        return ""
    missing = 0 if pd.isna(row["n_fallback"]) else row["n_fallback"]
    counts = {"fell back": missing, "as mean": as_mean}
    said = [f"{count / row['n_conditions']:.0%} {what}" for what, count in counts.items() if count]
    kind = str(row["kind"]).removesuffix(" with fallbacks")
    return ", ".join([kind, *said] if kind != "model" else said or [kind])


def heading(table: pd.DataFrame, first: Record, seeds: Sequence[int]) -> str:
    """Say what a board is about: data, split, seeds, conditions or units."""
    task = f"{first.spec.dataset} | {first.spec.split} | {seed_text(list(seeds))}"
    contexts = int(table["n_contexts"].max())
    what = "conditions" if contexts == 1 else f"units (condition and context) in {contexts} contexts"
    return f"{task} | {int(table['n_conditions'].max())} {what} | truth against reference controls"


def layout(track: Track, table: pd.DataFrame) -> Table:
    """Lay a board out for a terminal of 100 columns.

    Args:
        track: Its track.
        table: From :func:`bench.results.board.board`.
    """
    longest = max((min(len(str(name)), _NAME) for name in table["model"]), default=0)
    tight = longest > _ROOMY  # one space between columns where two would wrap them
    view = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0) if tight else (0, 1), header_style="bold")
    view.add_column("rank", justify="right")
    view.add_column("model", no_wrap=True, max_width=_NAME)
    skilled = bool(track.families)  # other tracks are ranked by their primary metric
    if skilled:
        view.add_column("skill [95% CI]", no_wrap=True)
    as_mean = table.attrs.get("as_mean", {})
    rows = table[table["kind"] != "bar"]
    columns = [column for column in track.columns if not column.optional or _tells(rows[column.metric])]
    for column in columns:
        view.add_column(column.title, justify="right")
    if skilled:
        view.add_column("mostly by")
        view.add_column("what")
    for row in table.to_dict("records"):
        bar = row["kind"] == "bar"
        view.add_row(
            _rank(row),
            # What differs from a model's defaults goes on a line of its own where both would be cut.
            Text(str(row["model"]) if len(str(row["model"])) <= _NAME else str(row["model"]).replace("[", "\n[", 1)),
            *([_skill(track, row)] if skilled else []),
            *(_number(row[column.metric], column.form) for column in columns),
            *([_mostly(track, row), _what(row, as_mean.get(str(row["model"]), 0))] if skilled else []),
            style="dim" if bar else None,
        )
    return view


def null_families(track: Track, table: pd.DataFrame) -> str:
    """Say which families have no skill and why; empty where all have that the board asks about."""
    reasons = table.attrs.get("skill_reasons", {})
    asked = {
        family: name
        for family, name in track.families.items()
        if not track.metrics[name].optional or table.get(name, pd.Series(dtype=float)).notna().any()
    }
    null = {family: reasons[name] for family, name in asked.items() if reasons.get(name)}
    if not null:
        return ""
    said = "; ".join(f"{family}: {reason}" for family, reason in null.items())
    none = table.loc[table["kind"] == "bar", "skill"].isna().all()
    whole = "These data give no skill and no ranks" if none else "Left out of every row's skill"
    return f"{whole} ({said})."


def floor_answers(table: pd.DataFrame) -> str:
    """Say which condition-blind answer is the floor of each family."""
    found = table.attrs.get("floor_answers", {})
    return f"floor: {', '.join(f'{family} by {answer}' for family, answer in found.items())}" if found else ""


def as_text(track: Track, table: pd.DataFrame) -> str:
    """Lay a board out as plain text, for documents."""
    plain = Console(width=100, file=io.StringIO(), no_color=True)
    plain.print(layout(track, table))
    assert isinstance(plain.file, io.StringIO)
    return "\n".join(line.rstrip() for line in escaped(plain.file.getvalue()).splitlines()) + "\n"


def show(track: Track, table: pd.DataFrame, found: Sequence[Record], seeds: Sequence[int]) -> None:
    """Print one board to standard output; to standard error what to look at first and what to distrust.

    Args:
        track: Its track.
        table: From :func:`bench.results.board.board`.
        found: Records of the same data set and split.
        seeds: The split seeds that it averages over.
    """
    answer.print(Text(heading(table, found[0], seeds), style="bold"))
    answer.print(layout(track, table))
    console.print(Text(track.legend, style="dim"))
    for line in warnings_of(track, table, found, seeds):
        console.print(Text(line, style="yellow"))


def warnings_of(track: Track, table: pd.DataFrame, found: Sequence[Record], seeds: Sequence[int]) -> list[str]:
    """List what a reader should distrust about a board."""
    lines = [line for line in (floor_answers(table), null_families(track, table)) if line]
    rows = table[table["kind"] != "bar"]
    partial = rows[rows["n_seeds"] < len(seeds)]
    if len(partial):
        names = ", ".join(f"{r['model']} ({r['n_seeds']} of {len(seeds)} seeds)" for r in partial.to_dict("records"))
        lines.append(f"Not ranked, seeds missing: {names}.")
    alien = sorted({f"{r.spec.label} ({r.controls_used})" for r in found if r.controls_used != "input"})
    if alien:
        lines.append(
            f"No skill, rank or claim, as the predictions were not made from the input controls: {', '.join(alien)}."
        )
    fell_back = rows[rows["n_fallback"] > MAX_FALLBACK * rows["n_conditions"]]
    if len(fell_back):
        names = ", ".join(
            f"{r['model']} ({r['n_fallback'] / r['n_conditions']:.0%})" for r in fell_back.to_dict("records")
        )
        lines.append(
            f"In over {MAX_FALLBACK:.0%} of the conditions a perturbed gene was unknown to the model: {names}."
        )
    if told := table.attrs.get("as_mean"):
        lines.append(
            "Predict exactly what the train mean does, in some conditions of which they declare no unknown gene (no "
            f"step of training was chosen, or nothing could be fitted): {shorten(sorted(told), 5)}."
        )
    guessing = rows[rows["n_informative"] < MIN_CONDITIONS]
    if len(guessing):
        names = ", ".join(f"{r['model']} ({r['n_informative']})" for r in guessing.to_dict("records"))
        lines.append(f"Under {MIN_CONDITIONS} conditions of which nothing fell back, so no claim: {names}.")
    if found[0].evidence == "smoke":
        lines.append("Smoke data: a trial of the plumbing, too few conditions for any claim.")
    return lines + _notes(found)


def _notes(found: Sequence[Record]) -> list[str]:
    """What records say of their data and fit, once each; what not all rows say with the rows that do.

    Lines that differ in numbers only, from seed to seed, are one line: the first.
    """
    said: dict[str, tuple[str, set[str]]] = {}
    for record in found:
        for line in record.warnings:
            said.setdefault(re.sub(r"\d[\d.,]*", "#", line), (line, set()))[1].add(record.spec.label)
    rows = {record.spec.label for record in found}
    heads = [(line, "" if who == rows else f" ({shorten(sorted(who), 3)})") for line, who in said.values()]
    return [f"note{head}: {line}" for line, head in heads]


def print_boards(folders: Sequence[Path], of: Sequence[Path], as_shown: Track | None = None) -> None:
    """Print the board of each (data set, split) that these records belong to, over the seeds that they have.

    Args:
        folders: Leaderboards folders to merge, the first one's records winning.
        of: Paths of records, all of one track; of one data set, where the track lays its table out by itself.
        as_shown: The track as these tables are to show it, with other columns and another legend; absent = as it is.
    """
    fresh = [records.read(path) for path in of]
    track = registry.get(fresh[0].track)
    if own_layout := registry.module(track, "table"):
        table, dataset, seeds, smoke = merged(folders, of)
        own_layout.show(table, dataset, seeds, smoke=smoke)
        return
    for dataset, split in dict.fromkeys((r.spec.dataset, r.spec.split) for r in fresh):
        here = [r for r in fresh if (r.spec.dataset, r.spec.split) == (dataset, split)]
        seeds = sorted({r.spec.split_seed for r in here})
        found = leaderboard.collect(track, folders, dataset)
        current = [item for item in found if _like(item, here[0])]
        if len(current) < len(found):
            note(f"{len(found) - len(current)} records of other data or an older scoring are left out of this table")
        # Variants of other models would make the table of one run long; 'bench leaderboard' shows them all.
        own = {record.spec.label for record in here}
        everything = leaderboard.group(current)[dataset, split]
        items = [item for item in everything if not item.record.spec.variant or item.record.spec.label in own]
        hidden = {item.record.spec.label for item in everything} - {item.record.spec.label for item in items}
        table = board(items, seeds=seeds)
        if table.empty:
            note(f"{dataset} | {split}: only control fold 1 was run; boards show fold 0.")
            continue
        used = [
            item.record for item in items if item.record.spec.split_seed in seeds and item.record.spec.control_fold == 0
        ]
        show(as_shown or track, table, used, seeds)
        if hidden:
            note(f"{len(hidden)} variants of models are not shown; 'bench leaderboard' prints them.")


def _like(item: BoardEntry, record: Record) -> bool:
    mine = item.record
    return (mine.spec.data_hash, mine.track_version) == (record.spec.data_hash, record.track_version)
