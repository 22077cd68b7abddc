"""What the second stage is made of: its settings, and which of them go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bench.training.trainer import Precision

Residual = Literal["train_mean", "additive", "none"]
LatentTarget = Literal["genes", "own"]
PredictorKind = Literal["film", "fixed", "report"]
DecoderKind = Literal["per_gene", "shared"]
#: Learning rates tried where there are enough val conditions to choose by; the second is the default.
RATES = (3e-4, 1e-3, 3e-3)
DEFAULT_RATE = RATES[1]
#: Control cells over which a val prediction is averaged, and from which token predictors predict.
CELLS = 32


@dataclass(frozen=True)
class HeadSettings:
    """What the second stage is made of; see :class:`bench.models.encoder_model.EncoderModel` for each."""

    residual: Residual
    latent_target: LatentTarget
    predictor: PredictorKind
    decoder: DecoderKind
    action_width: int
    width: int
    depth: int
    heads: int
    steps: int
    rate: float
    seeds: int
    weight_decay: float
    identity_dropout: float
    precision: Precision
    context_mask: float = 0.0

    @property
    def of_tokens(self) -> bool:
        """Whether each gene's own token is predicted: then :mod:`bench.models.response.token_fit` fits the response."""
        return self.latent_target == "own" and self.predictor != "film"


def allowed(settings: HeadSettings) -> None:
    """Refuse settings that do not go together.

    Raises:
        ValueError: With the reason.
    """
    for name, kind in (("residual", Residual), ("latent_target", LatentTarget), ("predictor", PredictorKind)):
        if getattr(settings, name) not in get_args(kind):
            raise ValueError(f"{name}: expected one of {', '.join(get_args(kind))}")
    if settings.steps < 0 or settings.seeds < 1 or settings.rate < 0:
        raise ValueError("head_steps and head_learning_rate must not be negative, head_seeds at least 1")
    if settings.of_tokens and settings.residual != "none":
        raise ValueError(
            f"predictor={settings.predictor} with latent_target=own predicts whole cells and adds no mean shift: "
            f"set residual=none (it is {settings.residual}), or predictor=film"
        )
    if not 0 <= settings.context_mask < 1:
        raise ValueError("context_mask must be at least 0 and less than 1")
    if settings.context_mask and not (settings.of_tokens and settings.predictor == "report"):
        raise ValueError("context_mask needs predictor=report and latent_target=own")
