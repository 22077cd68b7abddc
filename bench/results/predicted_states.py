"""Predicted shifts by state of the input cells: an optional part of a predictions file, ``uns['states']``.

It is a table: ``condition``, ``context`` and ``state`` of each row, and ``shift`` ``[rows, genes]``: the mean, over the
input cells in that state, of what is predicted from a cell, less that cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import from_written, identity, spellings, written
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.core.units import Unit

KEY = "states"
_COLUMNS = ("condition", "context", "state", "shift")


def means_by_state(moved: Floats, state: NDArray[np.int64], n_states: int) -> Floats:
    """Mean shift of the cells in each state ``[K, G]``.

    Args:
        moved: Shift of each cell ``[n, G]``.
        state: Its state; -1 = none ``[n]``.
        n_states: K; each has a cell.
    """
    member = (state == np.arange(n_states)[:, None]).astype(np.float64)
    return np.asarray(member @ moved / member.sum(axis=1, keepdims=True))


def stored(shifts: Mapping[Unit, Floats]) -> dict[str, Any]:
    """Arrange shifts by state ``[K, G]`` of some units as a file keeps them."""
    rows = [(unit, state) for unit, block in shifts.items() for state in range(len(block))]
    return {
        "condition": np.array([written(unit.perturbation) for unit, _ in rows], dtype=np.object_),
        "context": np.array([unit.context for unit, _ in rows], dtype=np.object_),
        "state": np.array([state for _, state in rows], dtype=np.int64),
        "shift": np.concatenate(list(shifts.values())).astype(np.float32),
    }


def read(path: Path, uns: Mapping[str, Any], units: Sequence[Unit], columns: NDArray[np.int64]) -> Floats | None:
    """Read the shifts by state that a file holds.

    Args:
        path: The file.
        uns: Of the file.
        units: Units wanted ``[T]``.
        columns: Columns of the genes wanted ``[G]``.

    Returns:
        ``[T, K, G]``, NaN where the file has none; None where it has none at all.

    Raises:
        BenchError: A table that is not as described, or values that are not finite.
    """
    table = uns.get(KEY)
    if table is None:
        return None
    if not isinstance(table, Mapping) or (lacking := [name for name in _COLUMNS if name not in table]):
        what = "is no table" if not isinstance(table, Mapping) else f"has no '{lacking[0]}'"
        raise BenchError(f"{path}: uns['{KEY}'] {what}: expected {', '.join(_COLUMNS)}, or leave it out.")
    try:
        shift, state = np.asarray(table["shift"], dtype=np.float64), np.atleast_1d(table["state"])
        keys = [(str(name), str(context)) for name, context in zip(table["condition"], table["context"], strict=False)]
    except (TypeError, ValueError) as error:  # text where numbers belong, one value where a list does
        raise BenchError(f"{path}: uns['{KEY}'] cannot be read ({error}). Write the table anew.") from error
    wide = shift.ndim == 2 and shift.shape[1] > int(columns.max(initial=-1))
    if not wide or not len(shift) == len(state) == len(keys) or state.dtype.kind not in "iu" or not len(state):
        raise BenchError(
            f"{path}: uns['{KEY}'] holds {len(keys)} conditions, {state.size} states and shifts of shape "
            f"{shift.shape}: expected as many of each, states as whole numbers from 0, a shift per gene of var_names."
        )
    if state.min() < 0 or state.max() > 99 or not np.isfinite(shift).all():
        raise BenchError(f"{path}: uns['{KEY}'] holds shifts that are NaN or infinite, or states outside 0..99.")
    position = {unit.identity: t for t, unit in enumerate(units)}
    inner = spellings(unit.perturbation for unit in units)
    out = np.full((len(units), int(state.max()) + 1, len(columns)), np.nan)
    for i, (label, context) in enumerate(keys):
        t = position.get((identity(from_written(label, inner)), context))
        if t is not None:
            out[t, state[i]] = shift[i, columns]
    return out
