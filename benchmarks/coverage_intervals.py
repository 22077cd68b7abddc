"""Three intervals for levels, differences and skill, for many simulated repetitions at once.

Each is a function ``interval(values, design) -> (centre, half width, degrees of freedom)``, arrays ``[M]``; a half
width of NaN = no interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from bench.core.units import Unit
from bench.stats import jackknife
from bench.stats.design import design as design_of

Floats = NDArray[np.float64]
Triple = tuple[Floats, Floats, Floats]
#: Genes that must count, and contexts where these are the claim.
MIN_GENES, MIN_CONTEXTS = 8, 5


@dataclass(frozen=True, eq=False)
class Design:
    """Which units were tested under which split seed.

    Attributes:
        genes: Perturbed genes of each distinct unit ``[N]``.
        contexts: Context of each distinct unit ``[N]``.
        tested: Distinct units under each split seed.
        over_contexts: Whether what is claimed holds for contexts that were not measured.
    """

    genes: tuple[frozenset[str], ...]
    contexts: tuple[str, ...]
    tested: tuple[NDArray[np.int64], ...]
    over_contexts: bool = False

    @cached_property
    def names(self) -> list[str]:
        """All perturbed genes."""
        return sorted(set().union(*self.genes))

    @cached_property
    def holds(self) -> Floats:
        """Whether a unit holds a gene ``[N, genes]``."""
        return np.array([[float(name in of) for name in self.names] for of in self.genes])

    @cached_property
    def inside(self) -> Floats:
        """Whether a unit is of a context ``[N, contexts]``."""
        return np.array([[float(name == of) for name in sorted(set(self.contexts))] for of in self.contexts])

    @cached_property
    def flat(self) -> NDArray[np.int64]:
        """Distinct unit of every tested unit, one seed after the other ``[K]``."""
        return np.concatenate(self.tested)

    @cached_property
    def seed(self) -> NDArray[np.int64]:
        """Split seed of every tested unit ``[K]``."""
        return np.repeat(np.arange(len(self.tested)), [len(t) for t in self.tested])

    def weights(self, kept: NDArray[np.bool_]) -> Floats:
        """Weights of the mean over seeds of the mean over the units that are kept ``[K]``; NaN where none is."""
        here = kept[self.flat].astype(float)
        per_seed = np.bincount(self.seed, here, len(self.tested))
        some = per_seed > 0
        if not some.any():
            return np.full(len(here), np.nan)
        return here / np.maximum(per_seed, 1)[self.seed] / some.sum()

    @cached_property
    def whole(self) -> Floats:
        """Weights with every unit ``[K]``."""
        return self.weights(np.ones(len(self.genes), dtype=bool))

    def without(self, groups: Floats) -> Floats:
        """Weights without each group of units ``[groups, K]``; a group that is everything is left out."""
        rows = np.stack([self.weights(column == 0) for column in groups.T])
        return rows[np.isfinite(rows).all(axis=1)]

    @cached_property
    def without_gene(self) -> Floats:
        """Weights without each gene."""
        return self.without(self.holds)

    @cached_property
    def without_context(self) -> Floats:
        """Weights without each context."""
        return self.without(self.inside)

    @cached_property
    def effective(self) -> float:
        """Genes that count: (sum deg)^2 / sum deg^2."""
        degree = self.holds.sum(axis=0)
        return float(degree.sum() ** 2 / (degree**2).sum())


@dataclass(frozen=True, eq=False)
class Values:
    """M simulated repetitions of one quantity; ``K`` tested units, ``P`` pretraining seeds per split seed.

    Attributes:
        own: ``[K, M]``, mean over pretraining seeds; of a difference that of the paired differences.
        trained: Mean over a split seed's units by pretraining seed, one array ``[S, P, M]`` per row that was trained:
            none, one, or two of a difference.
        blind: Of each blind answer ``[A, K, M]``; None = not a skill.
        ceiling: ``[K, M]``.
        reference: Bootstraps of the reference controls: deviations of the statistic ``[50, M]``; None = none.
    """

    own: Floats
    trained: tuple[Floats, ...] = ()
    blind: Floats | None = None
    ceiling: Floats | None = None
    reference: Floats | None = field(default=None)

    def statistic(self, weights: Floats) -> Floats:
        """Level, difference or skill ``[..., M]`` under weights ``[..., K]``; its floor is chosen under them."""
        own = weights @ self.own
        if self.blind is None or self.ceiling is None:
            return np.asarray(own)
        floor = np.stack([weights @ answer for answer in self.blind]).max(axis=0)
        return np.asarray((own - floor) / (weights @ self.ceiling - floor))

    def linear(self, design: Design) -> Floats:
        """What each tested unit stands for, to first order ``[K, M]``: the value itself, or its part of a skill."""
        if self.blind is None or self.ceiling is None:
            return self.own
        means = np.stack([design.whole @ answer for answer in self.blind])
        best = np.take_along_axis(self.blind, means.argmax(axis=0)[None, None], axis=0)[0]
        room = design.whole @ self.ceiling - means.max(axis=0)
        return np.asarray(((self.own - best) - self.statistic(design.whole) * (self.ceiling - best)) / room)

    def room(self, design: Design) -> Floats:
        """What a difference of means is divided by ``[M]``."""
        if self.blind is None or self.ceiling is None:
            return np.ones(self.own.shape[1])
        floor = np.stack([design.whole @ answer for answer in self.blind]).max(axis=0)
        return np.asarray(design.whole @ self.ceiling - floor)


Interval = Callable[[Values, Design], Triple]


def deviations(values: Values, design: Design) -> Floats:
    """``e_i / n`` of each distinct unit ``[N, M]``."""
    linear = values.linear(design)
    out = np.zeros((len(design.genes), linear.shape[1]))
    for s, tested in enumerate(design.tested):
        block = linear[design.seed == s]
        out[tested] += (block - block.mean(axis=0)) / (len(block) * len(design.tested))
    return out


def training(values: Values, design: Design) -> tuple[Floats, float]:
    """``V_T`` and its degrees of freedom: the spread of pretraining seeds within split seeds."""
    total, degrees = np.zeros(values.own.shape[1]), np.inf
    for means in values.trained:
        seeds, repeats, _ = means.shape
        spread = ((means - means.mean(axis=1, keepdims=True)) ** 2).sum(axis=(0, 1)) / (seeds * (repeats - 1))
        total += spread / (seeds * repeats) / values.room(design) ** 2
        degrees = min(degrees, seeds * (repeats - 1))
    return total, degrees


def boards(values: Values, design: Design) -> Triple:
    """What boards print (:mod:`bench.stats.jackknife`); skill by its linear form, with training noise as here."""
    names = ["+".join(sorted(held)) for held in design.genes]
    plan = design_of([[Unit(names[i], design.contexts[i]) for i in tested] for tested in design.tested])
    found = jackknife.estimate(plan, values.linear(design))
    noise, noise_df = training(values, design)
    df = np.full(len(noise), noise_df if np.isfinite(noise_df) else 0.0)
    found = replace(found, training=noise, training_df=np.where(noise > 0, df, 0.0))
    if values.reference is not None:
        found = replace(found, draws=values.reference)
    return values.statistic(design.whole), found.half_width(), found.df


def dyadic(values: Values, design: Design) -> Triple:
    """The form of metrics.md: the larger of the independent and the dyadic sum, t at genes - 1, and training noise."""
    e = deviations(values, design)
    pairs = (design.holds @ design.holds.T > 0) | ((design.inside @ design.inside.T > 0) & (design.inside.shape[1] > 1))
    g = len(design.names)
    variance = np.maximum((e**2).sum(axis=0), np.einsum("im,im->m", e, pairs.astype(float) @ e)) * g / (g - 1)
    width = stdtrit(g - 1, 0.975) * np.sqrt(variance + training(values, design)[0])
    none = g < MIN_GENES
    return values.statistic(design.whole), np.full_like(width, np.nan) if none else width, np.full_like(width, g - 1.0)


def condition_variance(values: Values, design: Design) -> Floats:
    """``V_C`` of the review: delete one gene ``[M]``."""
    e, theta = deviations(values, design), values.statistic(design.whole)
    g = len(design.names)
    twice = ((design.holds.sum(axis=1) - 1)[:, None] * e**2).sum(axis=0)
    left = ((values.statistic(design.without_gene) - theta) ** 2).sum(axis=0)
    return np.maximum((g - 1) / g * (left - twice), (e**2).sum(axis=0))


def context_variance(values: Values, design: Design) -> Floats:
    """The same with one context left out at a time, less what every unit's own noise adds to both ``[M]``."""
    c = design.inside.shape[1]
    if c < 2:
        return np.zeros(values.own.shape[1])
    left = ((values.statistic(design.without_context) - values.statistic(design.whole)) ** 2).sum(axis=0)
    return np.maximum((c - 1) / c * left - (deviations(values, design) ** 2).sum(axis=0), 0.0)


