"""Held-out contexts whose control cells lost counts: who loses them, how many, and what stays as it was."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import screens

from bench.core.errors import BenchError
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.results.tables import ALL
from bench.stats.counts import Counts, recover, thin
from bench.tracks.response.evaluate import over_units, replicates
from bench.tracks.response.truth import truth


@pytest.fixture(scope="module")
def screen():
    return screens.tiny_screen(contexts=4, cells=14, controls=40)


def test_only_the_input_controls_of_held_out_contexts_lose_counts(screen):
    split = draw(screen, "unseen_context:input_depth=0.25", 1)
    task = Task(screen, split)
    assert split.name == "unseen_context-input_depth0.25" and "share of 0.25" in " ".join(split.notes)
    (held,) = split.held_out_contexts
    mine = {screen.barcode_index[b] for b in split.input_controls[held]}
    changed = set(np.flatnonzero(np.asarray(abs(task.dataset.x - screen.x).sum(axis=1)).ravel() > 1e-6).tolist())
    assert changed and changed <= mine and len(changed) > 0.9 * len(mine)
    rows = sorted(mine)
    before, after = (recover(x[rows]).counts.sum() for x in (screen.x, task.dataset.x))
    assert after / before == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / before))
    assert task.dataset.hash == screen.hash and task.dataset != screen
    assert Task(task.dataset, split).dataset is task.dataset  # never twice
    with pytest.raises(BenchError, match="for another split"):
        Task(task.dataset, draw(screen, "unseen_context", 1))


def test_without_the_option_the_cells_are_the_same_object(screen):
    assert Task(screen, draw(screen, "unseen_context:input_depth=1", 1)).dataset is screen


@pytest.mark.parametrize("depth", ["0", "1.5", "x"])
def test_a_depth_is_a_share(screen, depth):
    with pytest.raises(BenchError, match="expected a number from 0.01 to 1"):
        draw(screen, f"unseen_context:input_depth={depth}", 1)


def test_it_needs_a_context_that_is_held_out_and_counts(screen):
    with pytest.raises(BenchError, match="input_depth needs contexts that are held out"):
        draw(screen, "simulation:input_depth=0.5", 1)
    x = screen.x.copy()
    x.data = np.random.default_rng(0).exponential(1.0, len(x.data)).astype(np.float32)
    other = replace(screen, x=x)
    with pytest.raises(BenchError, match="needs counts"):
        Task(other, draw(screen, "unseen_context:input_depth=0.5", 1))


def test_thinned_cells_are_those_of_a_shallower_sequencing():
    """Of Poisson counts, a share is Poisson at the share of the rate; the new total is that of all genes."""
    rng = np.random.default_rng(0)
    rates = np.array([20.0, 5.0, 1.0])
    counts, others = rng.poisson(rates, (4000, 3)), rng.poisson(974, 4000)  # of genes that are not measured
    known = Counts(sp.csr_matrix(counts), counts.sum(axis=1) + others.astype(float), np.ones(4000, dtype=bool))
    thinned = np.expm1(thin(known, 0.25, rng).toarray())
    np.testing.assert_allclose(thinned.mean(axis=0), 1e4 * rates / 1000, rtol=0.05)
    # Variance of c / n at n near 250: rate (1 - rate / 1000) / 4 counts, in units of 1e4 / 250.
    np.testing.assert_allclose(thinned.var(axis=0), rates / 4 * (1e4 / 250) ** 2, rtol=0.12)


@pytest.mark.thinned(1)
@pytest.mark.parametrize("option", ["input_cells=3", "input_depth=0.2"])
def test_a_replicate_is_what_the_cells_allow_however_few_models_see(screen, option):
    """Its shift is measured from all controls outside the reference, so that the ceiling stays where it was."""
    kinds = ("unseen_context", f"unseen_context:{option}")
    whole, few = (truth.compute(Task(screen, draw(screen, kind, 1))) for kind in kinds)
    assert np.abs(few.c_in - whole.c_in).max() > 0.05
    np.testing.assert_allclose(few.c_rep, whole.c_in, rtol=0, atol=1e-6)
    for metric in ("pearson_delta", "discrimination"):
        values = [over_units(each, replicates(each))[metric, ALL]["half_replicate"] for each in (whole, few)]
        assert np.isfinite(values[0]).any()
        np.testing.assert_allclose(values[1], values[0], rtol=0, atol=1e-4)
