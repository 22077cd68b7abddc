"""Latents of a file: an encoder of any tool, which a row for each cell stands for."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.core.arguments import checked
from bench.core.conditions import CONTROL
from bench.core.errors import BenchError
from bench.core.given_files import FilePath
from bench.data.datamodule import PerturbationDataModule
from bench.data.dataset import Dataset
from bench.data.io.latents import Latents, read_latents
from bench.models.base import PerturbationModel
from bench.models.encoder_maker import EncoderMaker
from bench.models.encoder_model import EncoderModel
from bench.models.response import ResponseConfig
from bench.nn.encoder import Encoded
from bench.results.records import PROVENANCE

_BLOCK = 512


def _digests(cells: NDArray[np.float32]) -> list[bytes]:
    """A hash of each cell's expression ``[n, G]``; -0 is 0."""
    whole = np.ascontiguousarray(cells) + np.float32(0)
    return [blake2b(cell.tobytes(), digest_size=16).digest() for cell in whole]


class _Lookup(nn.Module):
    """Give each cell the latent of the cell of the data set that has its expression.

    Args:
        dataset: The cells.
        latents: Of some of them.
        visible: Rows of the cells that a model may learn from: what hidden cells have never changes a latent of these.

    Attributes:
        averaged: Cells whose expression another cell has whose latent is another; they share the mean.
    """

    z: torch.Tensor

    def __init__(self, dataset: Dataset, latents: Latents, visible: NDArray[np.int64]) -> None:
        super().__init__()
        self._slot: dict[bytes, int] = {}
        n = dataset.x.shape[0]
        slot = np.empty(n, dtype=np.int64)
        for start in range(0, n, _BLOCK):
            for i, digest in enumerate(_digests(dataset.x[start : start + _BLOCK].toarray()), start):
                slot[i] = self._slot.setdefault(digest, len(self._slot))
        first = np.unique(slot, return_index=True)[1]
        self._barcode = dataset.barcodes[first]
        z = np.zeros((len(first), latents.z.shape[1]), dtype=np.float32)
        self._known = np.zeros(len(first), dtype=bool)
        self.averaged = 0
        seen = np.isin(latents.rows, visible)
        for part in (seen, ~seen):
            place, own = slot[latents.rows[part]], latents.z[part]
            fresh = ~self._known[place]
            place, own = place[fresh], own[fresh]
            z[place] = own  # exact, where one cell alone has this expression
            count = np.bincount(place, minlength=len(first))
            shared = np.flatnonzero((count > 1)[place])
            for one in np.unique(place[shared]).tolist():
                rows = own[place == one]
                if (rows != rows[0]).any():
                    self.averaged += len(rows)
                    z[one] = rows.mean(axis=0, dtype=np.float64)
            self._known[place] = True
        self.register_buffer("z", torch.from_numpy(z), persistent=False)

    def forward(self, x: torch.Tensor) -> Encoded:
        """Look cells up by their expression ``[B, G]``.

        Raises:
            BenchError: A cell that is none of the data set's, or that the file has no latent of.
        """
        found = [self._slot.get(digest, -1) for digest in _digests(x.detach().cpu().float().numpy())]
        if strange := found.count(-1):
            raise BenchError(
                f"{strange} of {len(found)} cells are none of the data set's: latents of a file are of its cells only."
            )
        if lacking := [slot for slot in found if not self._known[slot]]:
            raise BenchError(
                f"the file of latents has none of {len(lacking)} of {len(found)} cells (first "
                f"'{self._barcode[lacking[0]]}')."
            )
        pooled = self.z[torch.tensor(found, device=self.z.device)].to(x.device)
        return Encoded(pooled[:, None], pooled)


class GivenLatents(EncoderMaker):
    """Latents of a file, a row for each cell by its barcode.

    A response asks for the latent of a cell by its expression. Cells that share theirs to the last bit cannot be told
    apart so: they get the mean of their latents, with a warning; of hidden cells only what no visible cell has.

    Args:
        encoder_embeddings: h5ad file, ``obs_names`` = barcodes of the data: every train and val cell and input control;
            for ``bench frozen`` also test cells and reference controls. Others are not needed.
        key: Where the latents are: a key of ``obsm``, or ``X``; needed where the file has an ``obsm``.
        pretrained_on: What the encoder was pretrained on, as its author says; it stands with the row.
    """

    encodes_any = False
    unkept = "its latents are those of a file, which has none of cells that it does not hold"

    def __init__(self, encoder_embeddings: FilePath = "", key: str = "", pretrained_on: str = "") -> None:
        self.file, self.key, self.pretrained_on = encoder_embeddings, key, pretrained_on

    def make(self, datamodule: PerturbationDataModule, model: PerturbationModel) -> nn.Module:
        """Read the file."""
        if not self.file:
            raise BenchError("latents of which file? Give it by --encoder-embeddings (an h5ad file).")
        dataset, task = datamodule.dataset, datamodule.task
        visible = np.unique(
            np.concatenate(
                [
                    datamodule.representation_rows("train"),
                    datamodule.rows("val"),
                    *map(np.asarray, datamodule.input_rows),
                ]
            )
        )
        needed = visible
        if model.fit_context.evaluates_encoder:
            needed = np.unique(np.concatenate([visible, task.rows("test"), dataset.cells_of[CONTROL]]))
        path = Path(self.file)
        latents = read_latents(path, self.key, dataset, needed)
        made = _Lookup(dataset, latents, visible)
        model.inputs["embeddings"] = latents.hash(dataset)
        said = "".join(filter(str.isprintable, self.pretrained_on)).strip()[:200]
        model.warnings.append(
            f"{'' if said else PROVENANCE}its latents are those of a file ({latents.place}, {latents.z.shape[1]} "
            f"numbers a cell), which this benchmark did not make; pretrained on: {said or 'not said'}"
        )
        if made.averaged:
            model.warnings.append(
                f"{made.averaged} cells have the expression of another cell and another latent: each has their mean"
            )
        return made


class Embeddings(EncoderModel):
    """The shared response on latents that an encoder of any tool wrote into a file."""

    named_by = ("encoder_embeddings", "key", "pretrained_on")

    @checked
    def __init__(self, maker: GivenLatents, response: ResponseConfig) -> None:
        super().__init__(maker, response)
