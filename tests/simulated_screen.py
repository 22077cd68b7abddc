"""Tasks on simulated data that need no cell-gears, for models that read the generator's truth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from bench.core.conditions import CONTROL, constituents
from bench.data import load
from bench.data.cards import find_card
from bench.data.controls import control_pools
from bench.data.dataset import Dataset, build
from bench.data.splits.split import Split, subgroup

N_CONTROLS = 240


def split_of(dataset: Dataset, train: Sequence[str], val: Sequence[str] = ()) -> Split:
    """Everything that is not train or val is test."""
    test = [name for name in dataset.conditions if name not in {*train, *val, CONTROL}]
    inputs, reference, cells, notes = control_pools(dataset, 1, 0)
    groups: dict[str, list[str]] = {}
    for name in test:
        groups.setdefault(subgroup(name, train), []).append(name)
    return Split(
        kind="custom", seed=1, control_fold=0, train=tuple(train), val=tuple(val), test=tuple(test), unused=(),
        subgroups={k: tuple(v) for k, v in groups.items()}, input_controls=inputs, reference_controls=reference,
        input_cells=cells, notes=tuple(notes),
    )  # fmt: skip


def random_split(dataset: Dataset, seed: int) -> Split:
    """Half of the conditions to learn from, a tenth to choose by."""
    names = [name for name in dataset.conditions if name != CONTROL]
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    half, more = len(names) // 2, len(names) // 10
    return split_of(dataset, shuffled[:half], shuffled[half : half + more])


@cache
def _whole() -> Dataset:
    return load.load(find_card("simulated"))


def task(contexts: int = 1) -> tuple[Dataset, Split]:
    """Twelve singles and their doubles among the shipped `simulated`, whose card says how they were generated.

    Args:
        contexts: Cell lines that the cells are said to be of, in turn.

    Returns:
        The cells, and a split: nine singles and half of the doubles to learn from.
    """
    whole = _whole()
    singles = [name for name in whole.conditions if len(constituents(name)) == 1][:12]
    genes = {gene for name in singles for gene in constituents(name)}
    doubles = [name for name in whole.conditions if len(set(constituents(name)) & genes) == 2]
    rows = np.concatenate([whole.cells_of[CONTROL][:N_CONTROLS], whole.rows([*singles, *doubles])])
    dataset = build(
        "simulated",
        whole.x[rows],
        genes=whole.genes,
        barcodes=whole.barcodes[rows],
        condition=np.array(whole.conditions)[whole.condition[rows]],
        context=np.array([f"line{i % contexts}" for i in range(len(rows))]),
        batch=np.array(whole.batches)[whole.batch[rows]],
        source="simulated",
        card=whole.card,
    )
    return dataset, split_of(dataset, singles[:9] + doubles[::2])
