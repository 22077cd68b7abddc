"""Variance of means over units that are not independent: conditions that share a gene, units that share a context.

A mean ``theta`` over units is computed again without every unit that holds a gene, for each gene in turn (and without
each context, where there are several):

    V_C = max( sum_g (G - 1)/G (theta_(-g) - theta)^2 - sum_i (k_i - 1) psi_i^2,  sum_i psi_i^2 )

where ``psi_i = e_i / n`` is what unit ``i`` moves theta by and ``k_i`` how many genes and contexts it belongs to: a
unit in several is deleted several times, and the second sum takes that off. The maximum, since the first form need not
be above what independent units would give. Degrees of freedom: ``G_eff - 1`` with ``G_eff = (sum deg)^2 / sum deg^2``,
``deg`` = units that hold a gene; with several contexts at most contexts - 1.

A unit that is tested under several split seeds counts once, by its mean: everything is conditional on the split seeds.

Source: the delete-a-group jackknife (Shao and Tu 1995, chapter 2) for the dyadic dependence of Aronow, Samii and
Assenova 2015; effective clusters as in Carter, Schnepel and Steigerwald 2017.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.stats.design import Design, Ints, Mask, maps

#: With fewer effective genes there is no interval, and no claim.
MIN_EFFECTIVE = 8.0


@dataclass(frozen=True, eq=False)
class Estimate:
    """``C`` numbers that are means over units, or made of such means, and what they would be otherwise.

    Sums, differences and other functions of estimates are made to first order, field by field.

    Attributes:
        plan: The units.
        value: ``[C]``; NaN = undefined.
        deleted: Change when each gene, then each context, is left out ``[g, C]``.
        units: ``psi``: what each unit moves the value by ``[N, C]``.
        effective: Effective genes ``[C]``.
        training: Variance by training noise ``[C]``; 0 where none is known.
        training_df: Its degrees of freedom ``[C]``; 0 where none is known.
        draws: Change under bootstraps of the reference controls ``[B, C]``; without any ``[0, C]``.
    """

    plan: Design
    value: Floats
    deleted: Floats
    units: Floats
    effective: Floats
    training: Floats
    training_df: Floats
    draws: Floats

    def take(self, columns: NDArray[np.integer] | Sequence[int] | slice) -> Estimate:
        """Some of the numbers."""
        return Estimate(
            self.plan,
            self.value[columns],
            self.deleted[:, columns],
            self.units[:, columns],
            self.effective[columns],
            self.training[columns],
            self.training_df[columns],
            self.draws[:, columns],
        )

    def __sub__(self, other: Estimate) -> Estimate:
        """Paired differences: what both share cancels, but training noise adds up (degrees of freedom: see there)."""
        training = self.training + other.training
        with np.errstate(invalid="ignore", divide="ignore"):
            df = training**2 / (
                np.where(self.training > 0, self.training**2 / self.training_df, 0.0)
                + np.where(other.training > 0, other.training**2 / other.training_df, 0.0)
            )
        mine, theirs = same_draws(self.draws, other.draws)
        return Estimate(
            self.plan,
            self.value - other.value,
            self.deleted - other.deleted,
            self.units - other.units,
            np.minimum(self.effective, other.effective),
            training,
            np.where(training > 0, df, 0.0),
            mine - theirs,
        )

    @cached_property
    def by_conditions(self) -> Floats:
        """``V_C`` ``[C]``."""
        return condition_variance(self.plan, (self.deleted**2).T, (self.units**2).T)

    @cached_property
    def by_reference(self) -> Floats:
        """``V_R``: variance over bootstraps of the reference controls ``[C]``; 0 without draws."""
        return reference_variance(self.draws)

    @cached_property
    def variance(self) -> Floats:
        """``V_C + V_T + V_R`` ``[C]``."""
        return self.by_conditions + self.training + self.by_reference

    @cached_property
    def df(self) -> Floats:
        """Degrees of freedom by Satterthwaite's rule ``[C]``; NaN = too few genes for an interval."""
        return degrees(self.plan, self.effective, self.variance, self.by_conditions, (self.training, self.training_df))

    def half_width(self, level: float = 0.95) -> Floats:
        """Half the width of an interval ``[C]``; NaN = none."""
        return quantile(self.df, level) * np.sqrt(self.variance)


def same_draws(*blocks: Floats) -> list[Floats]:
    """Draws ``[B, C]`` of several estimates; those of one that has none do not move."""
    rows = max(len(block) for block in blocks)
    return [block if len(block) == rows else np.zeros((rows, block.shape[1])) for block in blocks]


def join(parts: Sequence[Estimate]) -> Estimate:
    """Put the numbers of several estimates of one plan side by side."""
    return Estimate(
        parts[0].plan,
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.deleted for part in parts], axis=1),
        np.concatenate([part.units for part in parts], axis=1),
        effective=np.concatenate([part.effective for part in parts]),
        training=np.concatenate([part.training for part in parts]),
        training_df=np.concatenate([part.training_df for part in parts]),
        draws=np.concatenate(same_draws(*(part.draws for part in parts)), axis=1),
    )


