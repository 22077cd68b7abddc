"""What frozen parts make of cells, computed once: a stage that trains something else need not compute it at every step.

The encoder's tokens of the cells that the stages on pairs draw; and, for the decoder, of each pair what the predictor
adds to the control's tokens. All of it is computed in blocks that depend on the drawn cells alone, so that a fit that
was interrupted finds the same numbers; and in the step that first needs it, on its device and in its precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils import data as torch_data

from bench.data.datamodule import CellBatch
from bench.data.loaders import Rows
from bench.models.response.config import CELLS
from bench.nn.encoder import Encoded

#: Bytes that each of the two may take; where it would be more, every step computes what it needs.
MOST_BYTES = 1 << 30


class NumberedPairs(NamedTuple):
    """As :class:`CellBatch`, and which cells they are.

    Attributes:
        cells: Expression of perturbed cells ``[B, G]``.
        controls: Expression of the paired controls ``[B, G]``.
        condition: Index into ``data.conditions`` ``[B]``.
        context: Index into ``data.contexts`` ``[B]``.
        rows: Rows of the perturbed cells ``[B]``.
        control_rows: Rows of the controls ``[B]``.
    """

    cells: torch.Tensor
    controls: torch.Tensor
    condition: torch.Tensor
    context: torch.Tensor
    rows: torch.Tensor
    control_rows: torch.Tensor


class Numbered(torch_data.Dataset[NumberedPairs]):
    """Pairs with their rows, by what a sampler draws.

    Args:
        pairs: Gives a :class:`CellBatch` for (cell rows, control rows).
    """

    def __init__(self, pairs: Any) -> None:
        self.pairs = pairs

    def __getitem__(self, drawn: Any) -> NumberedPairs:
        batch: CellBatch = self.pairs[drawn]
        return NumberedPairs(*batch, *(torch.from_numpy(np.asarray(rows, dtype=np.int64)) for rows in drawn))


class Drawn(NamedTuple):
    """Cells that are drawn in so many steps.

    Attributes:
        rows: Every cell that is drawn, perturbed or control, once, in file order ``[N]``.
        pairs: Every pair (perturbed, control) that is drawn, once, in file order ``[P, 2]``.
        draws: Pairs that are drawn, repeats included.
    """

    rows: Rows
    pairs: NDArray[np.int64]
    draws: int

    @property
    def repeated(self) -> bool:
        """Whether some pair is drawn again."""
        return self.draws > len(self.pairs)


def drawn_in(batches: Iterable[tuple[Rows, Rows]]) -> Drawn:
    """What batches (cell rows, control rows) of a sampler hold."""
    drawn = [np.stack(batch, axis=1) for batch in batches]
    every = np.concatenate(drawn) if drawn else np.empty((0, 2), dtype=np.int64)
    return Drawn(np.unique(every), np.unique(every, axis=0), len(every))


def pair_keys(rows: Rows, controls: Rows) -> Rows:
    """A number for each pair of rows, in the pairs' order ``[P]``."""
    return np.asarray(rows * (1 << 31) + controls, dtype=np.int64)


class Kept:
    """Rows of a table that is computed as a whole when its first row is asked for.

    Args:
        keys: What rows are asked for by, once each, ascending ``[N]``.
        compute: Makes the rows of some keys, which are given by place, on a device ``[B, ...]``.
        bytes_each: Bytes of a row.
        most: Bytes that all of it may take.

    Attributes:
        bytes: Bytes that it takes.
        fits: Whether it is kept at all.
    """

    def __init__(
        self,
        keys: Rows,
        compute: Callable[[Rows, torch.device], torch.Tensor],
        bytes_each: int,
        most: int = MOST_BYTES,
    ) -> None:
        self.keys, self._compute = keys, compute
        self.bytes = len(keys) * bytes_each
        self.fits = 0 < self.bytes <= most
        self._table: torch.Tensor | None = None

    def __call__(self, keys: Rows, device: torch.device) -> torch.Tensor:
        """Rows of some keys, all of which are known ``[B, ...]``."""
        if self._table is None:
            self._table = self._all(device)
        return self._table[torch.from_numpy(np.searchsorted(self.keys, keys))].to(device)

    @torch.no_grad()
    def _all(self, device: torch.device) -> torch.Tensor:
        table = torch.empty(0)
        for i in range(0, len(self.keys), CELLS):
            block = self._compute(np.arange(i, min(i + CELLS, len(self.keys))), device).float().cpu()
            table = table if i else torch.empty((len(self.keys), *block.shape[1:]))
            table[i : i + len(block)] = block
        return table


def kept_tokens(encoder: nn.Module, x: sp.csr_matrix, rows: Rows, width: int, most: int = MOST_BYTES) -> Kept:
    """Tokens of cells by a frozen encoder, ``[B, G, D]`` for rows ``[B]``.

    Args:
        encoder: Frozen; one token per gene.
        x: Expression ``[N, G]``.
        rows: The cells, each once, ascending.
        width: Of a token.
        most: Bytes that they may take.
    """

    def tokens(places: Rows, device: torch.device) -> torch.Tensor:
        encoded: Encoded = encoder(torch.from_numpy(x[rows[places]].toarray()).to(device))
        return encoded.tokens

    return Kept(rows, tokens, 4 * x.shape[1] * width, most)
