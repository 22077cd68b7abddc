"""What is kept of a fitted model: enough to predict again, without the task that it was fitted on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from pydantic import JsonValue

from bench.core.conditions import constituents, written
from bench.core.errors import BenchError
from bench.data.features.bank import shorten


@dataclass(frozen=True)
class Kept:
    """A fitted model as plain values and arrays; its arguments and genes are written down beside it.

    Attributes:
        facts: Plain values that the model is rebuilt from.
        state: Its weights, as ``state_dict`` has them.
        tables: Arrays that what depends on the conditions asked for is made from, such as features of genes.
    """

    facts: dict[str, JsonValue] = field(default_factory=dict)
    state: dict[str, torch.Tensor] = field(default_factory=dict)
    tables: dict[str, torch.Tensor] = field(default_factory=dict)

    def under(self, name: str) -> Kept:
        """The same as a part of something larger, its facts and tables under a name of their own."""
        return Kept({name: self.facts}, self.state, {f"{name}.{key}": value for key, value in self.tables.items()})

    def part(self, name: str) -> Kept:
        """Take a part back out."""
        facts = self.facts[name]
        assert isinstance(facts, dict)
        tables = {key.removeprefix(f"{name}."): t for key, t in self.tables.items() if key.startswith(f"{name}.")}
        return Kept(facts, self.state, tables)

    def with_part(self, part: Kept) -> Kept:
        """Both together."""
        return Kept({**self.facts, **part.facts}, {**self.state, **part.state}, {**self.tables, **part.tables})

    def words(self, name: str) -> tuple[str, ...]:
        """A fact that is a list of words."""
        found = self.facts[name]
        assert isinstance(found, list)
        return tuple(map(str, found))


@dataclass(frozen=True)
class Asked:
    """What a model is asked for away from its task: its numbers of conditions and contexts are those of these lists.

    Attributes:
        genes: Genes that the model was fitted on ``[G]``.
        conditions: GEARS names.
        contexts: Names of the contexts whose control cells are given; the model may not have met them.
    """

    genes: tuple[str, ...]
    conditions: tuple[str, ...]
    contexts: tuple[str, ...]


def refuse_unknown(missing: Mapping[str, Collection[str]], known: Sequence[str]) -> None:
    """Refuse conditions about part of which nothing is known.

    Args:
        missing: By condition asked for, its constituents of which nothing is known; those without any are fine.
        known: Perturbations that are known.

    Raises:
        BenchError: Naming the conditions, what is not known of them, and what is known.
    """
    bad = {name: genes for name, genes in missing.items() if genes}
    if not bad:
        return
    genes = sorted({gene for each in bad.values() for gene in each})
    raise BenchError(
        f"the model knows nothing of {shorten([*map(written, genes)], 5)}, which {shorten([*map(written, bad)], 5)} "
        f"needs: it has neither met it in training nor features of it. It knows {len(known)} perturbations: "
        f"{shorten([*map(written, known)], 10)}."
    )


def unknown_constituents(condition: str, known: Collection[str]) -> list[str]:
    """Those constituents of a condition that are not among these."""
    return [gene for gene in constituents(condition) if gene not in known]


def put_back(module: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Load weights into a module that was rebuilt, and leave it ready to predict.

    Raises:
        BenchError: They are not those of such a module.
    """
    try:
        module.load_state_dict(dict(state))
    except RuntimeError as error:
        first = " ".join(str(error).split())[:200]
        raise BenchError(f"the weights are not those of the model that is described beside them ({first}).") from error
    module.eval()
    module.requires_grad_(False)
