"""What every action-conditioned predictor takes and returns."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from bench.core.errors import BenchError
from bench.nn.encoding import Encoded

# BioJEPAC report v0.4.
LOGVAR_RANGE = (-10.0, 2.0)


class ActionPredictor(nn.Module, ABC):
    """From a control cell's latents and a set of actions to a Gaussian over the perturbed cell's latents."""

    @abstractmethod
    def forward(self, context: Encoded, actions: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Predict.

        Args:
            context: The control cells' latents.
            actions: Action vectors ``[B, A, E]``; their order does not matter.
            present: Which of them there are, bool ``[B, A]``; the others change nothing.

        Returns:
            Mean and log variance (within [-10, 2]), each ``[B, T, D]``.

        Raises:
            BenchError: If the shapes do not fit.
        """


def check_actions(actions: Tensor, present: Tensor, width: int) -> None:
    """Refuse actions that are not ``[B, A, E]`` with ``present`` ``[B, A]``."""
    if actions.ndim != 3 or actions.shape[2] != width or present.shape != actions.shape[:2]:
        raise BenchError(
            f"actions have shape {tuple(actions.shape)} and present {tuple(present.shape)}; "
            f"expected [cells, actions, {width}] and [cells, actions]."
        )


def action_sum(actions: Tensor, present: Tensor) -> Tensor:
    """Sum of the actions that are there, ``[B, A, E] -> [B, E]``; zero where there is none."""
    return torch.where(present[..., None], actions, 0.0).sum(1)


def clamp_logvar(logvar: Tensor) -> Tensor:
    """Keep a log variance in the published range."""
    return logvar.clamp(*LOGVAR_RANGE)
