"""Metrics of a board of planning, a second time: candidates ranked by kept coordinates; `bench explain METRIC`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.audit.second import places
from bench.audit.second.questions import BAGS, DRAWS, USUAL, Questions

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]
Values = dict[str, Floats]

#: Pairs for which a predictor is called after sums of singles chose them.
SHORTLISTS = (10, 50, 200)
#: Room must be this many standard errors above 0 for a regret to be defined.
CLEAR = 2.0


@dataclass(frozen=True, eq=False)
class Answer:
    """What ranks candidates.

    Attributes:
        at: Predicted shifts of those with a row of their own, by draw ``[C, K]``; of pairs that were not done, any.
        pairs: Of the pairs, by draw ``[P, K]``.
        known: Whether anything is known of a candidate ``[C]``.
        known_pairs: Of a pair ``[P]``.
        centre: What measured shifts have in common ``[K]``; absent = it is left in.
        order: Scores of candidates that look at no query, whatever is predicted ``[C]``; absent = none.
    """

    at: Callable[[int], Floats]
    pairs: Callable[[int], Floats]
    known: Bools
    known_pairs: Bools
    centre: Floats | None = None
    order: Floats | None = None


def unfolded(rows: Floats, steps: Floats, one: Questions) -> Answer:
    """An answer from the rows that are kept of one context.

    Args:
        rows: ``[N, axes of the file]``: a mean, candidates of their own, a map, what it leaves of pairs.
        steps: Of each row, negative where nothing is known ``[N]``.
        one: The questions.

    Raises:
        ValueError: Another number of rows than the candidates need.
    """
    own, pairs, axes = one.asked.own, one.asked.pairs, len(one.centre)
    parts = [1, len(own), *([axes + 1, len(pairs)] if len(pairs) else [])]
    if len(rows) != sum(parts) or rows[:, axes:].any():
        raise ValueError(f"{len(rows)} rows are kept, and the candidates need {sum(parts)} of {axes} axes")
    mean, mine, *rest = np.split(rows[:, :axes], np.cumsum(parts)[:-1])
    at, known = np.zeros((len(one.asked.genes), axes)), np.ones(len(one.asked.genes), dtype=np.bool_)
    at[own], known[own] = mine, steps[1 : 1 + len(own)] > 0
    of_pairs, known_pairs = np.zeros((len(pairs), axes)), np.ones(len(pairs), dtype=np.bool_)
    if rest:
        a, b = one.asked.singles.T
        of_pairs = mean + (at[a] + at[b]) @ rest[0][:-1] + rest[0][-1] + rest[1]
        known_pairs = steps[-len(pairs) :] > 0
        known[pairs] = known_pairs
    return Answer(lambda d: at + mean, lambda d: of_pairs, known, known_pairs, one.centre)


def replicate(one: Questions, centre: bool) -> Answer:
    """The other half of each test unit as its prediction; of what was not done, the sum of what was measured."""
    asked = one.asked
    base = np.tile(one.centre, (len(asked.genes), 1))
    base[: len(asked.cells)] = one.measured
    a, b = asked.singles.T
    new = asked.pairs >= len(asked.cells)
    base[asked.pairs[new]] = base[a[new]] + base[b[new]]

    def at(draw: int) -> Floats:
        found = base.copy()
        found[asked.tested] = one.halves[draw].mean + one.to_input
        return found

    known = np.ones(len(base), dtype=np.bool_)
    other = at if not centre else lambda draw: at(draw ^ 1)
    return Answer(
        other, lambda draw: other(draw)[asked.pairs], known, known[asked.pairs], one.centre if centre else None
    )


def fixed(one: Questions, order: Floats) -> Answer:
    """An order that looks at no query, the first the highest ``[C]``."""
    nothing, known = np.zeros((len(order), len(one.centre))), np.ones(len(order), dtype=np.bool_)
    return Answer(lambda d: nothing, lambda d: nothing[one.asked.pairs], known, known[one.asked.pairs], order=order)


def flat(one: Questions) -> Answer:
    """An order that tells no candidate from another."""
    return fixed(one, np.zeros(len(one.asked.genes)))


def raw(who: Answer) -> Answer:
    """The same with what all have in common left in."""
    return replace(who, centre=None)


def _centred(shifts: Floats, known: Bools) -> Floats:
    if not known.any() or np.ptp(shifts[known], axis=0).max() <= 1e-13 * np.abs(shifts[known]).max():
        return np.zeros_like(shifts)
    return np.asarray(shifts - shifts[known].mean(axis=0))


def cosines(shifts: Floats, known: Bools, queries: Floats, centre: Floats | None) -> Floats:
    """``[Q, C]`` cosines; 0 with no shift, minus infinity of the unknown."""
    if centre is not None:
        shifts, queries = _centred(shifts, known), queries - centre
    size = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(shifts, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(size > 0, (queries @ shifts.T) / size, 0.0)
    return np.where(known, found, -np.inf)


def _nearness(shifts: Floats, known: Bools, goals: Floats, centre: Floats | None) -> Floats:
    """``[Q, C]`` minus squared distances; minus infinity of the unknown."""
    if centre is not None:
        shifts = _centred(shifts, known) + centre
    away = np.array([((goal - shifts) ** 2).sum(axis=1) for goal in goals])
    return np.where(known, -away, -np.inf)


def _near(who: Answer, draw: int, rows: Rows, goals: Floats) -> Floats:
    """``[Q, n]`` how near some candidates are to goals, or their places in a fixed order."""
    if who.order is not None:
        return np.tile(who.order[rows], (len(goals), 1))
    return _nearness(who.at(draw)[rows], who.known[rows], goals, who.centre)


def recovered(one: Questions, who: Answer, bags: tuple[int, ...] = BAGS) -> Values:
    """E1 and E2 by bags, E3 and E6 ``[T]``."""
    asked, sums, draws = one.asked, dict[str, Floats](), range(DRAWS if who.order is None else 1)
    everyone, own_pair, of_pairs = np.arange(len(asked.cells)), *_pairs(one)
    for d in draws:
        at = who.at(d)
        for n in bags:
            queries = one.queries[n][d]
            for task, rows in (("e1", asked.tested), ("e2", everyone)):
                if task == "e2" and not asked.train.any():
                    continue
                scores = _scores(who, at[rows], rows, who.known[rows], queries)
                where = places.counted_of(scores, np.searchsorted(rows, asked.tested))
                for name, value in places.measures(*where, len(rows)).items():
                    _add(sums, f"{task}_{name}_{n}", value)
                if task == "e2":
                    first = scores >= scores.max(axis=1, keepdims=True) - places.TIE
                    _add(sums, f"e2_seen_{n}", first[:, asked.train[rows]].sum(axis=1) / first.sum(axis=1))
        if len(of_pairs):
            _of_pairs(one, who, d, own_pair, of_pairs, sums)
    return {name: total / len(draws) for name, total in sums.items()}


def _of_pairs(one: Questions, who: Answer, d: int, own: Rows, asked: Rows, sums: Values) -> None:
    """E3 and E6 of one draw; units that are no pair have no value."""
    queries, count = one.queries[USUAL][d, asked], len(one.asked.pairs)
    full = _scores(who, who.pairs(d), one.asked.pairs, who.known_pairs, queries)
    above, tied = places.counted(full)
    q = np.arange(len(asked))
    values = {
        f"e3_{name}_{USUAL}": found for name, found in places.measures(above[q, own], tied[q, own], count).items()
    }
    a, b = one.asked.singles.T
    for k in (1, 10):
        inside = places.within(k, above, tied) / min(k, count)
        share = np.stack([_shared(one.asked.singles, one.asked.singles[i]) for i in own])
        values[f"e3_overlap{k}_{USUAL}"] = (inside * share).sum(axis=1)
    if who.order is None and who.centre is not None:
        at = who.at(d)
        cheap = _scores(who, at[a] + at[b], one.asked.pairs, who.known_pairs, queries)
        for k in SHORTLISTS:
            level = np.zeros(cheap.shape, dtype=np.int64)
            if k < count:
                level += cheap >= np.sort(cheap, axis=1)[:, [-k]] - places.TIE
            score = full if k >= count else np.where(level == 1, full, cheap)
            levels = np.where(who.known_pairs, level, -1)
            values[f"e6_mrr_{k}"] = places.reciprocal(*places.counted_of(score, own, levels))
    for name, found in values.items():
        spread = np.full(len(one.asked.tested), np.nan)
        spread[asked] = found
        _add(sums, name, spread)


def _scores(who: Answer, shifts: Floats, rows: Rows, known: Bools, queries: Floats) -> Floats:
    """``[Q, n]`` of some candidates: of their shifts, or by their places in a fixed order."""
    if who.order is not None:
        return np.tile(who.order[rows], (len(queries), 1))
    return cosines(shifts, known, queries, who.centre)


def _add(sums: Values, name: str, value: Floats) -> None:
    sums[name] = sums.get(name, 0.0) + value


def _pairs(one: Questions) -> tuple[Rows, Rows]:
    """Place among the pairs of each test unit that is one, and which these are."""
    place = {row: i for i, row in enumerate(one.asked.pairs.tolist())}
    asked = [t for t, row in enumerate(one.asked.tested.tolist()) if row in place]
    return np.array([place[int(one.asked.tested[t])] for t in asked], np.int64), np.array(asked, np.int64)


def _shared(members: Rows, pair: Rows) -> Floats:
    return np.asarray((members[:, :, None] == pair).any(axis=1).sum(axis=1) / 2)


def _chosen(near: Floats, measured: Floats, allowed: Bools) -> float:
    """Measured distance of the nearest of some; the mean of several that are as near."""
    mine = near[allowed]
    first = np.ones(len(mine), np.bool_) if np.isneginf(mine).all() else mine >= mine.max() - places.TIE
    return float(measured[allowed][first].mean())


def steered(one: Questions, who: Answer) -> tuple[Floats, Floats]:
    """E4: excess distance ``[T]`` and room ``[T]``."""
    rows = one.asked.tested
    count = len(rows)
    lost, room = np.full((DRAWS, count), np.nan), np.full((DRAWS, count), np.nan)
    for d in range(DRAWS if count > 2 else 0):
        near = _near(who, d, rows, one.queries[USUAL][d])
        mine, its = (_between(one.halves[half]) for half in (d, d ^ 1))
        judge = one.halves[d ^ 1]
        for t in range(count):
            others = np.arange(count) != t
            best = _chosen(-mine[t], its[t], others)
            lost[d, t] = _chosen(near[t], its[t], others) - best
            room[d, t] = (judge.mean[t] ** 2).sum() - judge.noise[t] - one.reference_noise - best
    return lost.mean(axis=0), room.mean(axis=0)


def _between(half: tuple[Floats, Floats]) -> Floats:
    mean, noise = half
    return np.array([((row - mean) ** 2).sum(axis=1) for row in mean]) - noise[:, None] - noise


def reversed_(one: Questions, who: Answer) -> tuple[Floats, Floats]:
    """E5: excess distance ``[T]`` and room ``[T]``: means over the two genes of a pair."""
    asked = one.asked
    found: list[list[tuple[float, float]]] = [[] for _ in asked.tested]
    held = [asked.genes[place] for place in asked.tested.tolist()]
    for start in range(len(asked.cells)):
        gene = asked.genes[start]
        if len(gene) != 1 or not np.isfinite(one.start.noise[start]):
            continue
        members = np.array([t for t, genes in enumerate(held) if len(genes) == 2 and gene < genes], dtype=np.int64)
        if len(members) < 2:
            continue
        there, everyone = one.start.mean[start], np.ones(len(members), dtype=np.bool_)
        nothing = (there**2).sum() - one.start.noise[start] - one.reference_noise
        lost = room = 0.0
        rows, goal = asked.tested[members], np.zeros_like(there) if who.centre is None else -there
        away = [(mean[members] ** 2).sum(axis=1) - noise[members] - one.reference_noise for mean, noise in one.halves]
        for d in range(DRAWS):
            mine, its = away[d], away[d ^ 1]
            near = _near(who, d, rows, goal[None])[0]
            best = _chosen(-mine, its, everyone)
            lost += (_chosen(near, its, everyone) - best) / DRAWS
            room += (nothing - best) / DRAWS
        for t in members.tolist():
            found[t].append((lost, room))
    pairs = np.array([np.mean(each, axis=0) if each else (np.nan, np.nan) for each in found])
    return pairs[:, 0], pairs[:, 1]


REGRETS = {"e4": steered, "e5": reversed_}


def scales(every: list[Questions]) -> dict[str, float]:
    """What regret and excess are divided by: mean room, and mean excess of a random choice, over all goals."""
    out = dict[str, float]()
    for task, found in REGRETS.items():
        lost, room = (np.concatenate(each) for each in zip(*(found(one, flat(one)) for one in every), strict=True))
        out |= {f"{task}_regret": _scale(room), f"{task}_excess": _scale(lost)}
    return out


def _scale(values: Floats) -> float:
    known = values[np.isfinite(values)]
    if len(known) < 2 or known.mean() <= max(0.0, CLEAR * known.std(ddof=1) / np.sqrt(len(known))):
        return float("nan")
    return float(known.mean())


def regrets(one: Questions, who: Answer, by: dict[str, float]) -> Values:
    """Regret and excess ``[T]``."""
    out: Values = {}
    for task, found in REGRETS.items():
        lost = found(one, who)[0]
        out |= {name: lost / by[name] for name in (f"{task}_regret", f"{task}_excess")}
    return out


def scored(one: Questions, who: Answer, by: dict[str, float]) -> Values:
    """All metrics in the common space ``[T]``."""
    values, left_in = recovered(one, who) | regrets(one, who, by), recovered(one, raw(who), (USUAL,))
    values |= {name.replace("mrr", "mrr_raw"): left_in[name] for name in _USUAL if name in left_in}
    with_shift = regrets(one, raw(who), by)
    return values | {f"{task}_regret_raw": with_shift[f"{task}_regret"] for task in REGRETS}


_USUAL = tuple(f"{task}_mrr_{USUAL}" for task in ("e1", "e2", "e3"))


def chance(one: Questions, by: dict[str, float]) -> Values:
    """What a random order gives ``[T]``."""
    return recovered(one, flat(one)) | regrets(one, flat(one), by)


def ceiling(one: Questions, by: dict[str, float]) -> Values:
    """What the other half of the cells gives ``[T]``."""
    who = replicate(one, centre=True)
    values, left_in = recovered(one, who), recovered(one, raw(who), (USUAL,))
    values |= {name.replace("mrr", "mrr_raw"): left_in[name] for name in _USUAL if name in left_in}
    return values | regrets(one, replicate(one, centre=False), by)


def nulls(one: Questions, who: Answer, seed: int) -> dict[str, tuple[float, float, int]]:
    """By task: the null within strata, its p, and how many queries there are."""
    asked, out = one.asked, dict[str, tuple[float, float, int]]()
    own_pair, of_pairs = _pairs(one)
    everyone = np.arange(len(asked.cells))
    for task, rows, own, which in (
        ("e1", asked.tested, np.arange(len(asked.tested)), np.arange(len(asked.tested))),
        ("e2", everyone, asked.tested, np.arange(len(asked.tested))),
        ("e3", asked.pairs, own_pair, of_pairs),
    ):
        if not len(which) or (task == "e2" and not asked.train.any()):
            continue
        total = np.zeros((len(which), len(rows)))
        for d in range(DRAWS):
            shifts, known = (who.pairs(d), who.known_pairs) if task == "e3" else (who.at(d)[rows], who.known[rows])
            scores = _scores(who, shifts, rows, known, one.queries[USUAL][d, which])
            total += places.reciprocal(*places.counted(scores))
        out[task] = (*places.null(total / DRAWS, own, asked.strata[rows], seed), len(which))
    return out
