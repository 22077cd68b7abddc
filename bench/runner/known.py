"""What a saved model can be asked for: perturbations that it met in training, or has features of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from bench.core.conditions import constituents, identity, single
from bench.core.errors import BenchError
from bench.data.features.treatments import Treatments
from bench.runner.home import SavedModel

TRAIN, FEATURES, NOTHING = "train", "features only", "nothing"


@dataclass(frozen=True)
class Known:
    """What a saved model knows.

    Attributes:
        met: Genes that its train conditions perturb; of a closed form without a rule, those of conditions without
            fallback.
        described: Genes that it has features of.
        kept: Conditions of a closed form without a rule, which predicts no others; None = any of these genes can be
            asked for.
        takes: ``dose`` and ``time``, where they enter the action: any amount can be asked for.
    """

    met: frozenset[str]
    described: frozenset[str]
    kept: tuple[str, ...] | None = None
    takes: tuple[str, ...] = ()

    @cached_property
    def _kept(self) -> frozenset[frozenset[str]]:
        return frozenset(map(identity, self.kept or ()))

    def of(self, condition: str) -> str:
        """What is known of a condition: of its least known constituent."""
        genes = set(constituents(condition))
        if self.kept is not None and identity(condition) not in self._kept:
            return NOTHING
        if genes <= self.met:
            return TRAIN
        return FEATURES if genes <= self.met | self.described else NOTHING

    @property
    def genes(self) -> tuple[str, ...]:
        """Genes that can be asked for one by one."""
        if self.kept is not None:
            return tuple(sorted({constituents(name)[0] for name in self.kept if len(constituents(name)) == 1}))
        return tuple(sorted(self.met | self.described))

    def singles(self) -> tuple[str, ...]:
        """Single perturbations of them; of a closed form all that it keeps."""
        return self.kept if self.kept is not None else tuple(map(single, self.genes))

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All pairs of these genes; of a closed form those that it keeps."""
        if self.kept is None:
            return tuple(combinations(self.genes, 2))
        two = (constituents(name) for name in self.kept)
        return tuple((genes[0], genes[1]) for genes in two if len(genes) == 2)


def known_of(model: SavedModel) -> Known:
    """Say what a saved model knows.

    Raises:
        BenchError: It does not say.
    """
    facts = model.kept.facts
    if "actions" in facts:
        part = model.kept.part("actions")
        banks = part.facts["banks"]
        assert isinstance(banks, list)
        genes = {str(gene) for bank in banks if isinstance(bank, dict) for gene in bank["genes"]}  # type: ignore[union-attr]
        at = Treatments.from_plain(part.facts.get("treatments", {}))
        return Known(frozenset(part.words("seen")), frozenset(genes), takes=at.names)
    counts = facts.get("fallbacks")
    if not isinstance(counts, dict):
        raise BenchError(f"{model.source}: '{model.described.model}' does not say which perturbations it knows.")
    rule = facts.get("rule")
    if isinstance(rule, dict) and isinstance(rule["banks"], list) and rule["banks"]:
        genes = {str(gene) for bank in rule["banks"] if isinstance(bank, list) for gene in bank}
        at = Treatments.from_plain(rule.get("treatments", {}))
        seen = frozenset(model.kept.words("seen") if "seen" in facts else ())
        return Known(seen & genes, frozenset(genes), takes=at.names)
    kept = tuple(counts)
    met = {gene for name, missing in counts.items() if not missing for gene in constituents(name)}
    return Known(frozenset(met), frozenset({g for name in kept for g in constituents(name)} - met), kept)
