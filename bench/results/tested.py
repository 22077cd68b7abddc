"""One claim against its records: every difference, its p, and what the claim generalises over.

``better``: the hypothesis is that the difference is at most the margin. A claim over several rows needs all of them, so
its p is the largest. ``no better``: two one-sided tests that the difference lies within the margin (Schuirmann 1987),
at the 90% interval as is usual, so that half of their p stands beside the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.core.track import Track
from bench.results.claim import Claim
from bench.results.difference import FLOOR, SKILL, Comparison, Difference, no_claim
from bench.results.rows import Row
from bench.stats.jackknife import MIN_EFFECTIVE, Estimate

#: One-sided: a 95% interval has as much on each side.
ALPHA = 0.025
#: Margin of the mean skill.
SKILL_MARGIN = 0.03


@dataclass(frozen=True)
class Tested:
    """A claim and its p, before it is adjusted over all claims.

    Attributes:
        claim: What is claimed.
        seeds: Split seeds.
        margin: By how much the row must be better.
        sign: 1 where higher is better, -1 where lower is.
        reason: Why nothing can be said; empty where something can.
        p: Of the claim; NaN where nothing can be said.
        gaps: Differences to the rows that must be beaten.
        beside: Differences to rows that decide nothing.
        over: What it generalises over.
    """

    claim: Claim
    seeds: tuple[int, ...]
    margin: float
    sign: int
    reason: str = ""
    p: float = float("nan")
    gaps: dict[str, Difference] = field(default_factory=dict)
    beside: dict[str, Difference] = field(default_factory=dict)
    over: str = ""


def tested(track: Track, claim: Claim, seeds: Sequence[int], rows: Mapping[str, Row], compared: Comparison) -> Tested:
    """Test one claim.

    Args:
        track: The track that it is about.
        claim: The claim.
        seeds: Split seeds that every row must have.
        rows: Rows of the board by label.
        compared: The same, for differences.
    """
    info = track.metrics.get(claim.metric)
    margin = claim.margin
    if margin is None:
        margin = SKILL_MARGIN if info is None else info.margin
    sign = -1 if info is not None and info.better == "low" else 1
    names = [name for name in (claim.better, *claim.worse) if name != FLOOR]
    reason = _missing(claim, names, seeds, rows, compared)
    if reason:
        return Tested(claim, tuple(seeds), margin, sign, reason)

    def differences(others: Sequence[str]) -> dict[str, Difference]:
        ready = [name for name in others if name in compared.rows or name == FLOOR]
        return {n: compared.difference(claim.better, n, claim.subgroup, claim.metric, tested=False) for n in ready}

    gaps, beside = differences(claim.worse), differences(claim.beside)
    reason = no_claim([rows[name] for name in names]) or _too_little(claim, gaps)
    over = _over(claim, [rows[name] for name in names])
    if reason:
        return Tested(claim, tuple(seeds), margin, sign, reason, float("nan"), gaps, beside, over)
    p = max(p_of(claim, gap, margin, sign) for gap in gaps.values())
    if FLOOR in claim.worse:
        p = max(p, _knows(compared, claim))
    return Tested(claim, tuple(seeds), margin, sign, "", p, gaps, beside, over)


def _missing(
    claim: Claim, names: Sequence[str], seeds: Sequence[int], rows: Mapping[str, Row], compared: Comparison
) -> str:
    if missing := [name for name in names if name not in rows]:
        return f"no record of {', '.join(missing)}"
    for name in names:
        if lacking := sorted(set(seeds) - set(rows[name].by_seed)):
            return f"{name} lacks seed {', '.join(map(str, lacking))}"
    if without := [name for name in names if name not in compared.rows]:
        return f"{', '.join(without)} has no values by unit"
    tables = [entry.values for seed in seeds for entry in rows[claim.better].by_seed[seed]]
    if not any(table.conditions.get(claim.subgroup) for table in tables):
        return f"no condition in '{claim.subgroup}'"
    if FLOOR in claim.worse and claim.metric != SKILL:
        return f"'{FLOOR}' can be beaten in skill only"
    return ""


def _too_little(claim: Claim, gaps: Mapping[str, Difference]) -> str:
    for name, gap in gaps.items():
        if not np.isfinite(gap.mean):
            return f"the difference to {name} is undefined"
        if gap.n < claim.min_conditions:
            return f"{gap.n} distinct conditions, {claim.min_conditions} needed"
        if not np.isfinite(gap.low):
            return f"the difference to {name} has no interval: under {MIN_EFFECTIVE:.0f} effective genes"
    return ""


def p_of(claim: Claim, gap: Difference, margin: float, sign: int) -> float:
    """P of one difference, by what is claimed of it."""
    if claim.relation == "better":
        return gap.beyond(margin, sign)
    # Within the margin: not above it, and not below its negative.
    return max(gap.beyond(-margin, -sign), gap.beyond(-margin, sign)) / 2


def _knows(compared: Comparison, claim: Claim) -> float:
    """P that neither pattern nor identity is above the floor: the right size alone is no knowledge of a condition."""
    from scipy.special import stdtr

    families = compared.placed(claim.better, claim.subgroup).families
    found: list[Estimate] = [families[name] for name in ("pattern", "identity") if name in families]
    p = []
    for one in found:
        if np.isfinite(one.value[0]) and np.isfinite(one.df[0]):
            p.append(float(stdtr(one.df[0], -one.value[0] / max(float(np.sqrt(one.variance[0])), 1e-12))))
    return min(1.0, len(p) * min(p)) if p else 1.0


def _over(claim: Claim, rows: Sequence[Row]) -> str:
    """Say what a claim generalises over, and what it is about alone."""
    said = ["conditions and their genes"]
    contexts = {unit.context for entry in rows[0].entries for unit in entry.values.task.units.get(claim.subgroup, ())}
    if len(contexts) > 1:
        said.append(f"{len(contexts)} contexts")
    learned = [row for row in rows if row.learned]
    few = min((row.training_seeds for row in learned), default=0)
    if few > 1:
        said.append(f"{few} training seeds")
    alone = ["one data set", "these split seeds"] + (["one training seed"] if few == 1 else [])
    return f"over {', '.join(said)}; of {', '.join(alone)}"


def why_not(found: Tested) -> str:
    """Say in words why a claim that can be evaluated is not true."""
    claim, margin = found.claim, found.margin
    if claim.relation == "no better":
        return f"not shown to lie within {margin:g} of {', '.join(claim.worse)}"
    said, p = [], {name: gap.beyond(margin, found.sign) for name, gap in found.gaps.items()}
    for name, gap in found.gaps.items():
        if p[name] <= ALPHA and p[name] < max(p.values()):
            continue  # this one is beaten
        mean, width = found.sign * gap.mean, gap.width(0.90)
        if mean + width <= margin:
            said.append(f"no better than {name}: the 90% interval ends below {margin:g}")
        elif mean - gap.width() > 0:
            said.append(f"clear of 0, but not beyond {margin:g} of {name} with Holm over the suite")
        else:
            said.append(f"not told apart from {name}")
    return "; ".join(dict.fromkeys(said))
