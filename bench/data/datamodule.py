"""The data as a model sees them: paired batches for training, pseudobulk for closed forms, input cells to predict from.

Loaders carry their role. Test cells are in no training or validation loader and in no pseudobulk; reference controls
are in nothing at all that a model can reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import lightning
import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch.utils import data as torch_data

from bench.core.conditions import CONTROL
from bench.core.errors import BenchError
from bench.core.typing import Floats
from bench.core.units import Unit
from bench.data.dataset import Dataset
from bench.data.loaders import CellSampler, PairSampler, RoleLoader, Rows, loader_for
from bench.data.pseudobulk import Pseudobulk, pseudobulk
from bench.data.splits.split import Split
from bench.data.task import Part, Task
from bench.stats.shifts import row_mean, train_mean

__all__ = ["CellBatch", "CellsBatch", "InputBatch", "PerturbationDataModule", "Pseudobulk"]


class CellBatch(NamedTuple):
    """Perturbed cells, each beside a control of its context and batch.

    Attributes:
        cells: Expression ``[B, G]``, float32.
        controls: Expression of the paired controls ``[B, G]``, float32.
        condition: Index into ``data.conditions`` ``[B]``, int64.
        context: Index into ``data.contexts`` ``[B]``, int64.
    """

    cells: torch.Tensor
    controls: torch.Tensor
    condition: torch.Tensor
    context: torch.Tensor


class CellsBatch(NamedTuple):
    """Cells on their own, controls among them: what a representation is learned from.

    Attributes:
        cells: Expression ``[B, G]``, float32.
        condition: Index into ``data.conditions`` ``[B]``, int64; :data:`UNLABELLED` where the label is withheld.
        context: Index into ``data.contexts`` ``[B]``, int64; :data:`NO_CONTEXT` where it is none of the data set's.
    """

    cells: torch.Tensor
    condition: torch.Tensor
    context: torch.Tensor


#: Condition of a cell whose label is withheld: what torch's cross-entropy leaves out.
UNLABELLED = -100
#: Context of a cell that is none of the data set's.
NO_CONTEXT = -1


class InputBatch(NamedTuple):
    """Input cells and the unit to predict for them: one condition in one context per batch.

    Attributes:
        controls: Expression ``[B, G]``, float32.
        condition: Index into ``data.conditions`` ``[B]``, int64.
        context: Index into ``data.contexts`` ``[B]``, int64.
    """

    controls: torch.Tensor
    condition: torch.Tensor
    context: torch.Tensor


class _Pairs(torch_data.Dataset[CellBatch]):
    """Cells and controls by row number; one whole batch per item."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, pairs: Any) -> CellBatch:
        cells, controls = pairs
        # One row block for both, so that a batch is one allocation that its two halves are views of.
        block = torch.from_numpy(self.dataset.x[np.concatenate([cells, controls])].toarray())
        return CellBatch(
            block[: len(cells)],
            block[len(cells) :],
            torch.from_numpy(self.dataset.condition[cells].astype(np.int64)),
            torch.from_numpy(self.dataset.context[cells].astype(np.int64)),
        )


class _Cells(torch_data.Dataset[CellsBatch]):
    """Cells by row number, those of another file after the data set's; one whole batch per item."""

    def __init__(self, task: Task, more: sp.csr_matrix | None) -> None:
        self.x, self.more, others = task.dataset.x, more, 0 if more is None else more.shape[0]
        condition = task.dataset.condition.astype(np.int64)
        condition[task.unlabelled_rows] = UNLABELLED
        self.condition = np.concatenate([condition, np.full(others, UNLABELLED)])
        self.context = np.concatenate([task.dataset.context.astype(np.int64), np.full(others, NO_CONTEXT)])

    def _dense(self, rows: Rows) -> NDArray[np.float32]:
        if self.more is None:
            return self.x[rows].toarray()
        own, n = rows < self.x.shape[0], self.x.shape[0]
        block = np.empty((len(rows), self.x.shape[1]), dtype=np.float32)
        block[own], block[~own] = self.x[rows[own]].toarray(), self.more[rows[~own] - n].toarray()
        return block

    def __getitem__(self, rows: Any) -> CellsBatch:
        return CellsBatch(
            torch.from_numpy(self._dense(rows)),
            torch.from_numpy(self.condition[rows]),
            torch.from_numpy(self.context[rows]),
        )


class _Inputs(torch_data.Dataset[InputBatch]):
    """Input cells once per unit."""

    def __init__(self, module: PerturbationDataModule, units: Sequence[Unit]) -> None:
        data = module.dataset
        self.items = [(data.conditions.index(unit.perturbation), data.contexts.index(unit.context)) for unit in units]
        # The few input cells are made dense once, not once per condition.
        self.dense = {i: torch.from_numpy(data.x[rows].toarray()) for i, rows in enumerate(module.input_rows)}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> InputBatch:
        condition, context = self.items[i]
        cells = self.dense[context]
        return InputBatch(cells, torch.full((len(cells),), condition), torch.full((len(cells),), context))


