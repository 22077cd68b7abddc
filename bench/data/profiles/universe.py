"""Which wells are scored at all: those of a list, whose choice changes every number."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from bench.core.errors import BenchError
from bench.data.profiles.tables import read_table
from bench.data.profiles.wells import Group, Mask, Wells

#: How a list is applied. ``wells``: each plate by its own. ``accumulated``: as CellCLIP's script, which filters all
#: plates of a group that were read so far by the positions of the latest, so that the wells of a plate are those of all
#: later lists of the group too.
By = Literal["wells", "accumulated"]
ALL = "all"


def listed(wells: Wells, path: Path, by: By = "wells") -> Mask:
    """Which wells a file lists ``[N]``.

    Args:
        wells: The experiment, plates in the order of its metadata.
        path: A table with columns ``plate`` and ``well``, or keys ``plate-well-...`` in its first column.
        by: See :data:`By`.

    Raises:
        BenchError: A file that lists none of the wells.
    """
    if by not in get_args(By):
        raise BenchError(f"--universe-by {by}: expected {' or '.join(get_args(By))}.")
    named = _pairs(read_table(path), path)
    plates = list(dict.fromkeys(wells.plate.tolist()))
    positions = {plate: {well for other, well in named if other == plate} for plate in plates}
    if by == "accumulated":
        group_of = {plate: _group(wells, plate) for plate in plates}
        left: dict[Group, set[str]] = {}
        for plate in reversed(plates):
            later = left.get(group_of[plate])
            positions[plate] = left[group_of[plate]] = positions[plate] & (positions[plate] if later is None else later)
    kept = np.array([well in positions[plate] for plate, well in zip(wells.plate.tolist(), wells.well.tolist())])
    if not kept.any():
        example = f"{wells.plate[0]}-{wells.well[0]}" if len(wells) else "-"
        raise BenchError(f"{path}: lists none of the wells; expected rows such as {example}-... (plate-well-...).")
    return kept


def _group(wells: Wells, plate: str) -> Group:
    i = int(np.argmax(wells.plate == plate))
    return Group(str(wells.cell[i]), str(wells.modality[i]), str(wells.time[i]))


def _pairs(frame: pd.DataFrame, path: Path) -> set[tuple[str, str]]:
    """(plate, well) of each row."""
    lower = {str(name).lower().removeprefix("metadata_"): name for name in frame.columns}
    if {"plate", "well"} <= set(lower):
        columns = (frame[lower[name]].astype(str).str.strip().tolist() for name in ("plate", "well"))
        return set(zip(*columns))
    keys = [str(key).split("-") for key in frame.iloc[:, 0].tolist()]
    if not keys or min(map(len, keys)) < 2:
        raise BenchError(f"{path}: expected columns 'plate' and 'well', or keys plate-well-... in the first column.")
    return {(key[0], key[1]) for key in keys}
