"""Who makes the encoder of a model: the first of the two parts that a model with a frozen encoder is composed of."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import nn

from bench.core.arguments import Part
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule

if TYPE_CHECKING:
    from bench.models.base import PerturbationModel


class EncoderMaker(Part, abc.ABC):
    """Makes the encoder of a model; its constructor's typed arguments are flags of that model.

    Attributes:
        heads: Attention heads; token predictors of the response take them over.
        checkpoint_activations: Whether token predictors of the response trade time for memory.
        small: Whether one thread is enough.
        encodes_any: Whether it encodes any cell, such as a predicted one.
        unkept: Why a model with such an encoder cannot be saved, as the end of a sentence; empty = it can.
    """

    heads: int = 4
    checkpoint_activations: bool = False
    small: bool = True
    encodes_any: bool = True
    unkept: str = ""

    @abc.abstractmethod
    def make(self, datamodule: PerturbationDataModule, model: PerturbationModel) -> nn.Module:
        """Make (and train) the encoder.

        Args:
            datamodule: The task; its seed is that of every random choice.
            model: Whose encoder it is: what it cost goes into its ``fit_report``, what to beware of into ``warnings``.

        Returns:
            A module that maps expression ``[B, G]`` to :class:`bench.nn.encoder.Encoded`.
        """

    def blank(self, genes: int, state: Mapping[str, torch.Tensor]) -> nn.Module:
        """Make an encoder of the right shapes, into which weights that were kept are loaded.

        Args:
            genes: Number of genes ``G``.
            state: The weights, where shapes follow from them.
        """
        raise BenchError(f"{type(self).__name__} does not say how its encoder is rebuilt (method blank)")
