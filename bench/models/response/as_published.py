"""How the published evaluations ask a token model, defects included, so that they can stand beside the right way.

Two of them (3 and 6) compose an action from the guide's features by the projector of the *protein*: of 1,536 features
the first 320 go through weights that were never trained on them. Evaluation 3 feeds the sum of a cell where the model
was trained on its log total, and starts from one averaged control cell.

Source: BioJEPAC's evaluation notebooks of report v0.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from bench.models.response.actions import ActionTable
from bench.models.response.token_head import TokenHead
from bench.nn.composer import MODES, Composer
from bench.nn.encoder import Encoded
from bench.nn.gene_transformer import GeneTransformer

Features = Mapping[str, torch.Tensor]


def through_the_first_projector(values: Features, known: Features, names: Sequence[str]) -> tuple[Features, Features]:
    """Hand the features of the second bank in as if they were of the first, cut (or filled up) to its width.

    Args:
        values: Features of each bank ``[..., F]``.
        known: Whether each is known ``[...]``.
        names: The two banks; further ones are left out.

    Returns:
        Features, and which are known: of the first bank alone.
    """
    first, second = names[:2]
    width = values[first].shape[-1]
    cut = values[second][..., :width]
    moved = {**values, first: F.pad(cut, (0, width - cut.shape[-1]))}
    return moved, {name: known[second] if name == first else torch.zeros_like(known[name]) for name in known}


@torch.no_grad()
def actions(
    table: ActionTable, composer: Composer, condition: torch.Tensor, *, published: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Action vectors ``[B, A, E]`` of conditions, and which of them there are ``[B, A]``.

    Args:
        table: Actions by condition.
        composer: Composes them.
        condition: ``[B]``.
        published: Through the wrong projector; with fewer than two banks there is no wrong one.
    """
    names = list(table.widths)
    if not published or len(names) < 2:
        return table.compose(composer, condition)
    values, known = through_the_first_projector(*table.features(condition), names)
    mode = torch.full_like(table.identity[condition], MODES.index("unknown"))
    return composer(values, known, mode), known[names[0]]


@torch.no_grad()
def encode(encoder: nn.Module, cells: torch.Tensor, *, published: bool = False) -> Encoded:
    """Encode cells ``[B, G]``; published: their sum in place of their log total."""
    if published and isinstance(encoder, GeneTransformer):
        encoded: Encoded = encoder(cells, total=cells.sum(dim=1, keepdim=True))
        return encoded
    plain: Encoded = encoder(cells)
    return plain


@torch.no_grad()
def latents_of_items(
    encoder: nn.Module, head: TokenHead, cell: torch.Tensor, condition: torch.Tensor, *, published: bool
) -> torch.Tensor:
    """Mean predicted token of each condition ``[C, D]``, from one control cell ``[1, G]``."""
    start = encode(encoder, cell, published=published)
    found = []
    for index in condition:
        vectors, present = actions(head.table, head.composer, index[None], published=published)
        found.append(head.acted_on(start, vectors, present)[0].mean(dim=1))
    return torch.cat(found)
