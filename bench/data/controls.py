"""Two disjoint pools of control cells: models see the *input* pool, truth is measured against the *reference* pool.

Shared controls give prediction and truth common noise: a predictor that knows nothing then scores a Pearson delta of
0.6 on some real data.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import CONTROL
from bench.core.errors import BenchError
from bench.data.dataset import Dataset

#: Control cells per context from which every condition is predicted.
MAX_INPUT_CELLS = 256
#: Strata of batch with fewer controls are pooled within their context; contexts with fewer are not evaluated.
MIN_STRATUM = 20


def without_own_controls(dataset: Dataset) -> frozenset[str]:
    """Contexts, of several, with under :data:`MIN_STRATUM` controls: models learn from them, nothing is scored there.

    Against the controls of other contexts every response would hold the difference of the contexts, which is the same
    for all perturbations and easy to predict.
    """
    controls = dataset.context[dataset.cells_of[CONTROL]]
    few = np.bincount(controls, minlength=len(dataset.contexts)) < MIN_STRATUM
    return frozenset(np.array(dataset.contexts)[few].tolist()) if len(dataset.contexts) > 1 else frozenset()


Pools = dict[str, tuple[str, ...]]


def control_pools(dataset: Dataset, seed: int, fold: int) -> tuple[Pools, Pools, Pools, list[str]]:
    """Cut the controls of each context in halves, stratified by batch.

    Args:
        dataset: The cells.
        seed: Seed of the cut; barcodes are sorted first, so the order of the file does not matter.
        fold: 0, or 1 to swap the halves.

    Returns:
        Barcodes by context: input controls, reference controls, input cells; and notes.

    Raises:
        BenchError: Fewer than two control cells.
    """
    rng = np.random.default_rng([seed, 0xC0])
    controls = dataset.cells_of[CONTROL]
    if len(controls) < 2:
        raise BenchError(
            f"data set '{dataset.name}' has {len(controls)} control cell: at least 2 are needed, 200 advised."
        )
    notes = []
    halves: list[list[NDArray[np.int64]]] = []
    pooled = 0
    for context in range(len(dataset.contexts)):
        rows = controls[dataset.context[controls] == context]
        strata = [rows[dataset.batch[rows] == batch] for batch in np.unique(dataset.batch[rows])]
        small = [stratum for stratum in strata if len(stratum) < MIN_STRATUM]
        if small and len(strata) > 1:
            pooled += len(small)
            strata = [s for s in strata if len(s) >= MIN_STRATUM] + [np.concatenate(small)]
        shuffled = np.concatenate([rng.permutation(stratum) for stratum in strata] or [rows])
        # Alternating through the strata halves each of them, and the whole, up to one cell.
        halves.append([shuffled[0::2], shuffled[1::2]])
    if pooled:
        notes.append(f"{pooled} batches have under {MIN_STRATUM} controls: pooled within their context")
    few = [i for i, name in enumerate(dataset.contexts) if name in without_own_controls(dataset)]
    everything = [np.concatenate([pair[half] for pair in halves]) for half in (0, 1)]
    if few:
        names = ", ".join(dataset.contexts[i] for i in few[:5]) + (", ..." if len(few) > 5 else "")
        notes.append(
            f"{len(few)} contexts have under {MIN_STRATUM} controls ({names}): those of all contexts stand in for them "
            f"in training, and nothing is evaluated there"
        )
        for i in few:
            halves[i] = everything
    pools: list[Pools] = [{}, {}, {}]
    for context, name in enumerate(dataset.contexts):
        inputs, reference = halves[context][fold], halves[context][1 - fold]
        for pool, rows in zip(pools, (inputs, reference, rng.permutation(inputs)[:MAX_INPUT_CELLS]), strict=True):
            pool[name] = tuple(sorted(dataset.barcodes[rows].tolist()))
    return pools[0], pools[1], pools[2], notes
