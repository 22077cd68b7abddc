"""Checks of rows of profiles of wells: their metrics from features, or from the embedding that is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.audit.compare import MATCHED, MATCHED_FEATURES, Tolerance, difference
from bench.audit.data_sets import DataSets
from bench.audit.records import subject
from bench.audit.report import HASH, METRIC, MISSING, Check, failed, passed, skipped
from bench.audit.second import kept, matching
from bench.audit.second.matching import Ranked
from bench.core.conditions import INNER_PLUS
from bench.core.door.arrays import read_npz
from bench.core.errors import BenchError
from bench.core.files import file_part
from bench.data.profiles.wells import COMPOUND, Group, Wells
from bench.results import embeddings
from bench.results.entries import BoardEntry
from bench.results.tables import ALL, GROUPS

Floats = NDArray[np.float64]
#: What a track must measure for its rows to be judged here.
METRICS = frozenset({"map", "map_normalised", "retrieved"})
_KEPT, _RECOMPUTED = "kept embeddings", "metrics recomputed"
#: The encoder whose latents are what encoders are given: they follow from the features.
IDENTITY = "identity"
#: Of a q this much above or below its threshold another null may say otherwise.
DOUBT = 1.6


class Asked(NamedTuple):
    """What a board asks: its task, and the groups of its wells."""

    task: str
    groups: tuple[Group, ...]


class Answer(NamedTuple):
    """What a row has to say: rankings of all profiles, and of those that pass the gate; perturbations kept out."""

    design: Ranked
    gated: Ranked
    out: int
    wells: int
    leaks: dict[str, float | None]


def look(folder: Path, entries: Sequence[BoardEntry], data: DataSets) -> Iterator[Check]:
    """Check the records of every data set of wells.

    Args:
        folder: Their leaderboards folder.
        entries: Those of the track that takes profiles.
        data: Where wells are found.
    """
    gates = {_row(entry, str(entry.record.spec.split)): entry for entry in entries}
    for dataset, same in groupby(sorted(entries, key=_key), key=lambda entry: entry.record.spec.dataset):
        wells, read = data.wells(dataset), dict[str, NDArray[np.float64] | str]()
        for entry in same:
            what = subject(entry, folder)
            embedding: Floats | None = None
            if (digest := entry.record.hashes.get(embeddings.HASH)) is not None:
                if digest not in read:
                    read[digest] = _read(embeddings.place(folder, dataset), digest, wells)
                there = read[digest]
                if isinstance(there, str):
                    yield failed(_KEPT, what, MISSING if there == _GONE else HASH, there)
                    continue
                yield passed(_KEPT, what)
                embedding = there
            if isinstance(wells, str):
                yield skipped(_RECOMPUTED, what, wells)
            elif entry.record.spec.data_hash != wells.hash:
                yield failed("data as recorded", what, HASH, f"made from other data than {dataset} is here")
            elif entry.record.evidence != wells.evidence:
                why = f"its evidence is '{entry.record.evidence}', and that of {dataset} '{wells.evidence}'"
                yield failed("data as recorded", what, HASH, why)
            else:
                yield _row_of(entry, what, wells, embedding, gates)


_GONE = "its embedding is not there"


def _key(entry: BoardEntry) -> tuple[str, str, str]:
    return entry.record.spec.dataset, str(entry.record.spec.split), entry.record.run_id


def _row(entry: BoardEntry, split: str) -> tuple[object, ...]:
    """What the records of one row's tasks have in common, and a task."""
    spec = entry.record.spec
    return spec.dataset, spec.data_hash, spec.label, spec.pretrain_seed, str(sorted(spec.arguments.items())), split


def _read(path: Path, digest: str, wells: Wells | str) -> Floats | str:
    """A kept embedding in the order of the wells; a sentence where it is not what was written."""
    try:
        if (blob := embeddings.members(path).get(digest)) is None:
            return _GONE
        file = read_npz(path.name, "a kept embedding", names=("z", "plate", "well"), blob=blob)
        z, plate, well = file["z"], file["plate"], file["well"]
    except (BenchError, KeyError) as error:
        return f"its embedding is damaged ({' '.join(str(error).split())[:200]})"
    if kept.digest(plate, well, z) != digest:
        return "its embedding is not the one that the record names"
    if isinstance(wells, str):
        return np.asarray(z, dtype=np.float64)
    place = {name: i for i, name in enumerate(zip(plate.tolist(), well.tolist(), strict=True))}
    names = list(zip(wells.plate.tolist(), wells.well.tolist(), strict=True))
    if len(place) != len(names) or set(place) != set(names):
        return "its embedding is of other wells than the data's"
    return np.asarray(z[[place[name] for name in names]], dtype=np.float64)


