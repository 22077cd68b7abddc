"""What PerturbedVAE's network is before it is trained: its sizes without separation, and the decoder's first guess."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bench.models.perturbed_vae.net import Likelihood, NetSettings, PerturbedNet, Targets
from bench.nn.counts import recover
from bench.nn.split_vae import Shape, widened


def without_separation(full: Shape, known: Targets, settings: NetSettings) -> Shape:
    """Sizes of a network with one block of latents: as many parameters as with two, by a wider hidden layer.

    Args:
        full: Sizes with two blocks; the one is as wide as both.
        known: Perturbed genes of the conditions.
        settings: Other parts of the network.
    """

    def count(shape: Shape) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in PerturbedNet(known, shape, settings).parameters())

    one = replace(full, invariant=0, perturbed=full.invariant + full.perturbed)
    return widened(one, count(full), count)


def narrowed(genes: int, d_v: int) -> str | None:
    """Say so if fewer genes are perturbed in training than the perturbed latent was to have dimensions."""
    if genes >= d_v:
        return None
    return (
        f"{genes} perturbed genes in training, fewer than d_v={d_v}: the perturbed latent has as many dimensions as "
        "there are genes, and no claim can be made about what they are"
    )


def gene_means(x: Tensor, likelihood: Likelihood, source: str) -> Tensor:
    """What a decoder says of each gene before anything is learned ``[G]``.

    Args:
        x: Train cells, log1p ``[N, G]``.
        likelihood: Of the network.
        source: Name of the data set, for the message.

    Raises:
        ValueError: Cells that hold no counts, where the likelihood is of counts.
    """
    if likelihood == "gaussian":
        return x.mean(dim=0)
    if not bool((exact := recover(x).exact).all()):
        raise ValueError(
            f"likelihood=nb needs counts, and {int((~exact).sum())} of {len(x)} cells of '{source}' hold "
            "values that are no multiples of one count: set likelihood=gaussian, or give the data set's card counts"
        )
    return torch.log(torch.expm1(x).mean(dim=0) + 1e-2)
