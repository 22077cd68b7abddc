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

from bench.data.datamodule import PerturbationDataModule
from bench.data.dataset import Dataset
from bench.data.loaders import Rows
from bench.models.response.config import CELLS
from bench.nn.encoder import Encoded

#: Bytes that each of the two may take; where it would be more, every step computes what it needs.
MOST_BYTES = 1 << 30


class NumberedPairs(NamedTuple):
    """As :class:`CellBatch`, each side the mean of a bag of cells, and which cells they are.

    Attributes:
        cells: Mean expression of perturbed cells ``[B, G]``.
        controls: Mean expression of the paired controls ``[B, G]``.
        condition: Index into ``data.conditions`` ``[B]``.
        context: Index into ``data.contexts`` ``[B]``.
        rows: Rows of the perturbed cells ``[B, K]``; the first was drawn as a pair with the first control.
        control_rows: Rows of the controls ``[B, K]``.
    """

    cells: torch.Tensor
    controls: torch.Tensor
    condition: torch.Tensor
    context: torch.Tensor
    rows: torch.Tensor
    control_rows: torch.Tensor


class Bags:
    """Fills a pair of cells up to bags: of the same condition and context, and of that context's input controls.

    Which cells they are follows from the pair and the seed alone.

    Args:
        datamodule: The cells.
        size: Cells of a bag ``K``; where there are fewer, some come twice.
        seed: Of the draws.
    """

    def __init__(self, datamodule: PerturbationDataModule, size: int, seed: int) -> None:
        self.size, self.seed, self.data = size, seed, datamodule.dataset
        controls = datamodule.control_rows
        self._controls = [controls[self.data.context[controls] == c] for c in range(len(self.data.contexts))]
        self._cells: dict[tuple[int, int], Rows] = {}

    def __call__(self, rows: Rows, controls: Rows) -> tuple[Rows, Rows]:
        """Rows of the bags of pairs ``[B]``: perturbed cells and controls, each ``[B, K]``."""
        if self.size == 1:
            return rows[:, None], controls[:, None]
        mine, theirs = np.empty((2, len(rows), self.size), dtype=np.int64)
        for i, (cell, control) in enumerate(zip(rows.tolist(), controls.tolist(), strict=True)):
            rng = np.random.default_rng([self.seed, 0xBA65, cell, control])
            mine[i] = self._filled(cell, self._of(cell), rng)
            theirs[i] = self._filled(control, self._controls[int(self.data.context[control])], rng)
        return mine, theirs

    def _of(self, cell: int) -> Rows:
        key = int(self.data.condition[cell]), int(self.data.context[cell])
        if key not in self._cells:
            self._cells[key] = np.flatnonzero((self.data.condition == key[0]) & (self.data.context == key[1]))
        return self._cells[key]

    def _filled(self, first: int, pool: Rows, rng: np.random.Generator) -> Rows:
        others = pool[pool != first] if len(pool) > 1 else pool
        more = rng.choice(others, self.size - 1, replace=len(others) < self.size - 1)
        return np.concatenate([[first], more])


class Numbered(torch_data.Dataset[NumberedPairs]):
    """Pairs of bags with their rows, by what a sampler draws.

    Args:
        dataset: The cells.
        bags: Fills pairs up.
    """

    def __init__(self, dataset: Dataset, bags: Bags) -> None:
        self.dataset, self.bags = dataset, bags

    def __getitem__(self, drawn: Any) -> NumberedPairs:
        sides = self.bags(*drawn)
        means = [
            torch.from_numpy(self.dataset.x[rows.ravel()].toarray()).view(*rows.shape, -1).mean(dim=1) for rows in sides
        ]
        of = (self.dataset.condition, self.dataset.context)
        codes = (torch.from_numpy(each[drawn[0]].astype(np.int64)) for each in of)
        return NumberedPairs(*means, *codes, *map(torch.from_numpy, sides))


class Drawn(NamedTuple):
    """Cells that are drawn in so many steps.

    Attributes:
        rows: Every cell of a bag, perturbed or control, once, in file order ``[N]``.
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


def drawn_in(batches: Iterable[tuple[Rows, Rows]], bags: Bags) -> Drawn:
    """What batches (cell rows, control rows) of a sampler hold."""
    drawn = [np.stack(batch, axis=1) for batch in batches]
    every = np.concatenate(drawn) if drawn else np.empty((0, 2), dtype=np.int64)
    pairs = np.unique(every, axis=0)
    return Drawn(np.unique(np.concatenate(bags(*pairs.T), axis=1)), pairs, len(every))


def pair_keys(rows: Rows, controls: Rows) -> Rows:
    """A number for each pair of rows, in the pairs' order ``[P]``."""
    return np.asarray(rows * (1 << 31) + controls, dtype=np.int64)


class Kept:
    """Rows of a table that is computed as a whole when its first row is asked for; without room, row by row.

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
        places = np.searchsorted(self.keys, keys)
        if not self.fits:
            return self._of(places, device)
        if self._table is None:
            self._table = self._of(np.arange(len(self.keys)), device).cpu()
        return self._table[torch.from_numpy(places)].to(device)

    @torch.no_grad()
    def _of(self, places: Rows, device: torch.device) -> torch.Tensor:
        table = torch.empty(0)
        for i in range(0, len(places), CELLS):
            block = self._compute(places[i : i + CELLS], device).float().cpu()
            table = table if i else torch.empty((len(places), *block.shape[1:]))
            table[i : i + len(block)] = block
        return table.to(device)

    def means(self, keys: Rows, device: torch.device) -> torch.Tensor:
        """Means of the rows of bags ``[B, K]``: ``[B, ...]``, one cell of each at a time."""
        total = self(keys[:, 0], device)
        for k in range(1, keys.shape[1]):
            total = total + self(keys[:, k], device)
        mean: torch.Tensor = total / keys.shape[1]
        return mean


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