def _asked(split: str, wells: Wells, controls: str) -> Asked | None:
    """What a board's name stands for."""
    ending = "" if controls == "shared" else f".{controls}"
    for one in wells.groups:
        name = f"{one.cell}.{one.modality}.{one.time}"
        for task in ("replicability", "target"):
            if file_part(f"{task}.{name}{ending}") == split:
                return Asked(task, (one,))
        for other in wells.groups:
            if file_part(f"cross.{name}.{other.modality}.{other.time}{ending}") == split and other.cell == one.cell:
                return Asked("cross", (one, other))
    return None


def _row_of(
    entry: BoardEntry, what: str, wells: Wells, embedding: Floats | None, gates: Mapping[tuple[object, ...], BoardEntry]
) -> Check:
    spec, options = entry.record.spec, entry.record.spec.arguments
    if entry.record.hashes.get("profiles") and embedding is None and spec.model != IDENTITY:
        return skipped(_RECOMPUTED, what, "no embedding kept")
    if entry.table is None:
        return skipped(_RECOMPUTED, what, f"no values by label: {entry.record.status or 'nothing was asked'}")
    if options.get("universe", "all") != "all":
        return skipped(_RECOMPUTED, what, "made from a list of wells: it is in a file of its author's")
    asked = _asked(str(spec.split), wells, str(options["controls"]))
    if asked is None:
        return failed(_RECOMPUTED, what, METRIC, f"no wells of {wells.name} are asked '{spec.split}'")
    every = _wells(wells, wells.x if embedding is None else embedding)
    on = matching.fitted(every, str(options["controls"]))
    if embedding is None and spec.model == IDENTITY:
        every = _wells(wells, matching.as_encoders_see(wells.x, on))
    x, limited = matching.corrected(every, str(options["correction"]), str(options["plate_scale"]), on)
    used = ~on if options["controls"] == "split" else np.ones(len(on), dtype=np.bool_)
    parts = [np.intersect1d(wells.rows(group), np.flatnonzero(used)) for group in asked.groups]
    if any(limited[rows].any() for rows in parts):
        return failed(_RECOMPUTED, what, METRIC, "it has values, and its plates have too few controls to be corrected")
    groups = [_wells(wells, x).take(rows) for rows in parts]
    passing: list[frozenset[str] | None] = []
    for group in asked.groups if asked.task != "replicability" else ():
        gate = None if options["gate"] == "compound" and group.modality != COMPOUND else _gate(entry, group, gates)
        if isinstance(gate, str):
            return skipped(_RECOMPUTED, what, gate)
        passing.append(gate)
    answer = _answer(asked, groups, passing)
    exact = not entry.record.hashes.get("profiles")
    worst, n = _compared(entry, answer, MATCHED_FEATURES if exact else MATCHED)
    return failed(_RECOMPUTED, what, METRIC, worst) if worst else passed(_RECOMPUTED, what, f"{n} values")


def _wells(wells: Wells, x: Floats) -> matching.Wells:
    return matching.Wells(x, wells.plate, wells.well, wells.batch, wells.perturbation, wells.control, wells.targets)


def _gate(entry: BoardEntry, group: Group, gates: Mapping[tuple[object, ...], BoardEntry]) -> frozenset[str] | str:
    """Perturbations that the same row's replicability record found."""
    controls = entry.record.spec.arguments["controls"]
    ending = "" if controls == "shared" else f".{controls}"
    name = file_part(f"replicability.{group.cell}.{group.modality}.{group.time}{ending}")
    found = gates.get(_row(entry, name))
    if found is None or found.table is None:
        return f"its gate, '{name}' of the same row, is not published"
    values = found.values.column(ALL, "value", list(found.values.metrics).index("retrieved"))
    return frozenset(_labels(found)[i] for i in np.flatnonzero(values == 1.0).tolist())


