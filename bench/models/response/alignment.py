"""InfoNCE alignment of two feature banks: both descriptions of a perturbed gene get the same action vector."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from pydantic import JsonValue
from torch.utils.data import DataLoader

from bench.core.conditions import constituents
from bench.data.datamodule import PerturbationDataModule
from bench.models.response.actions import ActionTable
from bench.nn.composer import MODES, Composer
from bench.objectives.align import info_nce
from bench.training.checkpoints import weights_hash
from bench.training.fit import FitContext, FitReport
from bench.training.rounds import in_rounds
from bench.training.trainer import CHECKPOINTS, optimiser, train

#: Source: BioJEPAC report v0.4 (batch and rate of the composer's stage).
BATCH, RATE = 128, 4e-3


class Alignment(lightning.LightningModule):
    """Align the first two banks of an action table over the genes that train conditions perturb.

    Source: BioJEPAC report v0.4 (one direction, tau 0.07). There, test perturbations' pairs are in the training set;
    here only those of train conditions are, and genes that occur twice in a batch are positives of each other.

    Args:
        table: Actions of the conditions.
        datamodule: The task.
        width: Width of an action.
        steps: Training steps.
    """

    def __init__(self, table: ActionTable, datamodule: PerturbationDataModule, width: int, steps: int) -> None:
        super().__init__()
        if len(table.widths) < 2:
            raise ValueError(f"align_epochs needs two feature banks; there is {len(table.widths)}")
        self.names = list(table.widths)[:2]
        self.composer = Composer(table.widths, width=width)
        self.steps = steps
        index = {name: i for i, name in enumerate(datamodule.dataset.conditions)}
        rows = torch.tensor([index[name] for name in datamodule.split.train])
        values, known = table.features(rows)
        slot = known[self.names[0]] & known[self.names[1]]
        numbers: dict[str, int] = {}
        gene = torch.full(slot.shape, -1)
        for i, name in enumerate(datamodule.split.train):
            for a, target in enumerate(constituents(name)):
                gene[i, a] = numbers.setdefault(target, len(numbers))
        self.gene = gene[slot]
        self.values = {name: values[name][slot] for name in values}

    def forward(self, rows: torch.Tensor, modality: str) -> torch.Tensor:
        """Action vectors of some perturbed genes, seen through one bank ``[B, E]``."""
        features = {name: values[rows].to(self.device) for name, values in self.values.items()}
        known = {name: torch.full((len(rows),), name == modality, device=self.device) for name in features}
        # As published: the description of the molecule has the mode 'control', that of the guide its own.
        described = "control" if modality == self.names[0] else "unknown"
        mode = torch.full((len(rows),), MODES.index(described), device=self.device)
        composed: torch.Tensor = self.composer(features, known, mode)
        return composed

    def loss(self, rows: torch.Tensor) -> torch.Tensor:
        """Multi-positive InfoNCE of some perturbed genes."""
        return info_nce(self(rows, self.names[0]), self(rows, self.names[1]), self.gene[rows].to(self.device))

    def training_step(self, step: int, batch_idx: int = 0) -> torch.Tensor:
        """One batch."""
        generator = torch.Generator().manual_seed(int(step))
        loss = self.loss(torch.randperm(len(self.gene), generator=generator)[:BATCH])
        self.log("align/loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        """The optimiser that every stage uses; weight decay 0.01 as published (AdamW's own default)."""
        return optimiser(list(self.composer.parameters()), RATE, 0.01, self.steps)


def align(
    table: ActionTable,
    width: int,
    epochs: int,
    datamodule: PerturbationDataModule,
    ledger: FitReport,
    runtime: FitContext,
) -> dict[str, torch.Tensor]:
    """Train an alignment and return its composer's weights, from which every response starts.

    Raises:
        ValueError: With fewer than two feature banks.
    """
    state = torch.random.get_rng_state()
    torch.manual_seed(runtime.head_seed)
    batches = 1 + (sum(len(constituents(name)) for name in datamodule.split.train) - 1) // BATCH
    module = Alignment(table, datamodule, width, epochs * batches)
    torch.random.set_rng_state(state)
    steps = epochs * batches
    loader: DataLoader[int] = DataLoader(range(steps), batch_size=None, collate_fn=int)  # type: ignore[arg-type]
    described: dict[str, JsonValue] = {
        "stage": "align",
        "epochs": epochs,
        "seed": runtime.head_seed,
        "start": weights_hash(module),
        "features": weights_hash(table),
        "data": datamodule.dataset.hash,
        "split": datamodule.split.split_id,
    }
    ledger.earlier_s += train(
        module,
        in_rounds(loader, steps, CHECKPOINTS),
        steps,
        "align",
        logger=runtime.logger,
        say=runtime.say,
        folder=runtime.stage_folder("align", described),
        fresh=runtime.fresh,
        described=described,
    )
    return {name: tensor.detach() for name, tensor in module.composer.state_dict().items()}
