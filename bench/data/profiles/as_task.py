"""Wells as what encoders are pretrained on: cells whose genes are features, and of which nobody says what was done.

Encoders take log-expression: numbers from 0 up. Features are standardised by the negative controls, compressed by the
inverse hyperbolic sine, cut at :data:`REACH` and moved up by it, so that 0 is the least and controls lie at
:data:`REACH`. Which wells are negative controls is known, as every correction of profiles knows it; any other well is a
condition of its own, so that no label says which wells are alike.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from bench.core.conditions import CONTROL, single
from bench.core.files import sha256_json
from bench.data.dataset import Dataset, build
from bench.data.profiles.wells import Wells
from bench.data.splits.split import Split
from bench.data.task import Task

#: Cut of the compressed features; asinh(27) = 4: values beyond 27 control SD look alike.
REACH = 4.0
_ALL = "all"
#: Input controls that an encoder may be measured with, at most.
_CELLS = 256


def as_dataset(wells: Wells) -> Dataset:
    """The wells as cells: one context, a batch per plate."""
    controls = wells.x[wells.control]
    sd = controls.std(axis=0)
    varies = sd > 1e-9 * np.maximum(1e-9, np.abs(controls).max(axis=0))
    z = (wells.x - controls.mean(axis=0)) / np.where(varies, sd, np.inf)
    values = np.clip(np.arcsinh(z), -REACH, REACH) + REACH
    number = np.char.zfill(np.arange(len(wells)).astype(str), len(str(len(wells))))
    alone = np.array([single(f"well{i}") for i in number.tolist()])
    return build(
        wells.name,
        sp.csr_matrix(values.astype(np.float32)),
        genes=np.array(wells.features),
        barcodes=np.char.add(np.char.add(wells.plate.astype(str), " "), wells.well.astype(str)),
        condition=np.where(wells.control, CONTROL, alone),
        context=np.full(len(wells), _ALL),
        batch=wells.plate.astype(str),
        source=wells.name,
        evidence=wells.evidence,
        identity=sha256_json([wells.hash, wells.source, int(wells.control.sum()), "asinh of control SD", REACH]),
    )


def as_task(wells: Wells) -> Task:
    """All wells to learn from, none with a label, none held out."""
    dataset = as_dataset(wells)
    controls = tuple(sorted(dataset.barcodes[dataset.cells_of[CONTROL]].tolist()))
    return Task(
        dataset,
        Split(
            kind="custom",
            seed=1,
            control_fold=0,
            train=(),
            val=(),
            test=(),
            unused=(),
            subgroups={},
            input_controls={_ALL: controls},
            reference_controls={_ALL: ()},
            input_cells={_ALL: controls[:_CELLS]},
            unlabelled=dataset.units_of([name for name in dataset.conditions if name != CONTROL]),
        ),
    )