def _labels(entry: BoardEntry) -> list[str]:
    return [unit.perturbation.replace(INNER_PLUS, "+") for unit in entry.values.task.units[ALL]]


def _answer(asked: Asked, groups: Sequence[matching.Wells], passing: Sequence[frozenset[str] | None]) -> Answer:
    one = groups[0]
    leaks = {"plate_leak": matching.leak(one, one.plate, None), "batch_leak": matching.leak(one, one.batch, one.plate)}
    if asked.task == "replicability":
        found = matching.replicates(one)
        return Answer(found, found, 0, len(one.x), leaks)
    profiles = [matching.consensus(group) for group in groups]
    if asked.task == "target":
        known = profiles[0].take([i for i, held in enumerate(profiles[0].targets) if held])
        compounds = asked.groups[0].modality == COMPOUND
        left = _through(known, passing[0])
        return Answer(
            matching.sisters(known, compounds),
            matching.sisters(left, compounds),
            len(known.name) - len(left.name),
            len(one.x),
            leaks,
        )
    perturbed = frozenset(name for held in profiles[1].targets for name in held)
    first = profiles[0].only(perturbed)
    second = profiles[1].only(perturbed)
    gated = [_through(part, gate) for part, gate in zip((first, second), passing, strict=True)]
    out = len(first.name) + len(second.name) - sum(len(part.name) for part in gated)
    return Answer(matching.across(first, second), matching.across(*gated), out, len(one.x), {})


def _through(profiles: matching.Profiles, gate: frozenset[str] | None) -> matching.Profiles:
    return profiles.take([i for i, name in enumerate(profiles.name) if gate is None or name in gate])


def _compared(entry: BoardEntry, answer: Answer, tolerances: Mapping[str, Tolerance]) -> tuple[str, int]:
    """Say what differs, and how many values were compared."""
    options = entry.record.spec.arguments
    threshold = float(str(options["threshold"]))
    labels, values = _labels(entry), entry.values
    place = {name: m for m, name in enumerate(values.metrics)}
    floor = answer.design.means(answer.design.chance)
    if sorted(labels) != sorted(floor):
        return f"{len(set(labels) ^ set(floor))} labels are not those that the wells' design asks for", 0
    if values.task.cells.any() or any(word for name in GROUPS for word in values.task.words[name].tolist()):
        return "labels have no cells and no subgroups, and some are recorded", 0
    gated = answer.gated
    level = gated.means(gated.ap)
    normalised = gated.means((gated.ap - gated.chance) / (1.0 - gated.chance)) if len(gated.ap) else {}
    computed = {
        "map": np.array([level.get(name, floor[name]) for name in labels]),
        "map_normalised": np.array([normalised.get(name, 0.0) for name in labels]),
    }
    recorded = {name: values.column(ALL, "value", place[name]) for name in (*computed, "retrieved")}
    worst, n = difference(recorded, computed, tolerances)
    # A random order has the chance of its label, and nothing once that is taken off.
    for name, bar in (("map", np.array([floor[name] for name in labels])), ("map_normalised", np.zeros(len(labels)))):
        also, m = difference({"chance": values.column(ALL, "floor", place[name])}, {"chance": bar}, tolerances)
        worst, n = worst or (also and f"floor of {name}: {also}"), n + m
    q = matching.adjusted(matching.p_values(gated, str(options["aggregation"])))
    for name, said in zip(labels, recorded["retrieved"].tolist(), strict=True):
        mine = q.get(name, 1.0)
        clear = mine < threshold / DOUBT or mine > threshold * DOUBT
        n += clear
        if clear and bool(said) != (mine < threshold) and not worst:
            worst = f"retrieved of {name} is {bool(said)}, and q is {mine:.3g}"
    stated = entry.record.numbers
    numbers = {
        "published_map": float(np.mean(list(level.values()))) if level else None,
        "n_looked_for": float(len(level)),
        "n_gated": float(answer.out),
        **({"n_wells": float(answer.wells)} if answer.leaks else {}),
        **answer.leaks,
    }
    for name, number in numbers.items():
        held = stated.get(name)
        allowed = tolerances.get(name, tolerances["chance"]).mean
        if (held is None) != (number is None) or abs((held or 0.0) - (number or 0.0)) > allowed:
            worst = worst or f"{name} is {number}, and {held} is recorded"
        n += 1
    return worst, n
