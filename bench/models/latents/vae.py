"""Variational autoencoders of one block, plain or told the perturbation: what the separation of latents has to beat."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor, nn

from bench.data.datamodule import CellsBatch, PerturbationDataModule
from bench.nn.split_vae import MLP, Posterior
from bench.objectives.nll import gaussian_nll
from bench.objectives.vae import normal_divergence
from bench.training.trainer import one_thread, optimiser, train

#: As PerturbedVAE: smallest log variance of a gene, log 1e-3.
_MIN_LOG_VARIANCE = -6.9078


class VAE(lightning.LightningModule):
    """``q(z | x)`` and ``p(x | z)``, or both with the perturbation beside: ``q(z | x, u)``, ``p(x | z, u)``.

    Layers, likelihood, optimiser and schedule are those of PerturbedVAE. Sources: Kingma and Welling 2014; Sohn et al.
    2015 (the conditional form).

    Args:
        genes: ``G``.
        conditions: Conditions ``C``; 0 = nothing is told.
        width: Latents.
        hidden: Width of the hidden layers.
        gene_mean: What the decoder says before anything is learned ``[G]``.
        steps: Of the training.
        warm_up: Share of it in which the weight of the divergence rises to 1.
        learning_rate: Highest learning rate.
        seed: Of every draw.
    """

    def __init__(
        self,
        genes: int,
        conditions: int,
        width: int,
        hidden: int,
        gene_mean: Tensor,
        steps: int,
        warm_up: float,
        learning_rate: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.conditions, self.steps, self.rate, self.seed = conditions, steps, learning_rate, seed
        self.begin = warm_up * steps
        self.encoder = Posterior(genes + conditions, hidden, width)
        self.decoder = MLP(width + conditions, hidden, genes)
        self.noise = nn.Parameter(torch.zeros(genes))
        with torch.no_grad():
            self.decoder.out.bias.copy_(gene_mean)

    def _with_condition(self, cells: Tensor, condition: Tensor) -> Tensor:
        if not self.conditions:
            return cells
        return torch.cat([cells, nn.functional.one_hot(condition, self.conditions).to(cells.dtype)], dim=1)

    @torch.no_grad()
    def embed(self, cells: Tensor, condition: Tensor) -> Tensor:
        """Posterior mean of each cell ``[N, D]``."""
        return self.encoder.read(self._with_condition(cells, condition)).mean

    def training_step(self, batch: CellsBatch, batch_idx: int = 0) -> Tensor:
        """One step: the negative evidence bound per gene."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.global_step)
        q = self.encoder.read(self._with_condition(batch.cells, batch.condition))
        decoded = self.decoder(self._with_condition(q.sample(generator), batch.condition))
        beta = min(1.0, self.global_step / self.begin) if self.begin else 1.0
        spread = self.noise.clamp_min(_MIN_LOG_VARIANCE).expand_as(decoded)
        divergence = normal_divergence(*q).mean() / batch.cells.shape[1]
        loss: Tensor = gaussian_nll(decoded, batch.cells, spread) + beta * divergence
        self.log("train/loss", loss.detach())
        return loss

    def configure_optimizers(self) -> Any:
        """The optimiser that every stage uses."""
        return optimiser(list(self.parameters()), self.rate, 0.05, self.steps)


def fit_vae(
    datamodule: PerturbationDataModule,
    *,
    conditional: bool,
    width: int,
    hidden: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    warm_up: float = 0.5,
) -> VAE:
    """Train on train cells and input controls; the last step is kept.

    Args:
        datamodule: The task; its seed is that of every draw.
        conditional: Whether encoder and decoder are told the perturbation.
        width: Latents.
        hidden: Width of the hidden layers.
        steps: Of the training.
        batch_size: Cells of each.
        learning_rate: Highest learning rate.
        warm_up: Share of the steps in which the weight of the divergence rises to 1.
    """
    dataset, seed = datamodule.dataset, datamodule.seed
    rows = datamodule.representation_rows("train")
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    mean = torch.from_numpy(dataset.x[rows[:: max(1, len(rows) // 8_192)]].toarray()).mean(dim=0)
    conditions = len(dataset.conditions) if conditional else 0
    model = VAE(len(dataset.genes), conditions, width, hidden, mean, steps, warm_up, learning_rate, seed)
    torch.random.set_rng_state(state)
    with one_thread():
        train(model, datamodule.cells_dataloader(batch_size), steps, "vae")
    return model.eval()
