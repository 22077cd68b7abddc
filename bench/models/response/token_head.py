"""The response of token predictors: from a control cell's tokens to a perturbed cell's, and to a shift of genes."""

from __future__ import annotations

import torch
from torch import nn

from bench.models.response.actions import ActionTable
from bench.models.response.config import ResponseConfig
from bench.nn.composer import Composer
from bench.nn.decoder import PerGeneDecoder, SharedDecoder
from bench.nn.encoder import Encoded
from bench.nn.predictor import FixedPredictor, ReportPredictor


class TokenHead(nn.Module):
    """Predict a perturbed cell's tokens; the shift is what the decoder reads in them less what in the control's.

    Args:
        table: Actions of the conditions.
        settings: Its parts.
        genes: Genes ``G``.
        width: Token width ``D``.
        seed: Seed of its weights.
        composer: Weights that the action composer starts from, where it was aligned.
        checkpoint_activations: Trade time for memory.
        heads: Attention heads of the predictor: the encoder's.
        slopes: The encoder's vectors of genes ``[G, D]``, from which queries begin where settings say so.

    Source: BioJEPAC report v0.4.
    """

    def __init__(
        self,
        table: ActionTable,
        settings: ResponseConfig,
        genes: int,
        width: int,
        seed: int,
        composer: dict[str, torch.Tensor] | None = None,
        checkpoint_activations: bool = False,
        heads: int = 4,
        slopes: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        self.table, self.width = table, width
        self.composer = Composer(
            table.widths,
            width=settings.action_width,
            # An identity that is always dropped is never learned, and would be noise in prediction: there is none then.
            n_identities=table.identities if settings.identity_dropout < 1 else 0,
            identity_dropout=settings.identity_dropout,
            n_treatments=len(table.treatments.names),
        )
        if composer:
            self.composer.load_state_dict(composer, strict=False)
        kind = FixedPredictor if settings.predictor == "fixed" else ReportPredictor
        self.predictor = kind(
            genes,
            width,
            settings.action_width,
            depth=settings.head_depth,
            heads=heads,
            checkpoint_activations=checkpoint_activations,
        )
        if slopes is not None and settings.queries == "encoder":
            with torch.no_grad():
                self.predictor.queries.copy_(slopes)
        self.change = settings.predicts == "change"
        if self.change:
            nn.init.zeros_(self.predictor.mean.weight)
            nn.init.zeros_(self.predictor.mean.bias)
        self.decoder = SharedDecoder(width) if settings.decoder == "shared" else PerGeneDecoder(genes, width, zero=True)
        torch.random.set_rng_state(state)

    def forward(
        self, context: Encoded, condition: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict mean and log variance of the perturbed cells' tokens, each ``[B, G, D]``.

        Args:
            context: The control cells' tokens.
            condition: Index into ``data.conditions`` ``[B]``.
            generator: Of the dropped identities, in training.
        """
        actions, present = self.table.compose(self.composer, condition, generator)
        return self.acted_on(context, actions, present)

    def acted_on(
        self, context: Encoded, actions: torch.Tensor, present: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same for action vectors ``[B, A, E]``, of which those ``present`` ``[B, A]``."""
        mean, logvar = self.predictor(context, actions, present)
        return (context.tokens + mean if self.change else mean), logvar

    def decode(self, mean: torch.Tensor, context: Encoded) -> torch.Tensor:
        """Shift of genes ``[B, G]`` between predicted tokens ``[B, G, D]`` and the control cells'; biases cancel."""
        shift: torch.Tensor = self.decoder(mean) - self.decoder(context.tokens)
        return shift

    def decode_moved(self, moved: torch.Tensor) -> torch.Tensor:
        """The same of the differences between predicted and control tokens ``[B, G, D]``, as decoders are affine."""
        shift: torch.Tensor = self.decoder(moved) - self.decoder(torch.zeros_like(moved[:1]))
        return shift