def _total(values: Values, design: Design, v_c: Floats, nu_c: float) -> Triple:
    v_t, nu_t = training(values, design)
    v_r = np.zeros_like(v_c) if values.reference is None else values.reference.var(axis=0, ddof=1)
    total = v_c + v_t + v_r
    nu = total**2 / (v_c**2 / nu_c + (v_t**2 / nu_t if np.isfinite(nu_t) else 0.0))
    width = stdtrit(nu, 0.975) * np.sqrt(total)
    return values.statistic(design.whole), width, nu


def delete_one_gene(values: Values, design: Design, least: float = MIN_GENES) -> Triple:
    """The form of the review: genes left out one at a time, training noise and reference controls added."""
    nu_c, contexts = design.effective - 1, design.inside.shape[1]
    if contexts > 1:
        nu_c = min(design.effective, contexts) - 1
    theta, width, nu = _total(values, design, condition_variance(values, design), nu_c)
    few = design.effective < least or (design.over_contexts and contexts < MIN_CONTEXTS)
    return theta, np.full_like(width, np.nan) if few else width, nu


def delete_gene_or_context(values: Values, design: Design) -> Triple:
    """The same, with contexts left out one at a time too: for claims about contexts that were not measured."""
    v_c = condition_variance(values, design) + context_variance(values, design)
    nu_c = (
        min(design.effective, max(design.inside.shape[1], 2)) - 1
        if design.inside.shape[1] > 1
        else design.effective - 1
    )
    return _total(values, design, v_c, nu_c)


def delete_one_gene_anyway(values: Values, design: Design) -> Triple:
    """The form of the review without its refusals: what they are for."""
    theta, width, nu = delete_one_gene(values, Design(design.genes, design.contexts, design.tested), least=0.0)
    return theta, width, nu


INTERVALS: dict[str, Interval] = {
    "boards": boards,
    "max-dyadic": dyadic,
    "delete-one-gene": delete_one_gene,
    "... without refusals": delete_one_gene_anyway,
    "... and one context": delete_gene_or_context,
}
