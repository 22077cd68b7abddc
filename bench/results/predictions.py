"""``predictions.h5ad``: the file between any tool and the score.

``obs`` = predicted cells (one row per unit is allowed: a mean) with ``condition``, ``context`` (may be left out where
there is one) and optionally ``fallbacks``; ``var_names`` = genes; ``uns`` = where they come from,
and optionally ``states`` (:mod:`bench.results.predicted_states`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.conditions import identity, written
from bench.core.door.hdf5 import check_size, check_utf8, open_hdf5
from bench.core.door.limits import size_of
from bench.core.errors import BenchError
from bench.core.files import check_seal
from bench.core.h5ad import write_h5ad
from bench.core.text import listed
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.naming import CONDITION, Naming, absent_genes, rows_by_identity
from bench.results import predicted_states
from bench.results.predicted_cells import MIN_CELLS, PredictedCells

if TYPE_CHECKING:
    from anndata import AnnData

#: Conditions, contexts and genes as we name them.
OURS = Naming(column=CONDITION)
ControlsUsed: TypeAlias = Literal["input", "all", "unknown"]
CONTROLS_USED: tuple[ControlsUsed, ...] = get_args(ControlsUsed)


@dataclass(frozen=True)
class Predicted:
    """Predicted means of the evaluated units: conditions in contexts.

    Attributes:
        y_hat: ``[T, G]``, float64, log1p.
        fallbacks: Constituents of each unit about which the model knew nothing ``[T]``.
        uns: What the file says of itself; ``controls_used`` is ``unknown`` where it says nothing.
        cells: The predicted cells, if every unit has at least 10 rows; else None.
        states: Predicted shifts by state of the input cells ``[T, K, G]``, where the file holds some.
        column: obs column of the conditions.
    """

    y_hat: Floats
    fallbacks: NDArray[np.int64]
    uns: dict[str, str]
    cells: PredictedCells | None = None
    states: Floats | None = None
    column: str = CONDITION


def write(
    path: Path,
    cells: NDArray[np.float32] | Floats,
    obs: pd.DataFrame,
    genes: Sequence[str],
    uns: Mapping[str, str],
    states: Mapping[Unit, Floats] | None = None,
) -> None:
    """Write predictions atomically.

    Args:
        path: Target file.
        cells: Predicted expression ``[rows, G]``.
        obs: One row per row of ``cells``, with columns ``condition`` and ``context``.
        genes: ``[G]``.
        uns: Provenance.
        states: Predicted shifts by state ``[K, G]`` of some units.
    """
    import anndata

    frame = obs.reset_index(drop=True).assign(condition=[written(str(name)) for name in obs["condition"]])
    frame.index = frame.index.astype(str)
    table = anndata.AnnData(np.asarray(cells), obs=frame, var=pd.DataFrame(index=pd.Index(list(genes))), uns=dict(uns))
    if states:
        table.uns[predicted_states.KEY] = predicted_states.stored(states)
    write_h5ad(path, table, sealed=True)


def read(
    path: Path,
    units: Sequence[Unit],
    genes: Sequence[str],
    expected: Mapping[str, str],
    naming: Naming = OURS,
) -> Predicted:
    """Read and check predictions, and average them over the cells of each unit.

    A file without contexts is accepted where all units are of one context.

    Args:
        path: The file.
        units: Units that must be there ``[T]``; others are ignored.
        genes: Genes that must be there, in the order wanted ``[G]``.
        expected: ``uns`` entries that must agree where the file has them (``data_hash``, ``split_id``).
        naming: How the file names conditions, contexts and genes.

    Raises:
        BenchError: Damaged file, missing unit or gene, wrong data or split, NaN or infinite values.
    """
    table = open_table(path)
    uns = _provenance(table.uns, path)
    for key, value in expected.items():
        if uns.get(key, value) != value:
            raise BenchError(
                f"{path}: made for {key} {uns[key]}, but the task has {value}. Predict again for this task."
            )
    column, names = naming.conditions(table.obs, [unit.perturbation for unit in units], path)
    columns_of = naming.genes(table.var, genes, path)
    if (lacking := absent_genes(columns_of, genes, path)) is not None:
        raise lacking
    position = {name: i for i, name in enumerate(columns_of)}
    columns = np.array([position[gene] for gene in genes])

    contexts = {unit.context for unit in units}
    rows_of = _rows_by_unit(rows_by_identity(names), naming.contexts(table.obs, contexts), units, path, naming is OURS)
    counts = _fallbacks(table.obs, path)
    x: Any = table.X
    if x is None:
        raise BenchError(f"{path}: no X. Put the predicted expression (log1p) into X, one row per cell, or per unit.")
    if (kind := np.dtype(x.dtype)).kind not in "fiub":
        raise BenchError(f"{path}: X holds {kind}; expected numbers.")
    y_hat = np.empty((len(units), len(genes)))
    fallbacks = np.zeros(len(units), dtype=np.int64)
    for i, (unit, rows) in enumerate(zip(units, rows_of, strict=True)):
        block = x[rows]
        stored = np.asarray(block.todense() if hasattr(block, "todense") else block)[:, columns]
        if not np.isfinite(stored).all():
            gene, name = genes[int(np.argmax(~np.isfinite(stored).all(axis=0)))], unit.text(contexts)
            raise BenchError(f"{path}: NaN or infinite prediction for condition '{name}', first in gene '{gene}'.")
        y_hat[i] = stored.astype(np.float64).mean(axis=0)
        fallbacks[i] = counts[rows].max()
    enough = min(map(len, rows_of), default=0) >= MIN_CELLS
    cells = PredictedCells(x, rows_of, columns) if enough else None
    states = predicted_states.read(path, table.uns, units, columns)
    return Predicted(y_hat, fallbacks, {"controls_used": "unknown", **uns}, cells, states, column)


def open_table(path: Path) -> AnnData:
    """Open a file of predictions, once nothing in it can do harm.

    Raises:
        BenchError: It is not there, changed since it was written, not to be opened, or no AnnData.
    """
    import anndata

    size_of(path)
    vouched = check_seal(path)  # a flipped bit in X is still a number
    with open_hdf5(path, "a readable predictions h5ad", vouched) as handle:
        check_size(handle)
    try:
        table = anndata.read_h5ad(path)
        for what, names in (("obs", table.obs.columns), ("var", table.var_names), ("obs", table.obs_names)):
            check_utf8(names, path, what)
    except BenchError:
        raise
    except Exception as error:  # h5py and anndata raise a dozen kinds for damaged files
        raise BenchError(f"{path}: not a readable predictions h5ad ({error}).") from error
    return table


def controls_used(uns: Mapping[str, str]) -> ControlsUsed:
    """Which controls a file says that it was made from; ``unknown`` where it says nothing."""
    return cast(ControlsUsed, uns.get("controls_used", "unknown"))  # checked when it was read


def _rows_by_unit(
    rows_of: Mapping[frozenset[str], NDArray[np.int64]],
    context: pd.Series[str] | None,
    units: Sequence[Unit],
    path: Path,
    ours: bool,
) -> tuple[NDArray[np.int64], ...]:
    """Rows of each unit, in file order.

    Raises:
        BenchError: A condition without rows, one without rows in its context, or several contexts and no column.
    """
    conditions = list(dict.fromkeys(unit.perturbation for unit in units))
    if lacking := [written(name) for name in conditions if identity(name) not in rows_of]:
        advice = "" if ours else " To be asked for what the file holds, and for nothing else: --split predicted."
        first = ", ".join(lacking[:5])
        raise BenchError(f"{path}: {len(lacking)} of {len(conditions)} test conditions are missing ({first}).{advice}")
    contexts = sorted({unit.context for unit in units})
    if context is None:
        if len(contexts) > 1:
            raise BenchError(
                f"{path}: no obs column 'context', and the test conditions are measured in {len(contexts)} contexts "
                f"({', '.join(contexts[:5])}). Say of each row which context it predicts."
            )
        return tuple(rows_of[identity(unit.perturbation)] for unit in units)
    where = context.to_numpy(dtype=str)
    found = []
    for unit in units:
        rows = rows_of[identity(unit.perturbation)]
        found.append(rows[where[rows] == unit.context])
        if not len(found[-1]):
            advice = "Predict every context" + (", or leave the column out." if len(contexts) == 1 else ".")
            raise BenchError(
                f"{path}: condition '{written(unit.perturbation)}' has test cells in context '{unit.context}' but no "
                f"prediction there; its rows say {listed(sorted(set(where[rows].tolist())))}. {advice}"
            )
    return tuple(found)


def _provenance(stored: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Read the scalars of ``uns``; R writes them as arrays of one element."""
    scalars = {k: v.item() if isinstance(v, np.ndarray) and v.size == 1 else v for k, v in stored.items()}
    uns = {k: str(v) for k, v in scalars.items() if isinstance(v, (str, int, float, np.generic))}
    used = uns.get("controls_used", "unknown")
    if used not in CONTROLS_USED:
        raise BenchError(f"{path}: uns['controls_used'] is '{used}', expected {', '.join(CONTROLS_USED)}.")
    return uns


def _fallbacks(obs: pd.DataFrame, path: Path) -> NDArray[np.int64]:
    if "fallbacks" not in obs:
        return np.zeros(len(obs), dtype=np.int64)
    counts = pd.to_numeric(obs["fallbacks"].astype(object), errors="coerce").to_numpy(dtype=np.float64)
    if not ((counts >= 0) & (counts == np.floor(counts))).all():
        raise BenchError(f"{path}: obs['fallbacks'] must hold whole numbers from 0; leave the column out if unknown.")
    return counts.astype(np.int64)
