"""The record of one kind of profiles in one task and group: its values by label, or why it has none."""

from __future__ import annotations

from dataclasses import asdict
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from bench.core.conditions import INNER_PLUS
from bench.core.files import file_part, sha256_json
from bench.data.profiles.wells import Wells
from bench.results import records, tables
from bench.results.profiles import Profiles
from bench.results.records import Record
from bench.results.spec import RunSpec
from bench.results.tables import Table
from bench.tracks.matching.options import Options
from bench.tracks.matching.outcome import Outcome
from bench.tracks.matching.protocol import Question, identity
from bench.tracks.matching.track import TRACK

#: Name of the file in a run's folder.
FILE = f"{TRACK.file}.json"


def spec_of(wells: Wells, question: Question, profiles: Profiles, options: Options) -> RunSpec:
    """Everything that decides a record's numbers.

    The split is the task with its group, whether controls are split, and a hash of its wells where only some are looked
    at: what is asked for, and chance, must be the same in all rows of a board.
    """
    parts = [identity(wells, question), *([options.controls] if options.controls != "shared" else [])]
    split_id = sha256_json(parts)[:16]
    name = file_part(question.name if options.controls == "shared" else f"{question.name}.{options.controls}")
    return RunSpec(
        dataset=wells.name,
        data_hash=wells.hash,
        split=name if options.universe == "all" else file_part(f"{name}-{split_id[:6]}"),
        split_seed=1,
        control_fold=0,
        split_id=split_id,
        model=profiles.name,
        model_version=profiles.version,
        arguments={**profiles.arguments, **asdict(options)},
        variant=variant_of(profiles, options),
        pretrain_seed=profiles.seed,
        head_seed=profiles.seed,
    )


def variant_of(profiles: Profiles, options: Options) -> dict[str, Any]:
    """What a row is named by beside who made its profiles."""
    return {**profiles.variant, **options.changed}


def make(wells: Wells, spec: RunSpec, profiles: Profiles, outcome: Outcome) -> tuple[Record, Table | None]:
    """Put a record together.

    Args:
        wells: The experiment.
        spec: From :func:`spec_of`.
        profiles: Who made the profiles.
        outcome: What was found.

    Returns:
        The record and its values by label; none where the design has no labels.
    """
    sha, dirty = records.git_state()
    table = tables.from_long(TRACK, _long(outcome, str(spec.split))) if outcome.labels else None
    said = ((f"{outcome.status}: {outcome.reason}",) if outcome.status else ()) + outcome.warnings
    record = Record(
        track=TRACK.name,
        track_version=TRACK.version,
        run_id=spec.run_id,
        spec=spec,
        kind=profiles.kind,
        evidence=wells.evidence,
        created=records.now(),
        controls_used="input",
        hashes={
            "data": wells.hash,
            "split": spec.split_id,
            **({"profiles": wells.source} if wells.source else {}),
            **profiles.inputs,
        },
        git_sha=sha,
        git_dirty=dirty,
        packages={**records.package_versions(), "copairs": metadata.version("copairs")},
        hardware=records.hardware(),
        budget=profiles.budget,
        selection=profiles.selection,
        warnings=(*said, *wells.notes, *profiles.warnings),
        numbers={name: outcome.counts.get(name) for name in TRACK.numbers} | _published(outcome),
        status=outcome.status,
    )
    return (record, None) if table is None else records.with_values(record, table)


def _published(outcome: Outcome) -> dict[str, float | None]:
    """What the published scripts print."""
    found = outcome.found
    if found.empty:
        return {"published_map": None, "published_fraction": None, "n_looked_for": 0.0 if outcome.labels else None}
    return {
        "published_map": float(found["mean_average_precision"].mean()),
        "published_fraction": float(found["retrieved"].mean()),
        "n_looked_for": float(len(found)),
    }


def by_label(outcome: Outcome) -> pd.DataFrame:
    """Every label of the design with its numbers; one that was not looked for after the gate is at chance.

    Columns ``label``, ``map``, ``map_normalised``, ``retrieved``, ``chance``, ``looked_for``, ``p_value``,
    ``corrected_p_value``, ``n_profiles``.
    """
    frame = pd.DataFrame({"label": list(outcome.labels), "chance": outcome.chance})
    names = {
        "mean_average_precision": "map",
        "mean_normalized_average_precision": "map_normalised",
        "retrieved": "retrieved",
        "p_value": "p_value",
        "corrected_p_value": "corrected_p_value",
        "n_profiles": "n_profiles",
    }
    if outcome.found.empty:
        frame[list(names.values())] = np.nan
    else:
        frame = frame.merge(outcome.found.rename(columns=names), on="label", how="left")
    frame["looked_for"] = frame["map"].notna()
    frame["map"] = frame["map"].fillna(frame["chance"])
    frame["map_normalised"] = frame["map_normalised"].fillna(0.0)
    frame["retrieved"] = frame["retrieved"].eq(True)
    return frame


def _long(outcome: Outcome, context: str) -> pd.DataFrame:
    """One row per label and metric."""
    frame = by_label(outcome)
    # A plus inside a name separates nothing.
    condition = frame["label"].str.replace("+", INNER_PLUS, regex=False)
    floors = {"map_normalised": 0.0, "map": frame["chance"], "retrieved": np.nan}
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "condition": condition,
                    "context": context,
                    "metric": name,
                    "value": frame[name].astype(float),
                    "floor": floors[name],
                    "degenerate": ~frame["looked_for"],
                }
            )
            for name in TRACK.metrics
        ],
        ignore_index=True,
    )
