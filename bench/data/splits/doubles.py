"""The split ``doubles``: learn from every single, predict every double whose two singles are there.

Nothing is drawn: the conditions follow from the data. It is the out-of-distribution setting of SAMS-VAE and of
PerturbedVAE (arXiv 2605.19343): a model has seen each perturbation alone and none together with another.

``doubles:keep_singles=0.1`` keeps a tenth of each single's cells from all models. What a double does beyond its singles
is then measured against singles that nobody fitted: the noise of the train cells is in no truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.core.conditions import CONTROL, constituents, identity, single
from bench.core.errors import BenchError
from bench.core.units import Unit
from bench.data.dataset import Dataset
from bench.data.splits.kinds import Drawn, Option, SplitKind

KIND = "doubles"
#: Cells that are kept of a single at least, for each half to have one; one with fewer than twice as many keeps none.
FEWEST_KEPT = 2


def parts(labels: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Sort conditions into train (all singles), val (none) and test (doubles of two such singles).

    Args:
        labels: Condition strings of a file; two spellings of one condition go to the same part.

    Returns:
        ``train``, ``val``, ``test``, sorted; and notes on what was left out.

    Raises:
        BenchError: No double, or none with both singles.
    """
    conditions = sorted(set(labels) - {CONTROL})
    train = [name for name in conditions if len(constituents(name)) == 1]
    doubles = [name for name in conditions if len(constituents(name)) == 2]
    larger = {identity(name) for name in conditions if len(constituents(name)) > 2}
    known = {identity(name) for name in train}
    missing = {name: [g for g in constituents(name) if identity(single(g)) not in known] for name in doubles}
    test = [name for name in doubles if not missing[name]]
    if not doubles:
        raise BenchError(
            f"split '{KIND}' needs combinations of two perturbations; these {len(conditions)} conditions hold none. "
            f"Use 'simulation'."
        )
    if not test:
        first = doubles[0]
        raise BenchError(
            f"split '{KIND}' tests doubles whose two singles are there; of {len({identity(n) for n in doubles})} "
            f"doubles none has both ('{first}' lacks '{single(missing[first][0])}'). Use 'simulation', or add the "
            f"cells of the singles."
        )
    notes = []
    if left := {identity(name) for name in doubles if missing[name]}:
        notes.append(f"{len(left)} doubles lack the single of a constituent: left out")
    if larger:
        notes.append(f"{len(larger)} combinations of more than two perturbations: left out")
    return {"train": train, "val": [], "test": test}, notes


def kept_of(dataset: Dataset, share: float, seed: int) -> dict[Unit, tuple[str, ...]]:
    """Draw cells of each single that no model sees.

    Args:
        dataset: The cells.
        share: Of each single's cells in a context.
        seed: Of the draw.

    Returns:
        Barcodes, sorted, of each single of which enough cells are there.
    """
    names = [name for name in dataset.conditions if name != CONTROL and len(constituents(name)) == 1]
    found = {}
    for i, unit in enumerate(dataset.units_of(names)):
        rows = dataset.unit_rows(unit)
        count = max(FEWEST_KEPT, round(share * len(rows)))
        if len(rows) >= 2 * FEWEST_KEPT:
            drawn = np.random.default_rng([seed, 0x5196, i]).permutation(rows)[:count]
            found[unit] = tuple(sorted(dataset.barcodes[drawn].tolist()))
    return found


def _draw(dataset: Dataset, seed: int, file: Path | None, keep_singles: float | None = None) -> Drawn:
    lists, notes = parts(dataset.perturbations)
    kept: dict[Unit, tuple[str, ...]] = {}
    accounted = bool(notes)
    if keep_singles is not None:
        kept = kept_of(dataset, keep_singles, seed)
        cells = sum(map(len, kept.values()))
        notes.append(f"{cells} cells of {len(kept)} singles are kept from all models: the truth of epistasis")
    return Drawn(lists, tuple(notes), complete=accounted, kept=kept)


KINDS = (SplitKind(KIND, _draw, {"keep_singles": Option(0.01, 0.5)}),)
