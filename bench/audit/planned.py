"""Checks of records against the suites that stand for them: every run is there, and no other; each says what it was.

What is in a leaderboards folder cannot say what is missing there, nor what a record should have said. A suite can: it
names models, arguments and seeds, in a file that is no part of the folder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from bench.audit.records import Inspection, subject
from bench.audit.report import HASH, MISSING, Check, failed, passed, skipped
from bench.core.errors import BenchError
from bench.core.files import board_name
from bench.core.given_files import recorded
from bench.core.track import Track
from bench.data.known_latents import Problem, load
from bench.models.base import ShiftModel
from bench.results import claims, embeddings, store
from bench.results.entries import BoardEntry
from bench.results.records import Record
from bench.results.spec import RunSpec
from bench.runner import by_track
from bench.runner.config import AnyConfig, LatentsConfig, ProfilesConfig, RunConfig
from bench.runner.identify import resolved
from bench.runner.kept_predictions import first_of_rows, follows
from bench.runner.latents import maker
from bench.runner.model_choice import load_class
from bench.sweep import suite as suites
from bench.sweep.plan import configs, folders, label
from bench.sweep.suite import Suite
from bench.tracks import registry

_ROWS, _SAID, _KEPT = "runs as suites plan them", "records say what was run", "first runs are kept"


class Row(NamedTuple):
    """A row of a board; of profiles, whose boards are known with the data alone, of all boards of a data set."""

    track: str
    dataset: str
    split: str
    label: str


class Run(NamedTuple):
    """What tells the runs of a row apart."""

    split_seed: int
    fold: int
    pretrain_seed: int
    head_seed: int


@dataclass
class Planned:
    """What suites say of one row.

    Attributes:
        config: Its model and arguments.
        runs: Its runs.
    """

    config: AnyConfig
    runs: set[Run] = field(default_factory=set)


def look(folder: Path, found: Inspection) -> Iterator[Check]:
    """Compare the records of a folder with every published suite whose claims lie there."""
    if found.damaged:
        yield skipped(_ROWS, "records", f"records are damaged: {', '.join(sorted(found.damaged))}")
        return
    rows: dict[Row, list[BoardEntry]] = defaultdict(list)
    for entries in found.entries.values():
        for entry in entries:
            rows[_row_of(entry)].append(entry)
    planned, unkept = dict[Row, Planned](), set[str]()
    named: dict[str, list[Row]] = {}
    for name in suites.names():
        suite = suites.find(name)
        if not suite.published or not claims.place(folder, name).is_file():
            continue
        try:
            named[name] = _add(planned, suite)
        except BenchError as error:
            yield skipped(_ROWS, f"suite {name}", " ".join(str(error).split()))
            continue
        unkept |= set(suite.unkept)
    for name, own in named.items():
        yield from _of_suite(name, own, planned, rows)
    every, wrong = list[BoardEntry](), list[Check]()
    for row, plan in planned.items():
        wrong += [*_seeds(plan, rows.get(row, []), folder), *_said(plan, rows.get(row, []), folder)]
        every += rows.get(row, [])
    yield from wrong
    if every and not any(check.name == _SAID for check in wrong):
        yield passed(_SAID, "rows of suites", f"{len(every)} records")
    yield from _first_runs(every, unkept, folder)


def _row_of(entry: BoardEntry) -> Row:
    spec = entry.record.spec
    split = "" if entry.track.takes == "profiles" else spec.split
    return Row(entry.track.name, spec.dataset, split, spec.label)


def _run_of(record: Record) -> Run:
    spec = record.spec
    return Run(spec.split_seed, spec.control_fold, spec.pretrain_seed, spec.head_seed)


def _add(planned: dict[Row, Planned], suite: Suite) -> list[Row]:
    """Add the rows of a suite to those of others; return them.

    Raises:
        BenchError: A model, argument or data set of the suite is not known.
    """
    names, own = dict[tuple[bool, str], str](), dict[Row, None]()
    for verb, config in configs(suite, folders(Path(), Path())):
        track, profiles = registry.by_verb(verb), isinstance(config, ProfilesConfig)
        key = (profiles, str(config.data))
        if key not in names:
            names[key] = by_track.data_name(config)
        row = Row(track.name, names[key], "" if profiles else board_name(str(config.split)), label(verb, config))
        plan = planned.setdefault(row, Planned(config))
        for seed, pretrain_seed, head_seed in config.seeds:
            # An encoder has no head: one encoder, one record.
            head = pretrain_seed if track.takes == "encoder" else head_seed
            plan.runs |= {Run(seed, fold, pretrain_seed, head) for fold in config.folds}
        own[row] = None
    return list(own)


def _of_suite(
    name: str, own: Sequence[Row], planned: dict[Row, Planned], rows: dict[Row, list[BoardEntry]]
) -> Iterator[Check]:
    """Whether all runs of a suite are there; of profiles each on every board of its data and controls."""
    boards: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row, entries in rows.items():
        for spec in (entry.record.spec for entry in entries):
            boards[row.track, row.dataset, str(spec.arguments.get("controls", ""))].add(spec.split)
    count, lacking = 0, list[str]()
    for row in own:
        plan = planned[row]
        there: dict[str, set[Run]] = defaultdict(set)
        for entry in rows.get(row, []):
            there[entry.record.spec.split].add(_run_of(entry.record))
        for split in [row.split] if row.split else sorted(boards[row.track, row.dataset, _controls(plan.config)]):
            count += len(plan.runs)
            if gone := plan.runs - there[split]:
                where, one = f"{row.track} {row.dataset}__{split} {row.label}", min(gone)
                said = f"{where}: {len(gone)} runs, the first of seed {one.split_seed} fold {one.fold}"
                lacking.append(said)
    for said in lacking:
        yield failed(_ROWS, f"suite {name}", MISSING, said)
    if not lacking:
        yield passed(_ROWS, f"suite {name}", f"{count} runs")


def _controls(config: AnyConfig) -> str:
    """Which controls profiles are corrected by: boards of each kind stand apart."""
    return str(config.given.get("controls", "shared")) if isinstance(config, ProfilesConfig) else ""


def _seeds(plan: Planned, entries: Sequence[BoardEntry], folder: Path) -> Iterator[Check]:
    """No run of a planned row beside those that are planned: a seed more could be chosen by its result."""
    for entry in entries:
        if (run := _run_of(entry.record)) not in plan.runs:
            said = f"training seed {run.pretrain_seed}, {run.head_seed} of split seed {run.split_seed} fold {run.fold}"
            yield failed(_ROWS, subject(entry, folder), HASH, f"no suite plans {said} of this row")


def _said(plan: Planned, entries: Sequence[BoardEntry], folder: Path) -> Iterator[Check]:
    """Whether records say of themselves what the model and the suite say of them."""
    for entry in entries:
        if why := _odd(entry.track, entry.record, plan.config):
            yield failed(_SAID, subject(entry, folder), HASH, why)


def _odd(track: Track, record: Record, config: AnyConfig) -> str:
    """What a record says that is not so, in words."""
    # A row whose provenance is in doubt supports no claim, which would be a way to be rid of a rival.
    stated: dict[str, tuple[object, object]] = {
        "controls_used": (record.controls_used, "input"),
        "doubts": (record.doubts, ()),
    }
    if isinstance(config, LatentsConfig):
        kind, spec = _kind_and_spec(track, config)
        fields = ("model_version", "variant", "arguments")
        stated |= {"kind": (record.kind, kind)} | {f: (getattr(record.spec, f), getattr(spec, f)) for f in fields}
        steps, least = record.budget.steps or 0, int(str(spec.arguments.get("min_steps", 0)))
        stated["steps"] = (steps, spec.arguments.get("steps", max(steps, least)))
    if isinstance(config, RunConfig):
        model, spec = load_class(config.model), record.spec
        stated |= {
            "model_version": (spec.model_version, model.version),
            "variant": (spec.variant, recorded(model, config.variant)),
            # Whose encoder is looked at is a model, whatever its predictions are.
            "kind": (record.kind, "model" if track.takes == "encoder" else model.row_kind),
        }
        arguments = {key: value for key, value in spec.arguments.items() if key != "class_path"}
        stated["arguments"] = (arguments, recorded(model, config.arguments))
        if track.takes != "encoder":  # training noise is part of what was trained in steps
            stated["trained in steps"] = (record.learned, not issubclass(model, ShiftModel))
    return next((f"{key}: {said!r}, and it is {true!r}" for key, (said, true) in stated.items() if said != true), "")


@lru_cache(maxsize=1)  # of a row, whose records follow each other
def _kind_and_spec(track: Track, config: LatentsConfig) -> tuple[str, RunSpec]:
    """What a row of latents is: its arguments depend on the size of its screen, which is that of every data seed."""
    problem = _screen(config.data, config.data_seed)
    return maker(track, config.row, config.effort).row(problem).kind, resolved(track, config, problem)


@lru_cache(maxsize=1)
def _screen(data: str, seed: int) -> Problem:
    return load(data, seed)


def _first_runs(entries: Sequence[BoardEntry], unkept: set[str], folder: Path) -> Iterator[Check]:
    """Whether of each row's first run that is kept from which its numbers are computed a second time."""
    by_track_name: dict[str, list[BoardEntry]] = defaultdict(list)
    for entry in entries:
        by_track_name[entry.track.name].append(entry)
    n, lacking = 0, list[Check]()
    for of_track in by_track_name.values():
        first = first_of_rows(of_track)
        for entry in of_track:
            if entry.record.run_id not in first or _needs_none(entry):
                continue
            spec = entry.record.spec
            profiles = entry.track.takes == "profiles"
            if (embeddings.HASH if profiles else store.kind_of(entry.track).hash) in entry.record.hashes:
                n += 1
            elif f"{entry.track.verb} {spec.dataset}__{spec.split} {spec.label}" not in unkept:
                why = "nothing is kept of the row's first run, and no suite says that it need not be"
                lacking.append(failed(_KEPT, subject(entry, folder), MISSING, why))
    yield from lacking
    if n and not lacking:
        yield passed(_KEPT, "rows of suites", f"{n} runs")


def _needs_none(entry: BoardEntry) -> bool:
    """Whether a record's numbers follow from its data, or it has none."""
    if entry.track.takes == "profiles":
        return entry.table is None or "profiles" not in entry.record.hashes
    return follows(entry)
