"""E1 and E2 in latents: the common space as latents gives what the common space gives; a constant latent is chance."""

import numpy as np
import pandas as pd
import pytest
import screens

from bench.core.conditions import constituents
from bench.data.task import Task
from bench.results.latents import OwnLatents
from bench.results.leaderboard import shown
from bench.results.tables import from_long
from bench.tracks.planning import own_space, truth
from bench.tracks.planning.evaluate import Predictions, evaluate
from bench.tracks.planning.metrics import METRICS
from bench.tracks.planning.track import TRACK

LATENT = ("e1_mrr_latent_20", "e2_mrr_latent_20")


@pytest.fixture(scope="module")
def facts():
    data = screens.tiny_screen(effect=2.0)
    return truth.load(Task(data, screens.hand_split(data)))


@pytest.fixture(scope="module")
def said(facts):
    """Predictions that are noise about the sum of one direction for each gene."""
    rng = np.random.default_rng(3)
    of = {gene: rng.normal(0, 0.2, 60) for gene in facts.task.dataset.genes.tolist()}
    (here,) = facts.contexts
    shifts = {unit: sum(of[gene] for gene in constituents(unit.perturbation)) for unit in here.candidates.units}
    return Predictions({unit: here.c_in + s for unit, s in shifts.items()}, dict.fromkeys(shifts, 0)), shifts


def values(facts, said, own=None):
    frame = evaluate(facts, said[0], own).frame
    return {name: part.set_index("condition")[["value", "floor"]] for name, part in frame.groupby("metric")}


def in_space(facts, shifts, latent):
    rows = own_space.cells_asked(facts)
    return OwnLatents(
        rows,
        latent(facts.space.cells(facts.task.dataset.x, rows)),
        {unit: latent(facts.space(shift[None]))[0] for unit, shift in shifts.items()},
        latent(facts.space(facts.centre[None]))[0],
    )


def test_the_common_space_as_latents_gives_the_same(facts, said):
    found = values(facts, said, in_space(facts, said[1], lambda z: z))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(len(facts.space.axes),) * 2))[0]
    turned = values(facts, said, in_space(facts, said[1], lambda z: 3 * z @ turn))
    for name in LATENT:
        wanted = found[name.replace("_latent", "")]["value"]
        np.testing.assert_allclose(found[name]["value"], wanted, atol=1e-12)
        np.testing.assert_allclose(turned[name]["value"], wanted, atol=1e-9)  # a rotation changes no cosine
        assert wanted.std() > 0.05


@pytest.mark.parametrize("size", [0.0, 2.0])
def test_a_constant_latent_is_exactly_chance(facts, said, size):
    jitter = np.random.default_rng(1)

    def constant(z):
        return size + 1e-7 * jitter.normal(size=(len(z), 5)).astype(np.float32)

    found = values(facts, said, in_space(facts, said[1], constant))
    for name in LATENT:
        np.testing.assert_allclose(found[name]["value"], found[name.replace("_latent", "")]["floor"], atol=1e-12)


def test_what_a_model_knows_nothing_of_is_last_here_too(facts, said):
    own, (here,) = in_space(facts, said[1], lambda z: z), facts.contexts
    lost = here.candidates.units[int(here.candidates.tested[0])]
    blind = Predictions(said[0].means, {unit: int(unit == lost) * 2 for unit in said[1]})
    found = evaluate(facts, blind, own).frame.set_index(["metric", "condition"])["value"]
    assert found["e1_mrr_latent_20", lost.perturbation] == pytest.approx(1 / len(here.candidates.tested))


def test_without_latents_it_is_undefined_and_changes_nothing(facts, said):
    without, with_ = (evaluate(facts, said[0], own).frame for own in (None, in_space(facts, said[1], lambda z: z)))
    assert without[without["metric"].isin(LATENT)]["value"].isna().all()
    bare, whole = from_long(TRACK, without), from_long(TRACK, with_)
    assert bare.task.hash == whole.task.hash and bare.hash != whole.hash  # no fact of a task: old records stay beside
    for name in METRICS:
        if name not in LATENT:
            pd.testing.assert_frame_equal(
                *(frame[frame["metric"] == name].reset_index(drop=True) for frame in (without, with_))
            )


def test_a_csv_has_the_columns_where_a_row_has_a_value():
    ends = ["", "_ci_low", "_ci_high"]
    table = pd.DataFrame([[0.1] * 9], columns=[f"{name}{end}" for name in ("e1_mrr_20", *LATENT) for end in ends])
    table[[f"{LATENT[1]}{end}" for end in ends]] = np.nan
    assert list(shown(TRACK, table)) == [f"{name}{end}" for name in ("e1_mrr_20", LATENT[0]) for end in ends]
    assert not METRICS[LATENT[0]].ranked and METRICS[LATENT[0]].family is None