def condition_variance(plan: Design, deleted_squares: Floats, unit_squares: Floats) -> Floats:
    """``V_C`` from squared changes ``[..., g]`` and ``[..., N]``."""
    whole = unit_squares.sum(axis=-1)
    return np.asarray(np.maximum(deleted_squares @ plan.shrink - unit_squares @ plan.excess, whole))


def reference_variance(draws: Floats) -> Floats:
    """Variance over draws ``[B, ...]``; 0 without any."""
    if len(draws) < 2:
        return np.zeros(draws.shape[1:])
    return np.asarray(np.nan_to_num(draws).var(axis=0, ddof=1))


def degrees(
    plan: Design, effective: Floats, variance: Floats, conditions: Floats, training: tuple[Floats, Floats]
) -> Floats:
    """Degrees of freedom of ``V = V_C + V_T + V_R``, ``V_R`` taken as known; NaN with too few effective genes."""
    groups = np.minimum(effective, plan.contexts) if plan.contexts > 1 else effective
    noise, noise_df = training
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = conditions**2 / np.maximum(groups - 1, 1) + np.where(noise_df > 0, noise**2 / noise_df, 0.0)
        found = np.where(spread > 0, variance**2 / spread, np.maximum(groups - 1, 1))
    return np.where(effective >= MIN_EFFECTIVE - 1e-9, found, np.nan)


def quantile(df: Floats, level: float = 0.95) -> Floats:
    """Two-sided quantile of Student's t."""
    from scipy.special import stdtrit  # scipy.stats would take most of a second to import

    return np.asarray(stdtrit(df, 0.5 + level / 2))


def estimate(
    plan: Design, values: Floats, influence: Floats | None = None, of: Sequence[int] | Ints | None = None
) -> Estimate:
    """Average values over units and seeds: ``theta = mean over seeds of the mean over units``.

    Args:
        plan: The units.
        values: ``[K, C]``, seed after seed; NaN = undefined because of the truth.
        influence: What to add to a value for the unit's own weight in the mean ``[K, C]``, where other units' values
            depend on it too (a gallery); absent = nothing.
        of: Which columns of ``values`` those of ``influence`` belong to; absent = all of them, in order.
    """
    known = np.isfinite(values)
    columns, g = values.shape[1], plan.clusters.shape[1]
    out = Estimate(
        plan,
        np.full(columns, np.nan),
        np.zeros((g, columns)),
        np.zeros((plan.distinct, columns)),
        effective=np.zeros(columns),
        training=np.zeros(columns),
        training_df=np.zeros(columns),
        draws=np.zeros((0, columns)),
    )
    added = np.full(columns, -1)
    if influence is not None:
        added[slice(None) if of is None else of] = np.arange(influence.shape[1])
    for pattern, where in patterns(known):
        if not pattern.any():
            continue
        defined, of_influence = np.flatnonzero(pattern), added[where]
        linear, block = maps(plan, pattern), values[np.ix_(defined, where)]
        out.value[where] = linear.mean @ block
        if influence is not None and (some := of_influence >= 0).any():
            extra = influence[np.ix_(defined, of_influence[some])]
            block[:, some] += np.where(np.isfinite(extra), extra, 0.0)
        # The coefficients of a change sum to 0: without the mean no digits are lost where values hardly differ.
        block = block - block.mean(axis=0)
        out.deleted[:, where] = linear.deleted @ block
        out.units[:, where] = linear.units @ block
        out.effective[where] = linear.effective
    return out


def patterns(known: Mask) -> Iterator[tuple[Mask, Ints]]:
    """Group columns by the values that they define.

    Args:
        known: ``[K, C]``.

    Yields:
        A pattern ``[K]`` and the indices of its columns.
    """
    groups: dict[bytes, list[int]] = {}
    for i, packed in enumerate(np.ascontiguousarray(np.packbits(known, axis=0).T)):
        groups.setdefault(packed.tobytes(), []).append(i)
    for columns in groups.values():
        yield known[:, columns[0]], np.array(columns)


def training_noise(by_seed: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Variance of a mean over split seeds by what other training seeds would have given.

    ``sum_s sum_k (theta_sk - theta_s.)^2 / sum_s (K_s - 1)``, over what the seeds' means divide it by.

    Args:
        by_seed: Numbers of each training seed ``[K_s, C]``, by split seed; NaN = undefined.

    Returns:
        Variance and its degrees of freedom ``[C]``; both 0 where every split seed has one training seed.
    """
    df = sum(len(block) - 1 for block in by_seed)
    if not df:
        return np.zeros(by_seed[0].shape[1]), np.zeros(by_seed[0].shape[1])
    squares = sum(((block - block.mean(axis=0)) ** 2).sum(axis=0) for block in by_seed)
    share = sum(1.0 / len(block) for block in by_seed) / max(len(by_seed), 1) ** 2
    variance = np.nan_to_num(np.asarray(squares) / df * share)
    return variance, np.where(variance > 0, float(df), 0.0)
