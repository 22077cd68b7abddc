"""What the file of a chemical screen says of its cells beside the compound: dose, time and SMILES."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.conditions import CONTROL, constituents, treated, written
from bench.core.doses import HOURS, HOURS_NAMES, MOLAR, MOLAR_NAMES, Treatment, amount
from bench.core.errors import BenchError
from bench.data.cards import Card
from bench.data.dataset import Strings
from bench.data.labels import BLANK, quoted


class Given(NamedTuple):
    """Amounts of cells as they stand in a file.

    Attributes:
        where: Where they stand, for messages: ``obs['dose']``.
        texts: One for each cell ``[cells]``; what controls have is not looked at.
    """

    where: str
    texts: Strings


def at_doses(
    condition: Strings, dose: Given | None, time: Given | None, card: Card, source: str
) -> tuple[Strings, list[str]]:
    """Make dose and time a part of the conditions of perturbed cells, each where the screen has several.

    With one dose in the whole screen, conditions are as they would be without it.

    Args:
        condition: GEARS names ``[cells]``.
        dose: Doses; None = the file has none.
        time: Times; None = the file has none.
        card: Its units of numbers without one.
        source: What to call the data in messages.

    Returns:
        The names with dose and time ``[cells]``, and notes.

    Raises:
        BenchError: A perturbed cell without a dose or time above 0.
    """
    perturbed = condition != CONTROL
    doses = _read(dose, condition, perturbed, MOLAR, card.dose_unit, f"dose ({MOLAR_NAMES})", source)
    times = _read(time, condition, perturbed, HOURS, card.time_unit, f"time ({HOURS_NAMES})", source)
    notes = []
    for what, given, found, unit in (("dose", dose, doses, "uM"), ("time", time, times, "h")):
        if given is not None and len(values := np.unique(found[perturbed])):
            listed = ", ".join(f"{value:g}" for value in values[:6]) + (", ..." if len(values) > 6 else "")
            each = "each is a condition of its own" if len(values) > 1 else "the same in all perturbed cells"
            notes.append(f"{what}s of {given.where}: {listed} {unit}; {each}")
    several = [len(np.unique(found[perturbed])) > 1 for found in (doses, times)]
    pairs = np.stack([doses, times], axis=1)[perturbed][:, several]
    if not any(several):
        return condition, notes
    kinds, of = np.unique(pairs, axis=0, return_inverse=True)
    parts = [name for name, there in zip(("dose", "time"), several, strict=True) if there]
    texts = [Treatment(**dict(zip(parts, row, strict=True))).text() for row in kinds.tolist()]
    cells = zip(condition[perturbed].tolist(), of.ravel().tolist(), strict=True)
    names = condition.tolist()
    for row, (name, which) in zip(np.flatnonzero(perturbed).tolist(), cells, strict=True):
        names[row] = treated(name, texts[which])
    return np.array(names), notes


def _read(
    given: Given | None,
    condition: Strings,
    perturbed: NDArray[np.bool_],
    units: Mapping[str, float],
    default: str,
    what: str,
    source: str,
) -> NDArray[np.float64]:
    """Amounts of perturbed cells ``[cells]``, NaN where there are none.

    Raises:
        BenchError: One that is no amount above 0.
    """
    out = np.full(len(condition), np.nan)
    if given is None:
        return out
    texts, of = np.unique(given.texts[perturbed], return_inverse=True)
    found = [amount(text, units, default) for text in texts.tolist()]
    if bad := [text for text, value in zip(texts.tolist(), found, strict=True) if value is None]:
        cells = perturbed & np.isin(given.texts, bad)
        names = [written(name).removesuffix(f"+{CONTROL}") for name in np.unique(condition[cells]).tolist()]
        raise BenchError(
            f"{source}: in {given.where} {int(cells.sum())} cells of {quoted(names)} have {quoted(bad)} where a "
            f"{what} above 0 is expected; a number without a unit is in {default}. Correct them, name vehicles in "
            f"'control', or leave those labels out with 'drop'."
        )
    out[perturbed] = np.array(found, dtype=np.float64)[of.ravel()]
    return out


def smiles_of(values: pd.Series[Any], condition: Strings, source: str) -> dict[str, str]:
    """SMILES of each compound of a column of ``obs``; compounds without any are left out.

    Args:
        values: The column.
        condition: GEARS names ``[cells]``; cells of combinations say nothing of one compound.
        source: What to call the data in messages.

    Raises:
        BenchError: A compound with several.
    """
    texts = values.astype(str).str.strip().to_numpy(dtype=str)
    pairs = pd.DataFrame({"condition": condition, "smiles": texts})[~np.isin(texts, BLANK)].drop_duplicates()
    found: dict[str, str] = {}
    for name, smiles in pairs.itertuples(index=False):
        members = constituents(name)
        if len(members) == 1 and found.setdefault(members[0], smiles) != smiles:
            raise BenchError(
                f"{source}: obs['{values.name}'] has several SMILES of '{written(members[0])}' "
                f"({quoted([found[members[0]], smiles])}). Write one for each compound."
            )
    return dict(sorted(found.items()))
