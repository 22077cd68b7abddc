"""What a fitted PerturbedVAE says of cells and perturbations: both blocks, effects, causes, and shifts of doubles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.models.perturbed_vae.perturbed_vae import PerturbedVAE


@dataclass(frozen=True)
class Said:
    """What a model says.

    Attributes:
        perturbed: Posterior means of ``z_v`` ``[N, D]``.
        invariant: Of ``z_i`` ``[N, E]``; ``None`` = there is one block.
        effects: Size of each perturbation's effect, mask times mean ``[P, D]``.
        graph: Edges without a perturbation (effect, cause), in units of the latents' standard deviations ``[D, D]``;
            ``None`` = the prior has none.
        on: Share of entries of the masks that are more likely on than off; NaN without masks.
        shifts: Mean of the prior under each further condition less that of the control ``[M, D]``.
    """

    perturbed: Floats
    invariant: Floats | None
    effects: Floats
    graph: Floats | None
    on: float
    shifts: Floats


@torch.no_grad()
def read(
    model: PerturbedVAE,
    cells: NDArray[np.float32],
    condition: NDArray[np.int64],
    singles: Sequence[int],
    asked: Sequence[int] = (),
) -> Said:
    """Ask a fitted model.

    Args:
        model: Fitted.
        cells: Expression ``[N, G]``.
        condition: Index of each cell's condition in the model's data set ``[N]``.
        singles: Indices of the perturbations whose effects are wanted ``[P]``.
        asked: Indices of conditions whose shift is wanted ``[M]``.
    """
    net = model.net.eval()
    x, u = torch.from_numpy(cells), torch.from_numpy(condition)
    one, where = torch.unique(u, return_inverse=True)
    mechanism = net.effects(one).mechanism.of(where)
    z_v = _array(net.vae.read_perturbed(x, net.targets.multi_hot[u], mechanism).mean)
    q_i = net.vae.read_invariant(x)
    effect = net.effects(torch.tensor(list(singles)))
    on = float("nan") if effect.logits is None else float((effect.logits[:, 0] > 0).float().mean())
    graph = None
    if net.vae.prior.edges is not None:
        sd = np.maximum(z_v.std(axis=0), 1e-12)
        graph = _array(net.vae.prior.edges.tril(-1)) * sd / sd[:, None]
    sizes, invariant = _array(effect.mechanism.shift.abs()), None if q_i is None else _array(q_i.mean)
    return Said(z_v, invariant, sizes, graph, on, _prior_shifts(model, x, asked))


def _prior_shifts(model: PerturbedVAE, x: torch.Tensor, asked: Sequence[int]) -> Floats:
    """Mean of ``z_v`` under the prior of each condition, from the background of these cells, less the control's."""
    prior, d_v = model.net.vae.prior, model.net.vae.shape.perturbed
    q_i = model.net.vae.read_invariant(x)
    background = None if q_i is None else q_i.mean.mean(dim=0, keepdim=True)
    means = [
        prior.draw(torch.zeros(1, d_v), model.net.effects(torch.tensor([c])).mechanism, background)
        for c in (model._control, *asked)
    ]
    return _array(torch.cat(means[1:]) - means[0]) if len(asked) else np.empty((0, d_v))


def _array(t: torch.Tensor) -> Floats:
    return t.double().numpy()
