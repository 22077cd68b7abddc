"""Evaluation 3, retrieval: is the measured state nearest to the prediction of the right perturbation?

Published: 100 conditions in the order of the loader, whatever number of cells they have, ranked among all items, those
included that target nothing, each predicted from one averaged control cell by the wrong projector. Corrected: task E1
of the planning track: every test perturbation among the test perturbations, by bags of 20 cells, predicted from control
cells as the model was trained, the perturbed genes themselves and what all perturbations have in common left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench.core.typing import Floats
from bench.core.units import Unit
from bench.evaluations.biojepac.inputs import Averaged, SuiteInputs
from bench.evaluations.biojepac.interval import over_units
from bench.evaluations.biojepac.row import Row, absent
from bench.tracks.planning import tasks
from bench.tracks.planning import truth as planning
from bench.tracks.planning.queries import USUAL
from bench.tracks.planning.ranking import chance, measure, places
from bench.tracks.planning.scoring import NOISE, Gallery, merged
from bench.tracks.planning.tasks import Predictor

NAME = "3 retrieval"
#: Conditions that the published evaluation asks. Source: BioJEPAC's evaluation 3.
FIRST = 100


def in_loader_order(names: Sequence[str], first: int = FIRST) -> tuple[str, ...]:
    """The first conditions in the order in which the cells of a loader name them: which they are, the file decides."""
    return tuple(dict.fromkeys(names))[:first]


def ranked(averaged: Averaged) -> Mapping[str, Floats]:
    """Where the right item stands among all items by Euclidean distance.

    Returns:
        ``mrr``, ``hit1``, ``hit10`` and ``rank`` (1 = first) of each query ``[Q]``; ties in expectation.
    """
    distances = np.stack([((averaged.predicted - query) ** 2).sum(axis=1) for query in averaged.queries])
    place = {name: i for i, name in enumerate(averaged.items)}
    own = np.array([place[name] for name in averaged.asked], dtype=np.int64)
    found, n = places(-distances).of(own), len(averaged.items)
    return {
        **{name: measure(name, found, n) for name in ("mrr", "hit1", "hit10")},
        "rank": 1 + measure("rank", found, n) * max(1, n - 1),
    }


def corrected(inputs: SuiteInputs, shifts: Mapping[Unit, Floats], known: Mapping[Unit, bool]) -> dict[str, Floats]:
    """Task E1 of the planning track for predicted shifts ``[G]`` by unit.

    Returns:
        ``mrr``, ``hit1`` and ``hit10`` of each test unit that is asked ``[T]``, in the order of :func:`asked_units`.
    """
    facts = planning.load(inputs.task)
    found: dict[str, list[Floats]] = {"mrr": [], "hit1": [], "hit10": []}
    for here in facts.contexts:
        names = here.candidates.units
        tested = here.candidates.tested
        whole, informed = np.zeros((len(names), len(here.c_in))), np.zeros(len(names), dtype=np.bool_)
        for i in tested.tolist():
            whole[i], informed[i] = shifts[names[i]], known[names[i]]
        first = merged(whole, NOISE * max(1.0, float(np.abs(whole + here.c_in).max(initial=0.0))))
        gallery = Gallery.of(facts.space(whole), first, informed)
        who = Predictor(lambda _, gallery=gallery: gallery, facts.space(facts.centre[None])[0])  # type: ignore[misc]
        values = tasks.recovery(here, who, (USUAL,))
        for name, parts in found.items():
            parts.append(values[f"e1_{name}_{USUAL}"])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def replicate(inputs: SuiteInputs) -> Floats:
    """``mrr`` of the other half of each unit's cells in task E1 ``[T]``."""
    facts = planning.load(inputs.task)
    found = []
    for here in facts.contexts:
        to_input = facts.space((here.c_ref - here.c_in)[None])[0]

        def other(d: int, here: planning.Context = here, add: Floats = to_input) -> Gallery:
            whole = np.zeros((len(here.candidates.conditions), len(add)))
            whole[here.candidates.tested] = here.halves[d ^ 1] + add
            return Gallery(whole, np.ones(len(whole), dtype=np.bool_))

        who = Predictor(other, facts.space(facts.centre[None])[0])
        found.append(tasks.recovery(here, who, (USUAL,))[f"e1_mrr_{USUAL}"])
    return np.concatenate(found)


def asked_units(inputs: SuiteInputs) -> tuple[Unit, ...]:
    """Test units that are asked, context after context."""
    return planning.load(inputs.task).units


def rows(inputs: SuiteInputs) -> Sequence[Row]:
    """All measures of the evaluation."""
    units = asked_units(inputs)
    if len(units) < 2:
        return [absent(NAME, "mean reciprocal rank", "fewer than two test perturbations to tell apart")]
    place = {unit: t for t, unit in enumerate(inputs.task.units)}
    shift = inputs.y_hat - inputs.truth.c_in
    values = corrected(
        inputs,
        {unit: shift[place[unit]] for unit in units},
        {unit: bool(inputs.known[place[unit]]) for unit in units},
    )
    facts = planning.load(inputs.task)
    sizes = np.concatenate([np.full(len(c.candidates.tested), len(c.candidates.tested)) for c in facts.contexts])
    before, luck, note = _published(inputs.averaged)
    measured = float(np.nanmean(replicate(inputs)))
    out = []
    for what, name in (("mean reciprocal rank", "mrr"), ("share first", "hit1"), ("share in the first 10", "hit10")):
        value = over_units(units, values[name]).within(0, 1)
        out.append(
            Row(
                NAME,
                what,
                before.get(name),
                luck.get(name),
                *value.numbers,
                float(np.mean([chance(name, int(n)) for n in sizes])),
                "chance",
                measured if name == "mrr" else None,
                value.n,
                note if name == "mrr" else "",
            )
        )
    return out


def _published(averaged: Averaged | None) -> tuple[Mapping[str, float], Mapping[str, float], str]:
    """Published values, those of a random order, and what was done."""
    if averaged is None or not averaged.asked:
        return {}, {}, ""
    found, n = ranked(averaged), len(averaged.items)
    ranks = found["rank"]
    values = {name: float(found[name].mean()) for name in ("mrr", "hit1", "hit10")}
    luck = {name: chance(name, n) for name in values}
    note = (
        f"published: {len(averaged.asked)} queries among {n} items, median rank {np.median(ranks):.0f} "
        f"(chance {(n + 1) / 2:.0f}); {averaged.note}"
    )
    return values, luck, note
