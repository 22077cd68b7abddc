"""A task on some of its genes: a data set of its own, so that no row of it stands on a board of whole rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from bench.core.errors import BenchError
from bench.core.files import sha256_json
from bench.data.task import Task
from bench.data.values import canonical

#: On fewer genes the lists of the 50 most changed ones, and much else that is measured, are all genes.
FEWEST = 50


def on_genes(task: Task, names: Collection[str]) -> Task:
    """Keep some genes of a task; values stay as they are, normalised over all genes, and so does the split.

    Floor, ceiling and replicate of the task that is returned are on these genes too.

    Args:
        task: The task.
        names: Genes; those that the data do not have are passed over.

    Returns:
        The task itself where it has no other genes; else one whose data set is called ``NAME.genesN-HASH``.

    Raises:
        BenchError: Fewer than 50 of the genes are in the data.
    """
    data = task.dataset
    there = set(names)
    keep = np.flatnonzero([gene in there for gene in data.genes.tolist()])
    if len(keep) == len(data.genes):
        return task
    if len(keep) < FEWEST:
        raise BenchError(
            f"only {len(keep)} of the {len(data.genes):,} genes of '{data.name}' are there: at least {FEWEST} are "
            f"needed to score. Name genes as the data do ({', '.join(data.genes[:3].tolist())}, ...)."
        )
    chosen = sha256_json(data.genes[keep].tolist())
    dataset = replace(
        data,
        name=f"{data.name[:40]}.genes{len(keep)}-{chosen[:6]}",
        x=canonical(data.x[:, keep]),
        genes=data.genes[keep],
        hash=sha256_json({"data": data.hash, "genes": chosen}),
        notes=(*data.notes, f"scored on {len(keep):,} of {len(data.genes):,} genes only"),
    )
    return Task(dataset, task.split)
