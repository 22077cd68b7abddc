"""What the second stage is made of, and which of its parts go together."""

from __future__ import annotations

from typing import Annotated, Literal

from bench.core.arguments import (
    Fraction,
    FractionBelowOne,
    NonNegativeFloat,
    NonNegativeInt,
    Part,
    PositiveInt,
    Range,
    settings,
)
from bench.core.given_files import SilentDefault
from bench.training.trainer import Precision

Residual = Literal["train_mean", "additive", "none"]
LatentTarget = Literal["genes", "own"]
PredictorKind = Literal["film", "fixed", "report"]
DecoderKind = Literal["per_gene", "shared"]
Pairing = Literal["fresh", "once"]
Queries = Literal["own", "encoder"]
Predicts = Literal["tokens", "change"]
#: Learning rates tried where there are enough val conditions to choose by; the second is the default.
RATES = (3e-4, 1e-3, 3e-3)
DEFAULT_RATE = RATES[1]
#: Learning rate of the decoder of tokens. Source: BioJEPAC report v0.4.
DECODER_RATE = 1e-3
#: Control cells over which a val prediction is averaged, and from which token predictors predict.
CELLS = 32


@settings
class ResponseConfig(Part):
    """How the response is fitted on a frozen encoder; the same for every one.

    Args:
        features: What describes a perturbed gene: ``card`` (the banks that the data set's card names), ``pca``,
            ``coexpression``, ``pairs:FILE``, a table (.parquet, .csv, .npz), ``from_encoder`` (the per-gene weights of
            a linear decoder fitted on the frozen encoder's latents); several joined by ``+``.
        residual: What the response adds to: ``train_mean``, ``additive`` or ``none``. Where train units hold every
            tested perturbation in other contexts, ``train_mean`` is the mean of that perturbation there.
        latent_target: ``genes`` (predict shifts of genes) or ``own`` (predict shifts of the encoder's own latents,
            decoded by a linear decoder fitted on train cells; with ``fixed`` or ``report``, the tokens of perturbed
            cells, on pairs of cells, then the decoder: needs a token per gene and residual ``none``).
        predictor: ``film`` (pooled context, FiLM by the actions), ``fixed`` (gene queries) or ``report`` (as
            published).
        decoder: ``per_gene`` or ``shared`` (as published: one linear map for all genes).
        head_width: Hidden width of the film predictor.
        head_depth: Blocks of the predictor.
        action_width: Width of an action.
        identity_dropout: How often a known perturbation's identity is dropped in training.
        head_steps: Training steps of the response, at most: the val conditions choose the step, or folds where they are
            few; all steps are taken where they are few and all genes of the test conditions are known.
        head_learning_rate: 0 chooses among 3e-4, 1e-3, 3e-3 by the val conditions.
        head_weight_decay: Weight decay of the response.
        head_seeds: Responses fitted from different seeds and averaged.
        align_epochs: Epochs of InfoNCE alignment of the first two feature banks before the response; 0 = none.
        precision: ``32-true`` or ``bf16-mixed``.
        looks: Times that the val conditions are looked at in each stage on tokens.
        predicts: Of predictors of tokens: the perturbed cell's ``tokens``, as published, or their ``change`` from the
            control cell's, which is none before the first step.
        queries: With which vector of a gene predictors of tokens ask for it: their ``own``, as published, or one that
            begins as the encoder's, the direction in which the gene's token moves with its expression (``encoder``).
        decoder_steps: Steps of the decoder after the predictor of tokens; 0 = as many as of that.
        decoder_rate: Its highest learning rate.
        pairing: Of the stages on pairs: ``fresh`` (each perturbed cell gets another control in every epoch) or
            ``once`` (as published; what the frozen parts make of a pair is then computed once).
        nll_beta: Of the likelihood of tokens: power of its own variance by which each term is weighted. 0, as
            published: what hardly varies, such as the tokens of silent genes, rules; 1: errors count as they are.
        bag: Cells of which each side of such a pair is the mean; 1, as published. A mean of 16 has a sixteenth of the
            noise, and costs as little where the encoder's tokens are kept.
        context_mask: With ``report`` and ``own``: share of the control cell's genes that are hidden in training; only
            they count in the likelihood (0.6 as published; prediction hides none).

    Raises:
        ValueError: Settings that do not go together.
    """

    features: str = "card"
    residual: Residual = "train_mean"
    latent_target: LatentTarget = "genes"
    predictor: PredictorKind = "film"
    decoder: DecoderKind = "per_gene"
    head_width: PositiveInt = 256
    head_depth: NonNegativeInt = 2
    action_width: PositiveInt = 128
    identity_dropout: Fraction = 0.2
    head_steps: NonNegativeInt = 200
    head_learning_rate: NonNegativeFloat = 0.0
    head_weight_decay: NonNegativeFloat = 1.0
    head_seeds: PositiveInt = 3
    align_epochs: NonNegativeInt = 0
    precision: Precision = "32-true"
    looks: Annotated[int, Range(1), SilentDefault()] = 10
    queries: Annotated[Queries, SilentDefault()] = "own"
    predicts: Annotated[Predicts, SilentDefault()] = "tokens"
    decoder_steps: Annotated[int, Range(0), SilentDefault()] = 0
    decoder_rate: Annotated[float, Range(0, low_open=True), SilentDefault()] = DECODER_RATE
    pairing: Annotated[Pairing, SilentDefault()] = "fresh"
    nll_beta: Annotated[float, Range(0, 1), SilentDefault()] = 0.0
    bag: Annotated[int, Range(1), SilentDefault()] = 1
    context_mask: FractionBelowOne = 0.0

    def __post_init__(self) -> None:
        if self.of_tokens and self.residual != "none":
            raise ValueError(
                f"predictor={self.predictor} with latent_target=own predicts whole cells and adds no mean shift: "
                f"set residual=none (it is {self.residual}), or predictor=film"
            )
        if self.context_mask and not (self.of_tokens and self.predictor == "report"):
            raise ValueError("context_mask needs predictor=report and latent_target=own")
        if self.context_mask and self.bag > 1:
            raise ValueError("context_mask hides genes of single cells: choose bag=1")
        if self.predicts == "change" and not (self.of_tokens and not self.context_mask):
            raise ValueError("predicts=change needs predictor=fixed or report, latent_target=own and context_mask=0")

    @property
    def of_tokens(self) -> bool:
        """Whether each gene's own token is predicted, on pairs of cells, instead of shifts of condition means."""
        return self.latent_target == "own" and self.predictor != "film"
