"""Tasks E1 to E7: measured truth and the predictions of one model for all candidates in one context -> values by unit.

Whatever predicts is asked through :class:`Predictor`; so are answers that know nothing, and what was measured itself.
All values are means over the bags of a unit. E7 is E1 where the context was held out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bench.core.conditions import constituents
from bench.core.typing import Floats
from bench.tracks.planning.asked import PARTS
from bench.tracks.planning.pairs import SHORTLISTS, overlaps, shortlisted
from bench.tracks.planning.queries import BAGS, USUAL
from bench.tracks.planning.ranking import MEASURES, Places, measure, places
from bench.tracks.planning.regret import excess, room, squared_distances
from bench.tracks.planning.scoring import Gallery
from bench.tracks.planning.truth import Context

Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]
#: Values by unit ``[T]``, by name of the metric.
Values = dict[str, Floats]


@dataclass(frozen=True)
class Predictor:
    """What ranks candidates in one context.

    Attributes:
        gallery: Predicted shifts of all candidates, by draw (the same for all, but of what was measured on halves).
        centre: What measured shifts have in common ``[K]``; None = the systematic shift is left in.
        order: A score of each candidate that looks at no query ``[C]``, instead of a gallery: a fixed order.
    """

    gallery: Callable[[int], Gallery] | None = None
    centre: Floats | None = None
    order: Floats | None = None

    def scores(self, draw: int, rows: Rows, queries: Floats) -> Floats:
        """Score candidates for queries ``[Q, C]``."""
        if self.gallery is None:
            return np.broadcast_to(self._order[rows], (len(queries), len(rows)))
        return self.gallery(draw).take(rows).scores(queries, self.centre)

    def nearness(self, draw: int, rows: Rows, goals: Floats) -> Floats:
        """Minus the squared distance of each candidate to goals ``[Q, C]``."""
        if self.gallery is None:
            return np.broadcast_to(self._order[rows], (len(goals), len(rows)))
        return -self.gallery(draw).take(rows).distances(goals, self.centre)

    @property
    def _order(self) -> Floats:
        assert self.order is not None
        return self.order


@dataclass
class _Mean:
    """Mean over draws of values by unit."""

    sums: Values = field(default_factory=dict)
    draws: int = 0

    def add(self, name: str, values: Floats) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + values

    def mean(self) -> Values:
        return {name: np.asarray(total / self.draws) for name, total in self.sums.items()}


def recovery(here: Context, who: Predictor, bags: tuple[int, ...] = BAGS) -> Values:
    """E1: which of the test perturbations made this state?

    Returns:
        ``e1_<measure>_<cells>`` by unit ``[T]``.
    """
    rows = here.candidates.tested
    return _found("e1", here, who, rows, np.arange(len(rows)), np.arange(len(rows)), bags)


def mixed(here: Context, who: Predictor, bags: tuple[int, ...] = BAGS) -> Values:
    """E2: the same among all that was done in this context, train perturbations too; how often one of them is first.

    Returns:
        ``e2_<measure>_<cells>`` by unit ``[T]``, and ``e2_seen_<cells>``; nothing where no train unit is here.
    """
    rows = np.arange(here.candidates.measured)
    if not is_asked(here, "e2"):
        return {}
    return _found("e2", here, who, rows, here.candidates.tested, np.arange(here.queries[USUAL].shape[1]), bags)


def pairs(here: Context, who: Predictor, bags: tuple[int, ...] = (USUAL,)) -> Values:
    """E3: which of all pairs of perturbed genes made this state? Asked of test units that are pairs.

    Returns:
        ``e3_<measure>_<cells>``, and ``e3_overlap1_20`` and ``e3_overlap10_20``: the share of the right genes in the
        first pair, and in the first ten on average; undefined for other units ``[T]``.
    """
    own, asked = _pairs_asked(here)
    if not len(asked):
        return {}
    values = _found("e3", here, who, here.candidates.pairs, own, asked, bags)
    mean = _Mean()
    share = overlaps(here.candidates.singles)
    for d in range(len(here.halves)):
        mean.draws += 1
        found = places(who.scores(d, here.candidates.pairs, here.queries[USUAL][d, asked]))
        for k in (1, 10):
            # An expected hit of each candidate, over k, is the chance that a random one of the top k is it.
            inside = measure(f"hit{k}", found, len(share)) / min(k, len(share))
            mean.add(f"e3_overlap{k}_{USUAL}", (inside * share[own]).sum(axis=1))
    return values | _spread(mean.mean(), asked, here)


def budget(here: Context, who: Predictor) -> Values:
    """E6: E3 where the predictor is called for every single, and then for the pairs that their sums put first.

    Returns:
        ``e6_mrr_<calls for pairs>`` by unit ``[T]``; nothing where E3 is not asked, or of a fixed order.
    """
    own, asked = _pairs_asked(here)
    if not len(asked) or who.gallery is None:
        return {}
    mean = _Mean()
    for d in range(len(here.halves)):
        mean.draws += 1
        whole, rows, queries = who.gallery(d), here.candidates.pairs, here.queries[USUAL][d, asked]
        full = whole.take(rows).scores(queries, who.centre)
        a, b = here.candidates.singles.T
        summed = Gallery(whole.shifts[a] + whole.shifts[b], whole.known[rows])
        cheap = summed.scores(queries, who.centre)
        for k in SHORTLISTS:
            found = places(shortlisted(cheap, full, k)).of(own)
            mean.add(f"e6_mrr_{k}", measure("mrr", found, len(rows)))
    return _spread(mean.mean(), asked, here)


def steering(here: Context, who: Predictor) -> tuple[Floats, Floats]:
    """E4: bring controls to the state of a test unit by *another* test perturbation.

    The candidates are test units, of which models know no cell: of a train perturbation, the prediction would share the
    noise of the cells by which it is judged.

    Returns:
        Excess distance ``[T]`` and room ``[T]``, see :mod:`bench.tracks.planning.regret`; NaN with fewer than 2 others.
    """
    rows, count = here.candidates.tested, len(here.candidates.tested)
    others = ~np.eye(count, dtype=np.bool_)
    if count < 3:
        return np.full(count, np.nan), np.full(count, np.nan)
    lost, gained = np.zeros(count), np.zeros(count)
    for d in range(len(here.halves)):
        mine, its = (
            squared_distances(here.halves[i], here.noise[i], here.halves[i], here.noise[i]) for i in (d, d ^ 1)
        )
        nothing = (here.halves[d ^ 1] ** 2).sum(axis=1) - here.noise[d ^ 1] - here.reference_noise
        lost += excess(who.nearness(d, rows, here.queries[USUAL][d]), mine, its, others)
        gained += room(nothing, mine, its, others)
    return lost / len(here.halves), gained / len(here.halves)


def reversal(here: Context, who: Predictor) -> tuple[Floats, Floats]:
    """E5: bring a perturbed state back to control by a second perturbation; what a pair did was measured.

    A test pair A+B is asked from A, among the test pairs that hold A, and from B. Where the systematic shift is
    removed, the outcome is the measured start, moved by the mean shift of a perturbation and by what the predictor says
    that this pair has beyond the others of the same start.

    Returns:
        Excess distance ``[T]`` and room ``[T]``, means over A and B; NaN where neither has two pairs.
    """
    count = len(here.candidates.tested)
    lost, gained = (np.full((count, 2), np.nan) for _ in range(2))
    for start, members in _starts(here):
        rows = here.candidates.tested[members]
        there = here.starts[start][None]
        nothing = np.array([(there**2).sum() - here.start_noise[start] - here.reference_noise])
        allowed = np.ones((1, len(members)), np.bool_)
        totals = np.zeros(2)
        for d in range(len(here.halves)):
            mine, its = (
                ((here.halves[i][members] ** 2).sum(axis=1) - here.noise[i][members] - here.reference_noise)[None]
                for i in (d, d ^ 1)
            )
            # With the systematic shift removed, the goal (no shift) is reached from the start: -start = centre + own.
            goal = np.zeros_like(there) if who.centre is None else -there
            near = who.nearness(d, rows, goal)
            totals += excess(near, mine, its, allowed)[0], room(nothing, mine, its, allowed)[0]
        for t in members.tolist():
            side = 0 if np.isnan(lost[t, 0]) else 1
            lost[t, side], gained[t, side] = totals / len(here.halves)
    return _known_mean(lost), _known_mean(gained)


def _starts(here: Context) -> list[tuple[int, Rows]]:
    """Measured singles, and the test pairs that hold each, where there are two."""
    tested = [here.candidates.conditions[i] for i in here.candidates.tested.tolist()]
    found = []
    for i in range(here.candidates.measured):
        genes = constituents(here.candidates.conditions[i])
        if len(genes) != 1 or not np.isfinite(here.start_noise[i]):
            continue
        held = [t for t, name in enumerate(tested) if len(constituents(name)) == 2 and genes[0] in constituents(name)]
        if len(held) > 1:
            found.append((i, np.array(held, dtype=np.int64)))
    return found


def _found(
    task: str, here: Context, who: Predictor, rows: Rows, own: Rows, asked: Rows, bags: tuple[int, ...]
) -> Values:
    """Measures of where the right candidate stands among ``rows``, of the units ``asked``, whose own is at ``own``."""
    mean = _Mean()
    seen = here.candidates.part[rows] == PARTS.index("train")
    for d in range(len(here.halves)):
        mean.draws += 1
        for n in bags:
            found = places(who.scores(d, rows, here.queries[n][d, asked]))
            for name in MEASURES:
                mean.add(f"{task}_{name}_{n}", measure(name, found.of(own), len(rows)))
            if task == "e2":
                first = measure("hit1", found, len(rows))
                mean.add(f"e2_seen_{n}", np.asarray(first[:, seen].sum(axis=1)))
    return _spread(mean.mean(), asked, here)


def _spread(values: Values, asked: Rows, here: Context) -> Values:
    """Values of the units that were asked, NaN of the others."""
    out = {}
    for name, found in values.items():
        out[name] = np.full(len(here.candidates.tested), np.nan)
        out[name][asked] = found
    return out


def _pairs_asked(here: Context) -> tuple[Rows, Rows]:
    """Place of the right pair among the pairs, and which units are asked."""
    place = {row: i for i, row in enumerate(here.candidates.pairs.tolist())}
    asked = [t for t, row in enumerate(here.candidates.tested.tolist()) if row in place]
    own = [place[int(here.candidates.tested[t])] for t in asked]
    return np.array(own, dtype=np.int64), np.array(asked, dtype=np.int64)


def _known_mean(block: Floats) -> Floats:
    known = np.isfinite(block)
    total = np.where(known, block, 0.0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def is_asked(here: Context, task: str) -> bool:
    """Whether a task is asked in a context: E2 where a train unit is there too, E3 where a test unit is a pair."""
    if task == "e2":
        return bool((here.candidates.part == PARTS.index("train")).any())
    return task != "e3" or len(here.candidates.pairs) > 0


def all_places(here: Context, who: Predictor, task: str) -> tuple[list[Places], Rows, Rows]:
    """Places of every candidate for the usual bags of a task, by draw; own places, and the candidates' rows."""
    if task == "e3":
        rows = here.candidates.pairs
        own, asked = _pairs_asked(here)
    else:
        asked = np.arange(len(here.candidates.tested))
        rows = here.candidates.tested if task == "e1" else np.arange(here.candidates.measured)
        own = asked if task == "e1" else here.candidates.tested
    draws = range(len(here.halves))
    return [places(who.scores(d, rows, here.queries[USUAL][d, asked])) for d in draws], own, rows


def without_shift(who: Predictor) -> Predictor:
    """The same with the systematic shift left in."""
    return replace(who, centre=None)
