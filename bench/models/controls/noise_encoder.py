"""Noise encoder: each cell has a random latent of its own. What it gains on a constant one says nothing of cells."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
import torch
from torch import nn

from bench.core.arguments import PositiveInt, checked
from bench.data.datamodule import PerturbationDataModule
from bench.models.base import PerturbationModel
from bench.models.encoder_maker import EncoderMaker
from bench.models.encoder_model import EncoderModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import Encoded


class _Noise(nn.Module):
    """Standard normal numbers whose seed is a hash of the cell: the same for the same cell, of any other's unlike."""

    seed: torch.Tensor

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("seed", torch.tensor(seed))

    def forward(self, x: torch.Tensor) -> Encoded:
        key = int(self.seed).to_bytes(8, "little", signed=True)
        cells = np.ascontiguousarray(x.detach().cpu().float().numpy()) + np.float32(0)  # -0 is 0
        drawn = np.empty((len(cells), self.width), dtype=np.float32)
        for i, cell in enumerate(cells):
            digest = int.from_bytes(blake2b(cell.tobytes(), digest_size=16, key=key).digest(), "little")
            drawn[i] = np.random.Generator(np.random.PCG64(digest)).standard_normal(self.width, dtype=np.float32)
        pooled = torch.from_numpy(drawn).to(x.device)
        return Encoded(pooled[:, None], pooled)


class Noise(EncoderMaker):
    """Noise that is the same for the same cell.

    Args:
        width: Latent width.
    """

    def __init__(self, width: PositiveInt = 128) -> None:
        self.width = width

    def make(self, datamodule: PerturbationDataModule, model: PerturbationModel) -> nn.Module:
        """Noise of the pretraining seed."""
        return _Noise(self.width, datamodule.seed)

    def blank(self, genes: int, state: Mapping[str, torch.Tensor]) -> nn.Module:
        """Noise, whose seed is among the weights."""
        return _Noise(self.width, 0)


class NoiseEncoder(EncoderModel):
    """The shared response on Gaussian noise, drawn per cell and of use for nothing.

    It stands beside ``constant_encoder``: neither latent carries anything, but this one varies between the control
    cells that a response starts from, as a real encoder's does, and so disturbs the response in training. What an
    encoder scores above ``constant_encoder`` and not above this one comes of its having latents, not of what they say.

    The noise of a cell is drawn with a hash of its expression (and the pretraining seed) as the seed: prediction
    repeats it, and cells that differ in one count have independent latents.
    """

    row_kind = "control"

    @checked
    def __init__(self, maker: Noise, response: ResponseConfig) -> None:
        super().__init__(maker, response)
