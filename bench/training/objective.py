"""What a self-supervised objective is: views of a cell, the heads that it needs, and its loss. Nothing of training."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from bench.core.arguments import Part
from bench.data.datamodule import CellsBatch
from bench.nn.encoder import EncoderConfig

#: Share of genes hidden where an objective does not say.
MASK = 0.6


@dataclass(frozen=True)
class Encoders:
    """What an objective is given to build its heads on.

    Attributes:
        student: The encoder that is trained.
        teacher: Its average over the steps; it gets no gradient.
        architecture: Kind and sizes of both.
        genes: Number of genes ``G``.
        conditions: Number of conditions of the data set.
        checkpoint_activations: Whether heads, too, should trade time for memory.
    """

    student: nn.Module
    teacher: nn.Module
    architecture: EncoderConfig
    genes: int
    conditions: int
    checkpoint_activations: bool = False


class Objective(nn.Module, Part, abc.ABC):
    """An objective: its constructor's typed arguments are flags of the model that is pretrained by it.

    Attributes:
        student: The encoder that is trained.
        teacher: Its average over the steps.
        architecture: Kind and sizes of both.
        heads: What :meth:`make_heads` made; trained with the student and dropped after pretraining.
        mask: Share of genes that its views hide; monitors compare views that hide as many. 0 where it hides none.
        keeps_heads: Whether its heads are of use after pretraining: they are then kept with the encoder's best step.
        search: Values of its arguments that ``trials`` draws settings from, beside the defaults.
    """

    keeps_heads: ClassVar[bool] = False
    search: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    mask: float = MASK

    student: nn.Module
    teacher: nn.Module
    architecture: EncoderConfig
    heads: nn.ModuleDict

    def __init__(self) -> None:
        super().__init__()

    @abc.abstractmethod
    def make_heads(self, encoders: Encoders) -> dict[str, nn.Module]:
        """Make the modules that the loss needs beside the encoders, their weights drawn from torch's generator."""

    def look(self, encoder: nn.Module) -> float | None:
        """What is to be small at the step that is kept, of an encoder in evaluation; it must not look at test cells.

        ``None`` = the part of held-out shifts that is not decoded from its latents, as for every objective whose heads
        are dropped after pretraining.
        """
        return None

    @abc.abstractmethod
    def losses(self, batch: CellsBatch, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Weighted parts of the loss; their sum is minimised.

        Args:
            batch: Cells ``[B, G]``.
            generator: Source of every random choice, fixed by (seed, step): a resumed run goes on as it would have.
        """

    def build(self, encoders: Encoders) -> None:
        """Take the encoders and make the heads on them."""
        self.student, self.teacher, self.architecture = encoders.student, encoders.teacher, encoders.architecture
        self.heads = nn.ModuleDict(self.make_heads(encoders))
