"""Everything that PerturbedVAE trains, and the cells that it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from bench.core.conditions import constituents
from bench.data.datamodule import PerturbationDataModule
from bench.models.response.actions import ActionTable
from bench.nn.causal_prior import Mechanism
from bench.nn.composer import Composer
from bench.nn.counts import TOTAL, recover
from bench.nn.mechanism import Compose, Effect, MechanismHead
from bench.nn.split_vae import Shape, SplitVAE
from bench.objectives.negative_binomial import count_at, negative_binomial, place_of
from bench.objectives.nll import gaussian_nll

Likelihood = Literal["gaussian", "nb"]
Prediction = Literal["counterfactual", "sample"]
#: Gaussian: smallest log variance of a gene, log 1e-3.
MIN_LOG_VARIANCE = -6.9078
#: NB: log of a gene's expected normalised count, at most; e^9 is 81% of a cell's total.
MAX_LOG_RATE = 9.0
#: NB: counts that a gene of a predicted cell is looked up to.
MAX_COUNT = 3_000


@dataclass(frozen=True)
class NetSettings:
    """Parts beside the sizes; see :class:`bench.models.perturbed_vae.perturbed_vae.PerturbedVAE` for each."""

    likelihood: Likelihood
    masked: bool
    compose: Compose
    rank: int
    action_width: int
    identity_dropout: float


class Noise(NamedTuple):
    """Random numbers of a prediction, the same for every condition.

    Attributes:
        invariant: Standard normal ``[n, d_i]``.
        perturbed: Standard normal ``[n, d_v]``.
        genes: Uniform ``[n, G]``.
    """

    invariant: Tensor
    perturbed: Tensor
    genes: Tensor


def balanced(n: int, width: int, generator: torch.Generator) -> Tensor:
    """Uniform numbers ``[n, width]``: each column holds the same evenly spread values, in an order of its own.

    A mean over rows then hardly has noise (Latin hypercube sampling; McKay, Beckman and Conover 1979).
    """
    order = torch.stack([torch.randperm(n, generator=generator) for _ in range(width)], dim=1)
    return (order + 0.5) / n


class Targets(nn.Module):
    """Which perturbed genes each condition has, as tensors.

    Attributes:
        table: Their features and identities.
        present: Genes of a condition, of which anything is known or not ``[C, A]``.
        multi_hot: Genes of the train conditions ``[C, K]``.
        cells: Training cells that carry a gene ``[C, A]``.
    """

    present: Tensor
    multi_hot: Tensor
    cells: Tensor

    def __init__(self, datamodule: PerturbationDataModule, table: ActionTable) -> None:
        super().__init__()
        learned = datamodule.task.cells_of("train")
        names = datamodule.dataset.conditions
        self._look_up(names, table, torch.tensor([len(learned.get(name, ())) for name in names]))

    @classmethod
    def restored(cls, conditions: Sequence[str], table: ActionTable) -> Targets:
        """Those of other conditions, of which there are no training cells."""
        targets = cls.__new__(cls)
        nn.Module.__init__(targets)
        targets._look_up(conditions, table, torch.zeros(len(conditions), dtype=torch.int64))
        return targets

    def _look_up(self, names: Sequence[str], table: ActionTable, train: Tensor) -> None:
        """Look up the genes of conditions with so many training cells each ``[C]``."""
        self.table = table
        slots = table.identity.shape[1]
        sizes = torch.tensor([len(constituents(name)) for name in names])
        # With a row for each condition, none of these is part of the weights, which serve other conditions too.
        self.register_buffer("present", torch.arange(slots) < sizes[:, None], persistent=False)
        hot = torch.zeros(len(names), table.identities + 1)
        hot.scatter_(1, table.identity, 1.0)
        self.register_buffer("multi_hot", hot[:, 1:], persistent=False)
        carried = torch.cat([torch.zeros(1), (train.float() @ hot)[1:]])
        self.register_buffer("cells", carried[table.identity], persistent=False)


class PerturbedNet(nn.Module):
    """Autoencoder, causal prior, and the mechanisms of a task's conditions.

    Args:
        targets: Perturbed genes of the conditions.
        shape: Sizes of the autoencoder.
        settings: Its other parts.
        gene_mean: What the decoder says before anything is learned ``[G]``.
    """

    def __init__(self, targets: Targets, shape: Shape, settings: NetSettings, gene_mean: Tensor | None = None) -> None:
        super().__init__()
        self.targets, self.settings = targets, settings
        self.vae = SplitVAE(shape, gene_mean)
        self.composer = Composer(
            targets.table.widths,
            width=settings.action_width,
            n_identities=shape.targets,
            identity_dropout=settings.identity_dropout,
            n_treatments=len(targets.table.treatments.names),
        )
        rank = settings.rank if shape.causal else 0
        self.head = MechanismHead(settings.action_width, shape.perturbed, rank, settings.masked, settings.compose)

    def effects(self, condition: Tensor, generator: torch.Generator | None = None) -> Effect:
        """Mechanisms of conditions ``[N]``. A gene of which nothing is known acts as an average one."""
        actions, _ = self.targets.table.compose(self.composer, condition, generator)
        effect: Effect = self.head(actions, self.targets.present[condition], generator)
        return effect

    def unlikely(self, x: Tensor, decoded: Tensor) -> Tensor:
        """Negative log-likelihood of cells ``[B, G]`` per gene, in nats, up to a constant."""
        if self.settings.likelihood == "gaussian":
            return gaussian_nll(decoded, x, self._log_variance().expand_as(decoded))
        counts = recover(x)
        return -negative_binomial(counts.counts, self._rate(decoded, counts.library), self.vae.noise).mean()

    def _log_variance(self) -> Tensor:
        return self.vae.noise.clamp_min(MIN_LOG_VARIANCE)

    def _rate(self, decoded: Tensor, library: Tensor) -> Tensor:
        return torch.exp(decoded.clamp_max(MAX_LOG_RATE)) * library / TOTAL

    def noise(self, n: int, seed: int) -> Noise:
        """Random numbers of ``n`` predicted cells."""
        generator = torch.Generator().manual_seed(seed)
        shape = self.vae.shape
        latent = balanced(n, shape.invariant + shape.perturbed, generator)
        normal = torch.special.ndtri(latent)
        return Noise(normal[:, : shape.invariant], normal[:, shape.invariant :], balanced(n, shape.genes, generator))

    @torch.no_grad()
    def predict(self, controls: Tensor, condition: Tensor, noise: Noise, kind: Prediction) -> Tensor:
        """Cells of a condition, one per control cell, float64.

        Args:
            controls: ``[n, G]``.
            condition: ``[n]``.
            noise: From :meth:`noise`, for ``n`` cells, where the weights are.
            kind: ``counterfactual`` or ``sample``.
        """
        one, where = torch.unique(condition, return_inverse=True)
        mechanism = self.effects(one).mechanism.of(where)
        posterior = self.vae.read_invariant(controls)
        if kind == "sample":
            z = None if posterior is None else posterior.draw(noise.invariant)
            decoded = self.vae.respond(z, noise.perturbed, mechanism)
            if self.settings.likelihood == "gaussian":
                sd = torch.exp(0.5 * self._log_variance())
                drawn: Tensor = decoded.double() + (sd * torch.special.ndtri(noise.genes)).double()
                return drawn
            library = recover(controls).library
            return _log1p(count_at(noise.genes, self._rate(decoded, library), self.vae.noise, MAX_COUNT), library)
        z = None if posterior is None else posterior.mean
        without = Mechanism(torch.zeros_like(mechanism.shift))
        start = self.vae.respond(z, noise.perturbed, without)
        end = self.vae.respond(z, noise.perturbed, mechanism)
        if self.settings.likelihood == "gaussian":
            moved: Tensor = controls.double() + (end.double() - start.double())
            return moved
        counts, library, _ = recover(controls)
        place = place_of(counts, self._rate(start, library), self.vae.noise, noise.genes)
        return _log1p(count_at(place, self._rate(end, library), self.vae.noise, MAX_COUNT), library)


class Noises:
    """Random numbers of a network's predictions, drawn once for each number of cells.

    Args:
        net: The network.
        seed: Of the draw.
    """

    def __init__(self, net: PerturbedNet, seed: int) -> None:
        self._net, self.seed = net, seed
        self._drawn: dict[int, Noise] = {}

    def __call__(self, n: int) -> Noise:
        """Those of ``n`` cells, where the weights are."""
        if n not in self._drawn:
            self._drawn[n] = self._net.noise(n, self.seed)
        device = next(self._net.parameters()).device
        return Noise(*(part.to(device) for part in self._drawn[n]))


def _log1p(counts: Tensor, library: Tensor) -> Tensor:
    return torch.log1p(counts * TOTAL / library.double())
