"""What stands between an encoder and a loss that compares views; dropped after pretraining."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def projector(*widths: int) -> nn.Sequential:
    """Linear layers of the given widths, with batch norm and ReLU between them ``[B, widths[0]] -> [B, widths[-1]]``.

    Source: Zbontar et al. 2021 and Bardes et al. 2022 (expander); Chen et al. 2020 with two layers.
    """
    layers: list[nn.Module] = []
    for i, (width, following) in enumerate(pairwise(widths)):
        if i:
            layers += [nn.BatchNorm1d(width), nn.ReLU()]
        layers.append(nn.Linear(width, following))
    return nn.Sequential(*layers)
