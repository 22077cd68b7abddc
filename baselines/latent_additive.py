"""Latent additive model: encoded control cell plus encoded perturbation, decoded (PerturBench)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines._cell_net import CellNet, Setting, layers, tail
from baselines._cell_net_model import CellNetModel
from bench.core.typing import Floats
from bench.data.datamodule import CellBatch
from bench.models.response.actions import ActionTable
from bench.nn.composer import Composer


class LatentAdditive(CellNetModel):
    """``softplus(decode(encode(control) + encode_perturbation(u)))``, by squared error on pairs of cells.

    As published: three networks of two hidden layers with layer norms without weights, softplus, Adam, the validation
    error. There ``u`` is multi-hot, which says nothing of a target that training has not seen. Here the first linear
    map of the perturbation's network is the action composer, summed over a combination's targets: a learned column per
    train target, as with multi-hot, plus projected features. The columns are dropped at random in training, so that the
    features alone work too; an unseen target is predicted from these and counts as a fallback only if it has none.
    Other deviations: AdamW with one cycle, as every learned model here; the step is chosen by the error of condition
    means, not of cells; the decoder starts at the train mean.

    Args:
        features: What describes a perturbed gene: ``card``, ``pca``, ``coexpression``, ``pairs:FILE`` or a table;
            several joined by ``+``.
        width: Hidden width of each network; 0 chooses between 128 (the published default) and 256.
        learning_rate: Highest learning rate; 0 chooses among 3e-4, 1e-3 and 3e-3.
        latent: Width of the latent space.
        dropout: In every network.
        identity_dropout: How often a known perturbation's own column is dropped in training.
        weight_decay: Weight decay.
        epochs: Passes over the train cells.
        batch_size: Pairs per step.

    Source: Wu et al. 2024 (PerturBench, arXiv:2408.10609), ``LatentAdditive``: width 128, latent 32, two layers.
    """

    emits_cells = False

    def __init__(
        self,
        features: str = "card",
        width: int = 0,
        learning_rate: float = 0.0,
        latent: int = 32,
        dropout: float = 0.1,
        identity_dropout: float = 0.2,
        weight_decay: float = 0.01,
        epochs: int = 40,
        batch_size: int = 256,
    ) -> None:
        if latent < 1 or epochs < 1 or batch_size < 1:
            raise ValueError("latent, epochs and batch_size must be at least 1")
        super().__init__(features, width, learning_rate, latent, identity_dropout, weight_decay, epochs, batch_size)
        self.dropout = dropout

    def make_net(self, control: int, table: ActionTable, mean: Floats, setting: Setting, steps: int) -> CellNet:
        """See :class:`CellNetModel`."""
        return _Net(self, table, mean, setting, steps)


class _Net(CellNet):
    """The network of one trial."""

    def __init__(self, model: LatentAdditive, table: ActionTable, mean: Floats, setting: Setting, steps: int) -> None:
        super().__init__(setting, model.decay, steps)
        width, latent, dropout = setting.width, model.latent, model.dropout
        self.table = table
        self.composer = Composer(
            table.widths,
            width=width,
            n_identities=table.identities,
            identity_dropout=model.identity_dropout,
            n_treatments=len(table.treatments.names),
        )
        self.encoder = layers(len(mean), width, latent, dropout)
        self.perturb = tail(width, latent, dropout)
        self.decoder = layers(latent, width, len(mean), dropout)
        with torch.no_grad():
            # log(expm1(m)) is the inverse of softplus; a silent gene's would be minus infinity.
            start = torch.from_numpy(mean).clamp_min(1e-3)
            self.decoder[-1][-1].bias.copy_(torch.log(torch.expm1(start)))  # type: ignore[index]

    def respond(self, controls: Tensor, condition: Tensor) -> Tensor:
        """See :class:`CellNet`."""
        actions, present = self.table.compose(self.composer, condition)
        shift = self.perturb((actions * present.unsqueeze(-1)).sum(dim=1))
        return F.softplus(self.decoder(self.encoder(controls) + shift))

    def loss(self, batch: CellBatch) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(self.respond(batch.controls, batch.condition), batch.cells)
