"""Conditions as sets of actions: which gene is perturbed, what its features are, and whether training has seen it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from bench.core.conditions import constituents
from bench.data.datamodule import PerturbationDataModule
from bench.data.features.bank import FeatureBank
from bench.nn.composer import MODES, Composer


class ActionTable(nn.Module):
    """The actions of every condition of a data set, as tensors.

    Attributes:
        identities: Number of perturbed genes that occur in train conditions; they are numbered from 1, 0 = unseen.
        widths: Width of each feature bank.
    """

    present: torch.Tensor
    identity: torch.Tensor

    def __init__(self, datamodule: PerturbationDataModule, banks: Sequence[FeatureBank]) -> None:
        """Look up every constituent of every condition.

        Args:
            datamodule: The task.
            banks: Feature banks; each is standardised on the genes that train conditions perturb.
        """
        super().__init__()
        conditions = datamodule.dataset.conditions
        genes = [constituents(name) for name in conditions]
        slots = max((len(names) for names in genes), default=1) or 1
        seen = sorted({gene for name in datamodule.split.train for gene in constituents(name)})
        number = {gene: i + 1 for i, gene in enumerate(seen)}
        self.identities = len(seen)
        identity = np.zeros((len(conditions), slots), dtype=np.int64)
        slot = np.zeros((len(conditions), slots), dtype=bool)
        for i, names in enumerate(genes):
            identity[i, : len(names)] = [number.get(gene, 0) for gene in names]
            slot[i, : len(names)] = True
        present = identity > 0
        self.widths: dict[str, int] = {}
        flat = [gene for names in genes for gene in names]
        for bank in banks:
            values, known = bank.standardised(seen).lookup(flat)
            table = np.zeros((*slot.shape, values.shape[1]), dtype=np.float32)
            has = np.zeros_like(slot)
            table[slot], has[slot] = values, known
            present |= has
            self.widths[bank.name] = values.shape[1]
            self.register_buffer(f"features_{len(self.widths)}", torch.from_numpy(table))
            self.register_buffer(f"known_{len(self.widths)}", torch.from_numpy(has))
        self.register_buffer("identity", torch.from_numpy(identity))
        self.register_buffer("present", torch.from_numpy(present))
        self.missing = {name: int((slot[i] & ~present[i]).sum()) for i, name in enumerate(conditions)}

    def features(self, condition: torch.Tensor) -> tuple[Mapping[str, torch.Tensor], Mapping[str, torch.Tensor]]:
        """Features ``[B, A, F]`` of each bank, and whether each is known ``[B, A]``."""
        names = list(self.widths)
        values = {name: self.get_buffer(f"features_{i + 1}")[condition] for i, name in enumerate(names)}
        known = {name: self.get_buffer(f"known_{i + 1}")[condition] for i, name in enumerate(names)}
        return values, known

    def compose(
        self, composer: Composer, condition: torch.Tensor, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors of a batch of conditions' actions.

        Args:
            composer: The action composer.
            condition: ``[B]``.
            generator: Draws which identities are dropped, in training.

        Returns:
            Actions ``[B, A, E]`` and which of them there are ``[B, A]``. A gene of which nothing is known is none.
        """
        values, known = self.features(condition)
        identity = self.identity[condition]
        mode = torch.full_like(identity, MODES.index("unknown"))
        return composer(values, known, mode, identity, generator), self.present[condition]
