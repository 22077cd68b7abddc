"""The split ``doubles``: learn from every single, predict every double whose two singles are there.

Nothing is drawn: the conditions follow from the data. It is the out-of-distribution setting of SAMS-VAE and of
PerturbedVAE (arXiv 2605.19343): a model has seen each perturbation alone and none together with another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.core.conditions import CONTROL, constituents, identity, single
from bench.core.errors import BenchError
from bench.data.dataset import Dataset
from bench.data.splits.kinds import Drawn, SplitKind

KIND = "doubles"


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


def _draw(dataset: Dataset, seed: int, file: Path | None) -> Drawn:
    lists, notes = parts(dataset.perturbations)
    return Drawn(lists, tuple(notes), complete=bool(notes))


KINDS = (SplitKind(KIND, _draw),)
