"""Which units a board's means are over, and which genes and contexts each belongs to: what is deleted in turn."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import constituents, treatment_of
from bench.core.typing import Floats
from bench.core.units import Unit

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Design:
    """Which units were tested under which split seed, and what units share.

    Attributes:
        ids: Index of each seed's units in the union of all, one array ``[n_s]`` per seed.
        units: The union ``[N]``.
        clusters: Which unit belongs to which gene, then to which context ``[N, g]``; contexts only where there are
            several.
        genes: How many columns of ``clusters`` are genes.
    """

    ids: tuple[Ints, ...]
    units: tuple[Unit, ...]
    clusters: Mask
    genes: int

    @cached_property
    def seed(self) -> Ints:
        """Seed of each value, seed after seed ``[K]``."""
        return np.repeat(np.arange(len(self.ids)), [len(ids) for ids in self.ids])

    @cached_property
    def unit(self) -> Ints:
        """Unit of each value, seed after seed ``[K]``."""
        return np.concatenate([*self.ids, np.zeros(0, np.int64)])

    @cached_property
    def excess(self) -> Floats:
        """``k_i - 1``: clusters of a unit beyond the first ``[N]``."""
        return np.asarray(np.maximum(self.clusters.sum(axis=1) - 1.0, 0.0))

    @cached_property
    def shrink(self) -> Floats:
        """``(G - 1)/G`` of the kind of each cluster ``[g]``."""
        contexts = self.clusters.shape[1] - self.genes
        of = [(self.genes, self.genes), (contexts, contexts)]
        return np.concatenate([np.full(count, (total - 1) / max(total, 1)) for count, total in of])

    @property
    def distinct(self) -> int:
        """Number of distinct units."""
        return len(self.units)

    @property
    def contexts(self) -> int:
        """Number of contexts."""
        return max(1, int(self.clusters.shape[1]) - self.genes)


def design(units: Sequence[Sequence[Unit]]) -> Design:
    """Put together the units that are tested under all split seeds.

    Args:
        units: By seed; a condition is the set of its constituents, at its dose. Doses of a compound are not
            independent: they belong to the same cluster, as the combinations of a gene do.
    """

    def key(unit: Unit) -> tuple[tuple[str, ...], str, str]:
        held = tuple(sorted(set(constituents(unit.perturbation))))
        return held, treatment_of(unit.perturbation), unit.context

    first = {key(unit): unit for seed in units for unit in seed}
    union = sorted(first)
    position = {name: i for i, name in enumerate(union)}
    genes = sorted({gene for held, _, _ in union for gene in held})
    contexts = sorted({context for *_, context in union})
    of_gene = np.array([[gene in held for gene in genes] for held, _, _ in union], dtype=np.bool_)
    of_context = np.array([[context == c for c in contexts] for *_, context in union], dtype=np.bool_)
    parts = [of_gene.reshape(len(union), len(genes))]
    if len(contexts) > 1:
        parts.append(of_context)
    return Design(
        ids=tuple(np.array([position[key(unit)] for unit in seed], dtype=np.int64) for seed in units),
        units=tuple(first[name] for name in union),
        clusters=np.concatenate(parts, axis=1),
        genes=len(genes),
    )


@dataclass(frozen=True)
class Maps:
    """Linear maps from the ``k`` values that are defined; see :class:`Estimate` for what they give.

    Attributes:
        mean: ``[k]``.
        deleted: ``theta_(-g) - theta`` ``[g, k]``; 0 where a deletion leaves nothing, or takes nothing away.
        units: ``psi`` ``[N, k]``.
        n: Mean number of defined units per seed.
        distinct: Distinct units that are defined under some seed.
        effective: ``G_eff`` of these.
    """

    mean: Floats
    deleted: Floats
    units: Floats
    n: float
    distinct: int
    effective: float


def maps(plan: Design, known: Mask) -> Maps:
    """Make the maps for one pattern of defined values ``[K]``; the latest are kept, as most columns share one."""
    return _maps(plan, known.tobytes())


@functools.lru_cache(maxsize=32)
def _maps(plan: Design, pattern: bytes) -> Maps:
    known = np.frombuffer(pattern, dtype=bool)
    seed, unit, seeds = plan.seed[known], plan.unit[known], len(plan.ids)
    count = np.bincount(seed, minlength=seeds)
    present = max(int((count > 0).sum()), 1)
    mean = 1.0 / (present * np.maximum(count, 1)[seed])
    member = plan.clusters[unit].T  # [g, k]
    same_seed = seed[:, None] == np.arange(seeds)
    left = count - member.astype(np.float64) @ same_seed  # [g, S]
    still = (left > 0).sum(axis=1)
    coefficients = np.where(member, 0.0, 1.0 / (np.maximum(left, 1)[:, seed] * np.maximum(still, 1)[:, None]))
    deleted = np.where((still > 0)[:, None] & member.any(axis=1, keepdims=True), coefficients - mean, 0.0)
    own = np.zeros((plan.distinct, len(seed)))
    own[unit, np.arange(len(seed))] = mean
    # What a unit adds is measured from the mean of its seed.
    share = own @ same_seed
    units = own - (share / np.maximum(count, 1))[:, seed]
    there = np.flatnonzero(np.bincount(unit, minlength=plan.distinct))
    degree = plan.clusters[there, : plan.genes].sum(axis=0).astype(np.float64)
    squares = float((degree**2).sum())
    return Maps(
        mean=mean,
        deleted=deleted,
        units=units,
        n=float(count.mean()) if seeds else 0.0,
        distinct=len(there),
        effective=float(degree.sum() ** 2 / squares) if squares else 0.0,
    )
