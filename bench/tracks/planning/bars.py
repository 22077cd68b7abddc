"""What is had without knowing the query (floors), and what the cells allow (the ceiling): facts of a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.tracks.planning import tasks
from bench.tracks.planning.asked import PARTS
from bench.tracks.planning.queries import BAGS, USUAL
from bench.tracks.planning.ranking import MEASURES, chance
from bench.tracks.planning.regret import scale_of
from bench.tracks.planning.scoring import Gallery, merged
from bench.tracks.planning.tasks import Predictor, Values
from bench.tracks.planning.truth import Context, Facts, expected_sizes

Rows = NDArray[np.int64]
CHANCE = "chance"


@dataclass(frozen=True, eq=False)
class Bars:
    """What every model of a task is measured against.

    Attributes:
        chance: By metric, what a random order gives each unit ``[T]``.
        blind: By answer, then by metric of a family ``[T]``.
        replicate: By metric ``[T]``.
        rooms: What excesses of E4 and E5 are divided by: the mean room, or the mean excess of a random choice; NaN =
            there is none.
    """

    chance: Values
    blind: dict[str, Values]
    replicate: Values
    rooms: dict[str, float]


def load(facts: Facts) -> Bars:
    """The bars of a task, made where they are first asked for."""
    return facts.task.once("planning bars", lambda: make(facts))


def make(facts: Facts) -> Bars:
    """Make the bars of a task."""
    rooms = {}
    for name, task in REGRETS.items():
        lost, gained = zip(*(task(here, Predictor(order=_flat(here))) for here in facts.contexts), strict=True)
        rooms[name] = scale_of(np.concatenate(gained))
        rooms[name.replace("regret", "excess")] = scale_of(np.concatenate(lost))
    blind: dict[str, Values] = {}
    for name in (CHANCE, *ORDERS):
        found = [families(here, _ordered(facts, here, name), rooms) for here in facts.contexts]
        blind[name] = joined(facts, found)
    if len(facts.by_number) > 1:
        found = [families(here, by_number(facts, here), rooms) for here in facts.contexts]
        blind["number"] = joined(facts, found)
    replicate = [_replicate(facts, here, rooms) for here in facts.contexts]
    return Bars(
        joined(facts, [_chance(here, rooms) for here in facts.contexts]), blind, joined(facts, replicate), rooms
    )


REGRETS: dict[str, Callable[[Context, Predictor], tuple[Floats, Floats]]] = {
    "e4_regret": tasks.steering,
    "e5_regret": tasks.reversal,
}


def families(here: Context, who: Predictor, rooms: dict[str, float]) -> Values:
    """What a predictor scores in the metrics that stand for families, and others of the same bag ``[T]``."""
    values = tasks.recovery(here, who, (USUAL,)) | tasks.mixed(here, who, (USUAL,)) | tasks.pairs(here, who)
    return values | regrets(here, who, rooms)


def regrets(here: Context, who: Predictor, rooms: dict[str, float]) -> Values:
    """Regret in E4 and E5, and the same in units of a random choice's ``[T]``; NaN where there is no room."""
    out: Values = {}
    for name, task in REGRETS.items():
        lost = task(here, who)[0]
        out |= {each: lost / rooms[each] for each in (name, name.replace("regret", "excess"))}
    return out


def joined(facts: Facts, by_context: list[Values]) -> Values:
    """Values context after context ``[T]``; what a context lacks is NaN."""
    names = dict.fromkeys(name for values in by_context for name in values)
    counts = [len(here.candidates.tested) for here in facts.contexts]
    return {
        name: np.concatenate([v.get(name, np.full(n, np.nan)) for v, n in zip(by_context, counts, strict=True)])
        for name in names
    }


def _flat(here: Context) -> Floats:
    return np.zeros(len(here.candidates.conditions))


