"""An experiment as a folder, laid out as CPJUMP1: a table with a row per plate, and a file per plate."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.core.console import note
from bench.core.errors import BenchError
from bench.data.profiles.card import ProfileCard
from bench.data.profiles.tables import as_wells, read_table, read_words, refuse_modalities, text_of
from bench.data.profiles.wells import COMPOUND, Group, Mask, Missing, Strings, Wells

#: Characters of the name of a plate or batch.
_LONGEST = 120


def plates_of(folder: Path, card: ProfileCard) -> pd.DataFrame:
    """The plates that are looked at, in the order of the metadata: ``plate``, ``batch``, ``modality``, ``cell``,
    ``time``.

    Args:
        folder: Of the experiment.
        card: Names the table, which of its rows are kept, and which of these are dropped.

    Raises:
        BenchError: No table, no such column, or no plate that is kept.
    """
    assert card.experiment is not None
    files = sorted(folder.glob(card.experiment))
    if not files:
        raise BenchError(
            f"{folder}: no file fits '{card.experiment}', the table with a row per plate ('experiment').{card.needs}"
        )
    frame = pd.concat([read_words(path) for path in files], ignore_index=True)
    where = ", ".join(path.name for path in files)
    kept = np.ones(len(frame), dtype=bool)
    for name, values in card.keep.items():
        fits = _is(frame, name, values, where)
        if not (fits & kept).any():
            there = ", ".join(sorted(set(text_of(frame, name, where)[0][kept].tolist()))[:8])
            raise BenchError(f"{where}: no plate with {name} = {' or '.join(values)}; there are {there}.")
        kept &= fits
    for rule in card.drop:
        kept &= ~np.all([_is(frame, name, (value,), where) for name, value in rule.items()], axis=0)
    frame, of = frame[kept].reset_index(drop=True), card.experiment_columns
    words = {name: text_of(frame, column, where)[0] for name, column in of.model_dump().items()}
    for kind in ("plate", "batch"):
        if bad := [name for name in words[kind].tolist() if not _is_name(name)]:
            raise BenchError(f"{where}: {kind} {bad[0]!r} cannot be the name of a file or folder.")
    words["modality"] = np.char.lower(words["modality"].astype(str))
    refuse_modalities(words["modality"], where)
    words["time"] = _times(words["time"], words["modality"], card.short, where)
    return pd.DataFrame(words).drop_duplicates("plate").reset_index(drop=True)


def _is_name(word: str) -> bool:
    """Whether a name, put into a pattern of files, stays in its place there."""
    return 0 < len(word) <= _LONGEST and word != ".." and not set(word) & set("/\\\0")


def _is(frame: pd.DataFrame, name: str, values: tuple[str, ...], where: str) -> Mask:
    """Where a column has one of some values; numbers are compared as numbers."""
    words = text_of(frame, name, where)[0]
    return np.isin([_plain(word) for word in words.tolist()], [_plain(value) for value in values])


def _plain(word: str) -> str:
    try:
        return f"{float(word):g}"
    except ValueError:
        return word


def _times(hours: Strings, modality: Strings, short: Mapping[str, float], where: str) -> Strings:
    """Call time points short or long, as the published scripts do."""
    try:
        values = hours.astype(float)
    except ValueError as error:
        raise BenchError(f"{where}: time points are hours; expected numbers ({error}).") from error
    limits = np.array([short.get(name, 0.0) for name in modality.tolist()])
    return np.where(values == limits, "short", "long")


def read_experiment(folder: Path, card: ProfileCard) -> Wells:
    """Read every plate that is there; those that are not are named in :attr:`Wells.missing`.

    Raises:
        BenchError: No plate is there, or they have no feature in common.
    """
    plates, parts, missing = plates_of(folder, card), list[Wells](), list[Missing]()
    notes = _annotations(folder, card)
    for row in plates.to_dict("records"):
        names = _texts(row)
        group = Group(names["cell"], names["modality"], names["time"])
        path = plate_file(folder, card.profiles, names)
        if path is None:
            missing.append(Missing(names["plate"], group, "missing"))
            continue
        frame = read_table(path, card.metadata_prefix)
        if not len(frame):
            missing.append(Missing(names["plate"], group, "empty"))
            continue
        found = _plate(_joined(frame, notes, card), card, path, names)
        if len(found):
            parts.append(found)
        else:
            missing.append(Missing(names["plate"], group, "empty"))
    for plate in missing:
        note(f"plate {plate.plate} ({plate.group}): {plate.why}")
    if not notes and card.annotations:
        said = f"no file of targets fits {' or '.join(map(repr, card.annotations))}"
        unknown = [part for part in parts if part.modality[0] == COMPOUND and not any(part.targets)]
        note(f"{said}: {len(unknown)} plates of compounds know no target" if unknown else said)
    if not parts:
        first = card.profiles.format(**_texts(plates.to_dict("records")[0])) if len(plates) else "-"
        raise BenchError(
            f"{folder}: none of the {len(plates)} plates of the metadata has wells; the first would be '{first}'. "
            f"Correct 'profiles' in the card, or fetch them.{card.needs}"
        )
    return _joined_plates(parts, tuple(missing), folder)


def plate_file(folder: Path, pattern: str, names: Mapping[str, str]) -> Path | None:
    """The file of a plate: the first that fits a pattern; ``None`` = there is none.

    Args:
        folder: Where to look.
        pattern: With ``{plate}`` and ``{batch}``.
        names: What stands for these.
    """
    wanted = pattern.format(**{name: glob.escape(value) for name, value in names.items()})
    return next(iter(sorted(folder.glob(wanted))), None)


def _texts(row: Mapping[Any, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in row.items()}


def _annotations(folder: Path, card: ProfileCard) -> list[pd.DataFrame]:
    """Tables with more about perturbations, their columns named as if they stood beside the wells."""
    found = []
    for pattern in card.annotations:
        for path in sorted(folder.glob(pattern)):
            frame = read_words(path)
            if card.annotation_key in frame.columns:
                frame = frame.dropna(subset=[card.annotation_key]).drop_duplicates(card.annotation_key)
                found.append(frame.rename(columns=lambda name: f"{card.metadata_prefix}{name}"))
    return found


def _joined(frame: pd.DataFrame, notes: list[pd.DataFrame], card: ProfileCard) -> pd.DataFrame:
    key, of = f"{card.metadata_prefix}{card.annotation_key}", card.columns
    for table in notes:
        fresh = [name for name in table.columns if name == key or name not in frame.columns]
        if key in frame.columns and len(fresh) > 1:
            frame = frame.merge(table[fresh], on=key, how="left")
    absent = [name for name in (of.targets, of.gene) if name and name not in frame.columns]
    for name in absent:
        frame[name] = None
    return frame


def _plate(frame: pd.DataFrame, card: ProfileCard, path: Path, names: Mapping[str, str]) -> Wells:
    """The wells of one plate; its own column of plates, where it has one, must say the same."""
    column = card.columns.plate
    if column not in frame.columns:
        frame = frame.assign(**{column: names["plate"]})
    told = text_of(frame, column, str(path))[0]
    if (told != names["plate"]).any():
        raise BenchError(f"{path}: {column} is '{told[told != names['plate']][0]}', expected '{names['plate']}'.")
    same = {name: np.full(len(frame), names[name]) for name in ("modality", "cell", "time", "batch")}
    return as_wells(frame, card, str(path), **same)


def _joined_plates(parts: list[Wells], missing: tuple[Missing, ...], folder: Path) -> Wells:
    """Put plates one below the other, by the features that all of them have."""
    shared = [name for name in parts[0].features if all(name in set(part.features) for part in parts[1:])]
    if not shared:
        raise BenchError(f"{folder}: the plates have no feature in common.")
    every = {name for part in parts for name in part.features}
    blocks = []
    for part in parts:
        place = {name: i for i, name in enumerate(part.features)}
        blocks.append(part.x[:, [place[name] for name in shared]])
    words = ("plate", "well", "batch", "perturbation", "control", "modality", "cell", "time")
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in words}
    left_out = len(every) - len(shared)
    said = (f"{left_out} of {len(every)} features are not on every plate and are left out",) if left_out else ()
    return replace(
        parts[0],
        x=np.concatenate(blocks),
        features=tuple(shared),
        **joined,
        targets=tuple(labels for part in parts for labels in part.targets),
        missing=missing,
        notes=said,
    )