class PerturbationDataModule(lightning.LightningDataModule):
    """Data of one task, shared by every model.

    Args:
        task: The cells, and who is train, val and test.
        batch_size: Perturbed cells per batch.
        seed: Seed of batch order and pairing.
        asked: Units that a model will be asked for; absent = the evaluated test units of the task.
        paired_once: Whether each perturbed cell keeps one control in all epochs, or is paired freshly in each.
    """

    def __init__(
        self,
        task: Task,
        batch_size: int = 512,
        seed: int = 1,
        asked: Sequence[Unit] | None = None,
        paired_once: bool = False,
    ) -> None:
        super().__init__()
        self.task, self.batch_size, self.seed, self.paired_once = task, batch_size, seed, paired_once
        self._asked = None if asked is None else tuple(asked)

    @property
    def predicted_units(self) -> tuple[Unit, ...]:
        """Units that a model will be asked for."""
        return self.task.units if self._asked is None else self._asked

    @property
    def dataset(self) -> Dataset:
        """The cells."""
        return self.task.dataset

    @property
    def split(self) -> Split:
        """Who is train, val and test, and which controls are whose."""
        return self.task.split

    @property
    def genes(self) -> list[str]:
        """Gene names, in the order of every tensor's last axis."""
        return [str(gene) for gene in self.dataset.genes]

    def _barcodes(self, pools: dict[str, tuple[str, ...]]) -> list[Rows]:
        index = self.dataset.barcode_index
        return [np.array([index[b] for b in pools[name]], dtype=np.int64) for name in self.dataset.contexts]

    @cached_property
    def input_rows(self) -> list[Rows]:
        """Rows of the input cells, by context."""
        return self._barcodes(self.split.input_cells)

    @cached_property
    def control_rows(self) -> Rows:
        """Rows of all input controls: the controls that a model may learn from."""
        return np.unique(np.concatenate(self._barcodes(self.split.input_controls)))

    @cached_property
    def input_means(self) -> Floats:
        """Mean of the input cells by context ``[C, G]``."""
        return np.stack([row_mean(self.dataset.x, rows) for rows in self.input_rows])

    def pseudobulk(self, part: Literal["train", "val"]) -> Pseudobulk:
        """Means and shifts of the train or val units.

        Raises:
            BenchError: For any other part: a model never sees the test units' cells.
        """
        if part not in ("train", "val"):
            raise BenchError(f"pseudobulk of '{part}': models see only train and val.")
        return pseudobulk(self.dataset, self.task.units_of(part), self.input_means)

    @cached_property
    def train_shift(self) -> Floats:
        """Mean shift of the train units ``[G]``, each counting once: the floor's prediction."""
        return train_mean(self.pseudobulk("train").shifts)

    def rows(self, part: Part) -> Rows:
        """Rows of a part's cells, in file order."""
        return self.task.rows(part)

    def _pairs(self, role: Part, shuffle: bool) -> RoleLoader:
        conditions: tuple[str, ...] = getattr(self.split, role)
        if not conditions:
            raise BenchError(f"this split has no {role} conditions to load.")
        sampler = PairSampler(
            self.dataset, self.rows(role), self.control_rows, self.batch_size, self.seed, shuffle, self.paired_once
        )
        return loader_for(role, conditions, _Pairs(self.dataset), sampler)

    def train_dataloader(self) -> RoleLoader:
        """Batches (:class:`CellBatch`) of train cells, shuffled per epoch, and paired as was asked for."""
        return self._pairs("train", True)

    def val_dataloader(self) -> RoleLoader:
        """Batches (:class:`CellBatch`) of val cells."""
        return self._pairs("val", False)

    def representation_rows(self, part: Literal["train", "val"]) -> Rows:
        """Cells that a representation may be learned from (train, labelled or not, and input controls) or chosen by
        (val).
        """
        if part == "val":
            return self.rows(part)
        return np.union1d(self.labelled_rows, self.task.unlabelled_rows)

    @cached_property
    def labelled_rows(self) -> Rows:
        """Train cells and input controls of which a model may know what was done to them."""
        return np.union1d(self.rows("train"), self.control_rows)

    def cells_dataloader(self, batch_size: int, more: sp.csr_matrix | None = None) -> RoleLoader:
        """Batches (:class:`CellsBatch`) of train cells and input controls, shuffled freshly per epoch.

        Args:
            batch_size: Cells per batch.
            more: Expression ``[M, G]`` of unlabelled cells of another file, drawn among them.
        """
        rows, n = self.representation_rows("train"), self.dataset.x.shape[0]
        if more is not None:
            rows = np.concatenate([rows, np.arange(n, n + more.shape[0])])
        sampler = CellSampler(rows, batch_size, self.seed)
        return loader_for("train", (*self.split.train, CONTROL), _Cells(self.task, more), sampler)

    def test_dataloader(self) -> RoleLoader:
        """Batches (:class:`CellBatch`) of test cells, for evaluation only."""
        return self._pairs("test", False)

    @property
    def predicted_conditions(self) -> tuple[str, ...]:
        """Conditions that are asked for in some context, each once: as a rule, test conditions that are evaluated."""
        return tuple(dict.fromkeys(unit.perturbation for unit in self.predicted_units))

    def predict_dataloader(self) -> RoleLoader:
        """Input cells (:class:`InputBatch`), once per unit that is asked for."""
        return loader_for("predict", self.predicted_conditions, _Inputs(self, self.predicted_units))