def _chance(here: Context, rooms: dict[str, float]) -> Values:
    """What a random order gives, in closed form; E2's share of seen and E3's overlap by the code that scores models."""
    who = Predictor(order=_flat(here))
    values = tasks.recovery(here, who, BAGS) | tasks.mixed(here, who, BAGS) | tasks.pairs(here, who)
    sizes = {"e1": len(here.candidates.tested), "e2": here.candidates.measured, "e3": len(here.candidates.pairs)}
    for task, count in sizes.items():
        for name in (name for name in values if name.startswith(f"{task}_")):
            kind = name.split("_")[1]
            if kind in MEASURES:
                values[name] = np.where(np.isnan(values[name]), np.nan, chance(kind, count))
    return values | regrets(here, who, rooms)


#: Fixed orders: by how far a candidate is known to go, and by what models have seen of it.
ORDERS = ("largest", "smallest", "seen", "unseen", "unseen_largest", "unseen_smallest")


def _ordered(facts: Facts, here: Context, name: str) -> Predictor:
    """A fixed order of the candidates: it looks at no query."""
    sizes = expected_sizes(facts, here.candidates.conditions)
    trained = here.candidates.part == PARTS.index("train")
    unseen = -_ranks(np.stack([trained, here.candidates.seen]))
    key = {
        CHANCE: [np.zeros(len(sizes))],
        "largest": [sizes],
        "smallest": [-sizes],
        "seen": [-unseen],
        "unseen": [unseen],
        "unseen_largest": [unseen, sizes],
        "unseen_smallest": [unseen, -sizes],
    }[name]
    return Predictor(order=_ranks(np.stack(key)))


def _ranks(keys: Floats) -> Floats:
    """Dense ranks of columns by several keys, the first the weightiest ``[k, C] -> [C]``; equal keys share one."""
    _, place = np.unique(np.round(keys, 9), axis=1, return_inverse=True)
    return np.asarray(place.reshape(-1), dtype=np.float64)


def by_number(facts: Facts, here: Context) -> Predictor:
    """The mean shift of train units with as many perturbed genes: blind but for the number."""
    shifts = np.stack([facts.by_number.get(int(n), facts.centre) for n in here.candidates.number])
    known = np.ones(len(shifts), np.bool_)
    gallery = Gallery.of(facts.space(shifts), merged(shifts, 1e-9), known)
    return Predictor(lambda _: gallery, facts.space(facts.centre[None])[0])


def _replicate(facts: Facts, here: Context, rooms: dict[str, float]) -> Values:
    """The other half of each unit's cells as its prediction; in E4 and E5 the half that does not judge.

    What was not done in the data, such as most pairs, is predicted by the sum of what was measured of its genes.
    """
    to_input = facts.space((here.c_ref - here.c_in)[None])[0]
    centre = facts.space(facts.centre[None])[0]
    base = np.tile(centre, (len(here.candidates.conditions), 1))
    base[: here.candidates.measured] = here.measured
    a, b = here.candidates.singles.T
    new = here.candidates.pairs >= here.candidates.measured
    base[here.candidates.pairs[new]] = base[a[new]] + base[b[new]]
    known = np.ones(len(base), np.bool_)

    def measured(half: int) -> Gallery:
        shifts = base.copy()
        shifts[here.candidates.tested] = here.halves[half] + to_input
        return Gallery(shifts, known)

    other = Predictor(lambda d: measured(d ^ 1), centre)
    raw = tasks.without_shift(other)
    values = tasks.recovery(here, other) | tasks.mixed(here, other) | tasks.pairs(here, other)
    values |= tasks.budget(here, other)
    for task in (tasks.recovery, tasks.mixed):
        values |= {_raw(name): v for name, v in task(here, raw, (USUAL,)).items() if name.endswith(f"_mrr_{USUAL}")}
    values |= {_raw(name): v for name, v in tasks.pairs(here, raw).items() if name.endswith(f"_mrr_{USUAL}")}
    # What was measured holds the systematic shift as it is: nothing is to be taken off where distances are asked.
    values |= regrets(here, Predictor(measured), rooms)
    return values


def _raw(name: str) -> str:
    """``e1_mrr_20`` -> ``e1_mrr_raw_20``."""
    head, _, cells = name.rpartition("_")
    return f"{head}_raw_{cells}"
