"""Conditions as sets of actions: which gene is perturbed, what its features are, and whether training has seen it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import nn

from bench.core.conditions import bare, constituents
from bench.data.datamodule import PerturbationDataModule
from bench.data.features.bank import FeatureBank
from bench.data.features.resolve import targets
from bench.data.features.treatments import Treatments
from bench.models.kept import Kept, refuse_unknown, unknown_constituents
from bench.nn.action_predictor import action_sum
from bench.nn.composer import MODES, Composer


class ActionTable(nn.Module):
    """The actions of every condition of a data set, as tensors.

    Attributes:
        seen: Genes that train conditions perturb.
        treatments: Scales of dose and time, where conditions have any.
        perturbation: Number of each condition's perturbation: the same for all doses of a compound ``[C]``.
        identities: Number of perturbed genes that occur in train conditions; they are numbered from 1, 0 = unseen.
        widths: Width of each feature bank.
    """

    present: torch.Tensor
    identity: torch.Tensor
    treatment: torch.Tensor

    def __init__(self, datamodule: PerturbationDataModule, banks: Sequence[FeatureBank]) -> None:
        """Look up every constituent of every condition.

        Args:
            datamodule: The task.
            banks: Feature banks; each is standardised on the genes that train conditions perturb.
        """
        super().__init__()
        self._banks = tuple(banks)
        seen = targets(datamodule.split.train)
        self.treatments = Treatments.of(datamodule.split.train)
        self._look_up(datamodule.dataset.conditions, seen, (bank.standardised(seen) for bank in banks))

    def _look_up(self, conditions: Sequence[str], seen: tuple[str, ...], banks: Iterable[FeatureBank]) -> None:
        """Look up the constituents of conditions, given the genes of train conditions and standardised banks."""
        number_of = {name: i for i, name in enumerate(dict.fromkeys(map(bare, conditions)))}
        self.perturbation = torch.tensor([number_of[bare(name)] for name in conditions], dtype=torch.int64)
        genes = [constituents(name) for name in conditions]
        slots = max((len(names) for names in genes), default=1) or 1
        doses = self.treatments(conditions).astype(np.float32)
        self._number("treatment", np.repeat(doses[:, None], slots, axis=1))
        number = {gene: i + 1 for i, gene in enumerate(seen)}
        self.seen, self.identities = seen, len(seen)
        identity = np.zeros((len(conditions), slots), dtype=np.int64)
        slot = np.zeros((len(conditions), slots), dtype=bool)
        for i, names in enumerate(genes):
            identity[i, : len(names)] = [number.get(gene, 0) for gene in names]
            slot[i, : len(names)] = True
        present = identity > 0
        self.widths: dict[str, int] = {}
        flat = [gene for names in genes for gene in names]
        for bank in banks:
            values, known = bank.lookup(flat)
            table = np.zeros((*slot.shape, values.shape[1]), dtype=np.float32)
            has = np.zeros_like(slot)
            table[slot], has[slot] = values, known
            present |= has
            self.widths[bank.name] = values.shape[1]
            self._number(f"features_{len(self.widths)}", table)
            self._number(f"known_{len(self.widths)}", has)
        self._number("identity", identity)
        self._number("present", present)
        self.missing = {name: int((slot[i] & ~present[i]).sum()) for i, name in enumerate(conditions)}

    def _number(self, name: str, values: NDArray[Any]) -> None:
        """Keep an array with a row per condition; it is no part of the weights, which serve other conditions too."""
        self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def kept(self) -> Kept:
        """Features of all genes of the banks, not of this task's alone: new perturbations can then be asked for."""
        banks = [bank.standardised(self.seen) for bank in self._banks]
        described: list[JsonValue] = [
            {"name": bank.name, "genes": list(bank.genes), "hash": given.content_hash}
            for bank, given in zip(banks, self._banks, strict=True)
        ]
        tables = {f"bank_{i}": torch.tensor(bank.values) for i, bank in enumerate(banks)}
        facts: dict[str, JsonValue] = {"seen": list(self.seen), "banks": described}
        if self.treatments.names:
            facts["treatments"] = self.treatments.plain()
        return Kept(facts, tables=tables)

    @classmethod
    def restored(cls, kept: Kept, conditions: Sequence[str]) -> ActionTable:
        """The table of other conditions, from what was kept of one.

        Raises:
            BenchError: A condition with a gene of which nothing is known, or without the dose that all others have.
        """
        described = kept.facts["banks"]
        assert isinstance(described, list)
        banks = []
        for i, one in enumerate(described):
            assert isinstance(one, dict)
            assert isinstance(one["genes"], list)
            values = kept.tables[f"bank_{i}"].numpy()
            banks.append(FeatureBank(str(one["name"]), tuple(map(str, one["genes"])), values, str(one["name"])))
        seen = kept.words("seen")
        known = {*seen, *(gene for bank in banks for gene in bank.genes)}
        refuse_unknown({name: unknown_constituents(name, known) for name in conditions}, sorted(known))
        table = cls.__new__(cls)
        nn.Module.__init__(table)
        table._banks = ()
        table.treatments = Treatments.from_plain(kept.facts.get("treatments", {}))
        table._look_up(conditions, seen, banks)
        return table

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
        composed = composer(values, known, mode, identity, generator, self.treatment[condition])
        return composed, self.present[condition]

    def summed(self, composer: Composer, condition: torch.Tensor) -> torch.Tensor:
        """Sum of the actions of each condition ``[B, E]``, which is all that some predictors take of them."""
        return action_sum(*self.compose(composer, condition))
