"""Curves of the val conditions while something is trained: for people to look at; nothing is chosen by them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torchmetrics import MeanSquaredError, PearsonCorrCoef

#: Looks of a :class:`ValCurve` in one training.
LOOKS = 5


@torch.no_grad()
def agreement(predicted: torch.Tensor, true: torch.Tensor) -> dict[str, float]:
    """How well shifts are predicted.

    Args:
        predicted: Predicted shifts, one row per condition and context ``[T, G]``.
        true: What they should be ``[T, G]``.

    Returns:
        ``pearson``: correlation over genes, averaged over rows, one that does not vary counting as 0; ``mse``: mean
        squared error.
    """
    predicted, true = predicted.detach().cpu().double(), true.detach().cpu().double()
    correlation = PearsonCorrCoef(num_outputs=len(true)).set_dtype(torch.float64)
    error = MeanSquaredError().set_dtype(torch.float64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The variance of predictions or target is close to zero")
        # Genes are torchmetrics' samples and conditions its outputs; a single output has no second axis.
        correlation.update(*((x[0] if len(x) == 1 else x.T) for x in (predicted, true)))
        each = torch.nan_to_num(correlation.compute(), nan=0.0)
    error.update(predicted.contiguous(), true.contiguous())
    return {"pearson": float(each.mean()), "mse": float(error.compute())}


class ValCurve(Callback):
    """Log ``val/pearson`` and ``val/mse`` a few times in one training.

    Args:
        module: Put into evaluation mode while it predicts.
        predict: Predicted and true shifts of the val conditions, each ``[T, G]``; it must draw no random number.
        steps: Steps of the training.
    """

    def __init__(self, module: nn.Module, predict: Callable[[], tuple[torch.Tensor, torch.Tensor]], steps: int) -> None:
        self.module, self.predict, self.every = module, predict, max(1, steps // LOOKS)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Look and log every few steps."""
        if trainer.logger and trainer.global_step % self.every == 0:
            training = self.module.training
            self.module.eval()
            with torch.no_grad():
                log_agreement(trainer.logger, *self.predict(), trainer.global_step)
            self.module.train(training)


def log_agreement(logger: Any, predicted: torch.Tensor, true: torch.Tensor, step: int) -> None:
    """Log :func:`agreement` under ``val/`` at a step."""
    logger.log_metrics({f"val/{name}": value for name, value in agreement(predicted, true).items()}, step)
