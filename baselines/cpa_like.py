"""Plain variational autoencoder with an additive latent shift per perturbation, in the manner of CPA."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from baselines._cell_net import CellNet, Setting
from baselines._cell_net_model import CellNetModel
from bench.core.typing import Floats
from bench.data.datamodule import CellBatch, InputBatch
from bench.models.response.actions import ActionTable
from bench.nn.composer import Composer
from bench.nn.initialise import linear
from bench.nn.split_vae import MLP, Posterior
from bench.objectives.nll import gaussian_nll
from bench.objectives.vae import normal_divergence
from bench.training.trainer import one_thread

Prediction = Literal["sample", "counterfactual"]
#: Cells per control in a batch: a quarter are controls, as for PerturbedVAE.
CELLS_PER_CONTROL = 3
#: Smallest log variance of a gene, log 1e-3, as for PerturbedVAE.
MIN_LOG_VARIANCE = -6.9078


class CPALike(CellNetModel):
    """``z ~ q(z | x)``, ``x ~ N(decode(z + sum of shifts), diag s^2)``, prior ``N(0, I)`` of ``z``.

    A perturbed cell is encoded, shifted and reconstructed. In CPA an adversary strips the perturbation from ``z``;
    there is none here. What a shift says costs no divergence, what ``z`` says does: only that makes the decoder listen
    to the shift, and a perturbation that cells show strongly enough may stay in ``z``, where prediction does not find
    it. The shift of an action is a linear map of the action composer's vector (features and, for train targets, a
    learned identity that is dropped at random); a combination's shifts are summed; the control's is zero.

    Deviations from CPA beside the adversary: no covariates but dose and time, which enter by the action composer and
    not by a response curve of each compound, AdamW with one cycle, the step and the setting by the error of val means,
    per-gene variances that are the same for every cell.

    Args:
        features: What describes a perturbed gene: ``card``, ``pca``, ``coexpression``, ``pairs:FILE`` or a table;
            several joined by ``+``.
        width: Hidden width of encoder and decoder; 0 chooses between 128 and 256.
        learning_rate: Highest learning rate; 0 chooses among 3e-4, 1e-3 and 3e-3.
        latent: Width of the latent space; as PerturbedVAE's two together.
        kl_weight: Weight of the divergence.
        prediction: ``sample`` (draw ``z`` of the input cell, shift, decode, and draw the cell, as CPA does) or
            ``counterfactual`` (each input cell plus the difference of the decoded means with and without the shift).
            On val conditions of ``simulated`` the first had the smaller error on seeds 1 to 3.
        action_width: Width of an action.
        identity_dropout: How often a known perturbation's identity is dropped in training.
        weight_decay: Weight decay.
        epochs: Passes over the train cells.
        batch_size: Perturbed cells per step; a third as many controls come on top.

    Source: after Lotfollahi et al. 2023 (CPA), doi:10.15252/msb.202211517.
    """

    def __init__(
        self,
        features: str = "card",
        width: int = 0,
        learning_rate: float = 0.0,
        latent: int = 105,
        kl_weight: float = 1.0,
        prediction: Prediction = "sample",
        action_width: int = 128,
        identity_dropout: float = 0.2,
        weight_decay: float = 0.01,
        epochs: int = 40,
        batch_size: int = 256,
    ) -> None:
        if latent < 1 or epochs < 1 or batch_size < 1 or kl_weight < 0:
            raise ValueError("latent, epochs and batch_size must be at least 1, kl_weight at least 0")
        super().__init__(features, width, learning_rate, latent, identity_dropout, weight_decay, epochs, batch_size)
        self.kl_weight, self.prediction, self.action_width = kl_weight, prediction, action_width

    def make_net(self, control: int, table: ActionTable, mean: Floats, setting: Setting, steps: int) -> CellNet:
        """See :class:`CellNetModel`."""
        return _Net(self, table, control, mean, setting, steps)

    @torch.no_grad()
    def predict_step(self, batch: InputBatch, batch_idx: int = 0) -> Tensor:
        """Predict one cell per input cell, in float64."""
        if self.prediction == "counterfactual":
            return super().predict_step(batch)
        assert isinstance(self.net, _Net)
        with one_thread():
            return self.net.sample(batch.controls, batch.condition, self.fit_context.head_seed).double()


class _Net(CellNet):
    """The autoencoder of one trial."""

    def __init__(
        self, model: CPALike, table: ActionTable, control: int, mean: Floats, setting: Setting, steps: int
    ) -> None:
        super().__init__(setting, model.decay, steps)
        self.table, self.control, self.kl_weight, self.kind = table, control, model.kl_weight, model.prediction
        self.composer = Composer(
            table.widths,
            width=model.action_width,
            n_identities=table.identities,
            identity_dropout=model.identity_dropout,
            n_treatments=len(table.treatments.names),
        )
        self.move = linear(model.action_width, model.latent, bias=False)
        self.encoder = Posterior(len(mean), setting.width, model.latent)
        self.decoder = MLP(model.latent, setting.width, len(mean))
        self.noise = nn.Parameter(torch.zeros(len(mean)))
        with torch.no_grad():
            self.decoder.out.bias.copy_(torch.from_numpy(mean))

    def shift(self, condition: Tensor) -> Tensor:
        """Latent shift of conditions ``[B] -> [B, D]``: the sum over their targets."""
        actions, present = self.table.compose(self.composer, condition)
        out: Tensor = self.move((actions * present.unsqueeze(-1)).sum(dim=1))
        return out

    def loss(self, batch: CellBatch) -> Tensor:
        """Negative evidence lower bound of perturbed cells and some of their controls, per gene."""
        extra = -(-len(batch.cells) // CELLS_PER_CONTROL)
        x = torch.cat([batch.cells, batch.controls[:extra]])
        condition = torch.cat([batch.condition, torch.full_like(batch.condition[:extra], self.control)])
        posterior = self.encoder.read(x)
        z = posterior.draw(torch.randn_like(posterior.mean))
        decoded = self.decoder(z + self.shift(condition))
        log_variance = self.noise.clamp_min(MIN_LOG_VARIANCE).expand_as(decoded)
        divergence = normal_divergence(posterior.mean, posterior.log_variance).mean()
        return gaussian_nll(decoded, x, log_variance) + self.kl_weight * divergence / x.shape[1]

    def respond(self, controls: Tensor, condition: Tensor) -> Tensor:
        """See :class:`CellNet`; the cell itself is kept, or replaced by what is decoded, by the kind of prediction."""
        z = self.encoder.read(controls).mean
        end: Tensor = self.decoder(z + self.shift(condition))
        return controls + end - self.decoder(z) if self.kind == "counterfactual" else end

    def sample(self, controls: Tensor, condition: Tensor, seed: int) -> Tensor:
        """Draw cells ``[n, G]``; the draws have mean 0 over the cells, so that the mean carries no noise of theirs."""
        generator = torch.Generator().manual_seed(seed)
        posterior = self.encoder.read(controls)

        def normal(width: int) -> Tensor:
            noise = torch.randn(len(controls), width, generator=generator)
            return (noise - noise.mean(dim=0)).to(controls.device)

        z = posterior.draw(normal(posterior.mean.shape[1]))
        sd = torch.exp(0.5 * self.noise.clamp_min(MIN_LOG_VARIANCE))
        drawn: Tensor = self.decoder(z + self.shift(condition)) + sd * normal(controls.shape[1])
        return drawn
