"""The delete-one-gene variance in plain float64 loops: what faster code is compared with.

Two conditions that share a perturbed gene are dependent. The jackknife leaves out one gene at a time, with every
condition that holds it; a condition of k genes is left out k times, so that its own noise is counted k - 1 times too
often and is taken off again:

    V_C = max{ (g-1)/g [ sum_g (theta_(-g) - theta)^2 - sum_i (k_i - 1) e_i^2 / n^2 ], sum_i e_i^2 / n^2 }
    nu_C = G_eff - 1,  G_eff = (sum_g deg_g)^2 / sum_g deg_g^2,  deg_g = distinct conditions that hold gene g

theta is a mean over split seeds of the mean over conditions, or a skill made of such means, with the best of its blind
answers chosen again without the gene. Several split seeds: a condition's e_i / n is the sum over seeds of its deviation
from that seed's mean, over the seed's conditions and the seeds: a condition that is tested under several seeds is one
condition. Seeds are taken as given.

Source: the delete-one jackknife of dyadic data (Fafchamps and Gubert 2007; Aronow, Samii and Assenova 2015; Cameron and
Miller 2014), with the doubly counted diagonal removed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple


class Jackknife(NamedTuple):
    """What leaving out one gene at a time says of a statistic.

    Attributes:
        theta: The statistic.
        variance: ``V_C``.
        degrees: ``nu_C``.
        effective: ``G_eff``.
    """

    theta: float
    variance: float
    degrees: float
    effective: float


class Case(NamedTuple):
    """Values of ``n`` distinct conditions under several split seeds.

    Attributes:
        genes: Perturbed genes of each distinct condition.
        tested: Distinct conditions under each split seed, by position in ``genes``.
        own: Their values, in that order, by split seed.
        blind: Their values of each blind answer (a list of answers by condition), by split seed; ``None`` = a level.
        ceiling: Their values of the ceiling, by split seed; ``None`` = a level.
    """

    genes: Sequence[Collection[str]]
    tested: Sequence[Sequence[int]]
    own: Sequence[Sequence[float]]
    blind: Sequence[Sequence[Sequence[float]]] | None = None
    ceiling: Sequence[Sequence[float]] | None = None


def statistic(case: Case, without: str | None = None) -> float:
    """Level or skill over the conditions that do not hold a gene; NaN where none is left."""
    own = _mean(case, case.own, without)
    if case.blind is None or case.ceiling is None:
        return own
    floor = max(_floors(case, without))
    return (own - floor) / (_mean(case, case.ceiling, without) - floor)


def _mean(case: Case, values: Sequence[Sequence[float]], without: str | None) -> float:
    """Mean over the seeds that have some condition left of the mean over these conditions."""
    of_seeds = []
    for tested, block in zip(case.tested, values, strict=True):
        kept = [value for i, value in zip(tested, block, strict=True) if without not in case.genes[i]]
        if kept:
            of_seeds.append(math.fsum(kept) / len(kept))
    return math.fsum(of_seeds) / len(of_seeds) if of_seeds else math.nan


def _floors(case: Case, without: str | None) -> list[float]:
    """Mean of each blind answer."""
    assert case.blind is not None
    answers = len(case.blind[0][0])
    return [_mean(case, [[row[a] for row in block] for block in case.blind], without) for a in range(answers)]


def deviations(case: Case) -> list[float]:
    """``e_i / n``: what each distinct condition adds to the statistic, to first order."""
    values = case.own
    if case.blind is not None and case.ceiling is not None:
        theta, floors = statistic(case), _floors(case, None)
        best = floors.index(max(floors))
        room = _mean(case, case.ceiling, None) - floors[best]
        values = [
            [
                ((s - f[best]) - theta * (c - f[best])) / room
                for s, f, c in zip(case.own[seed], case.blind[seed], case.ceiling[seed], strict=True)
            ]
            for seed in range(len(case.own))
        ]
    out = [0.0] * len(case.genes)
    for tested, block in zip(case.tested, values, strict=True):
        mean = math.fsum(block) / len(block)
        for i, value in zip(tested, block, strict=True):
            out[i] += (value - mean) / (len(block) * len(case.tested))
    return out


def delete_one_gene(case: Case) -> Jackknife:
    """Variance of a level or a skill over conditions.

    A gene that all conditions hold cannot be left out: what is said then holds for that gene only.
    """
    theta, e = statistic(case), deviations(case)
    tested = {i for seed in case.tested for i in seed}
    names = sorted({gene for i in tested for gene in case.genes[i]})
    squares = []
    for gene in names:
        left = statistic(case, gene)
        if not math.isnan(left):
            squares.append((left - theta) ** 2)
    g = len(names)
    twice = math.fsum((len(set(case.genes[i])) - 1) * e[i] ** 2 for i in tested)
    alone = math.fsum(e[i] ** 2 for i in tested)
    degree = [sum(gene in case.genes[i] for i in tested) for gene in names]
    effective = sum(degree) ** 2 / sum(d * d for d in degree)
    return Jackknife(theta, max((g - 1) / g * (math.fsum(squares) - twice), alone), effective - 1, effective)
