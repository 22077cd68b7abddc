"""Cells as GEARS takes them: pairs of a perturbed cell and a control, batches of graphs, and the genes it looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.conditions import CONTROL, constituents
from bench.data.datamodule import PerturbationDataModule
from bench.data.loaders import PairSampler
from bench.stats.differential import t_test_top
from bench.stats.shifts import row_mean

Rows = NDArray[np.int64]
#: ``PertData.create_cell_graph_dataset``: ``num_de_genes = 20``.
TOP = 20


@dataclass
class CellGraphs:
    """What ``GEARS_Model``, ``loss_fct`` and ``evaluate`` read of a batch of cells.

    Attributes:
        x: Controls ``[B * G, 1]``.
        y: Perturbed cells ``[B, G]``.
        pert_idx: Nodes that are perturbed in each cell; ``[-1]`` for a control.
        pert: Condition of each cell, as its number: GEARS walks through the *set* of these, and Python shuffles sets
            of strings anew in every process, so that sums would be rounded otherwise.
        de_idx: Columns of the condition's most differential genes, of each cell.
        batch: One entry per graph: GEARS counts the distinct ones.
    """

    x: torch.Tensor
    y: torch.Tensor
    pert_idx: list[list[int]]
    pert: list[int]
    de_idx: list[NDArray[np.int64]]
    batch: torch.Tensor

    def to(self, device: torch.device) -> CellGraphs:
        """Move to a device, in place as torch_geometric does."""
        self.x, self.y, self.batch = self.x.to(device), self.y.to(device), self.batch.to(device)
        return self


class CellPairs:
    """Pairs of (cell, control) of a part of the data, in batches.

    Args:
        datamodule: The task.
        nodes: Perturbations in the order of their graph.
        part: Whose cells; each is paired once with a random control, as GEARS does when it loads data.
        controls: Whether the input controls themselves are among the cells, each beside itself.
        top: Most differential genes by condition number, where they are asked for.
    """

    def __init__(
        self,
        datamodule: PerturbationDataModule,
        nodes: Sequence[str],
        part: Literal["train", "val"],
        controls: bool,
        top: dict[int, NDArray[np.int64]] | None = None,
    ) -> None:
        self.dataset = datamodule.dataset
        rows = datamodule.rows(part)
        parts = [(datamodule.control_rows, datamodule.control_rows)] if controls else []
        if len(rows):
            parts = [
                *PairSampler(self.dataset, rows, datamodule.control_rows, len(rows), datamodule.seed, shuffle=False),
                *parts,
            ]
        none = np.empty(0, dtype=np.int64)
        self.cells: Rows = np.concatenate([none, *(cells for cells, _ in parts)])
        self.controls: Rows = np.concatenate([none, *(partners for _, partners in parts)])
        index = {gene: i for i, gene in enumerate(nodes)}
        self.pert_idx = [[index[gene] for gene in constituents(name)] or [-1] for name in self.dataset.conditions]
        self.top = top or {}

    def __len__(self) -> int:
        return len(self.cells)

    def batches(self, size: int, order: Rows | None = None) -> Iterator[CellGraphs]:
        """Batches of the pairs; in a given order, only full ones (``drop_last``), else all in theirs."""
        chosen = np.arange(len(self)) if order is None else order
        for i in range(0, len(chosen) if order is None else len(chosen) - size + 1, size):
            yield self._graphs(chosen[i : i + size])

    def _graphs(self, of: Rows) -> CellGraphs:
        n, cells = len(of), self.cells[of]
        block = torch.from_numpy(self.dataset.x[np.concatenate([self.controls[of], cells])].toarray())
        condition = self.dataset.condition[cells].tolist()
        last = np.array([-1])  # as GEARS has it where it knows no differential genes
        return CellGraphs(
            x=block[:n].reshape(-1, 1),
            y=block[n:],
            pert_idx=[self.pert_idx[code] for code in condition],
            pert=condition,
            de_idx=[self.top.get(code, last) for code in condition],
            batch=torch.arange(n),
        )


def heard(datamodule: PerturbationDataModule) -> dict[int, torch.Tensor]:
    """Genes that are not silent in each train condition, by its number; all of them for the control.

    Source: ``get_dropout_non_zero_genes`` (``non_zeros_gene_idx``), by which ``loss_fct`` leaves genes out.
    """
    cells = datamodule.dataset
    found = {
        cells.conditions.index(name): torch.from_numpy(np.flatnonzero(row_mean(cells.x, rows)))
        for name, rows in datamodule.task.cells_of("train").items()
    }
    if CONTROL in cells.conditions:
        found[cells.conditions.index(CONTROL)] = torch.arange(len(cells.genes))
    return found


def most_differential(datamodule: PerturbationDataModule) -> dict[int, NDArray[np.int64]]:
    """The 20 genes of largest absolute Welch t against the input controls, by number of each val condition.

    Source: ``get_DE_genes`` (scanpy's ``t-test``, ``rankby_abs``), which compares with all controls.
    """
    cells = datamodule.dataset

    def moments(rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        block = cells.x[rows].astype(np.float64).toarray()
        var = block.var(axis=0, ddof=1) if len(rows) > 1 else np.zeros(block.shape[1])
        return block.mean(axis=0), var, float(len(rows))

    control = moments(datamodule.control_rows)
    found = {}
    for name, rows in datamodule.task.cells_of("val").items():
        mean, var, n = moments(rows)
        top = t_test_top(mean[None], var[None], np.array([n]), control, TOP)[0]
        found[cells.conditions.index(name)] = np.sort(top)
    return found
