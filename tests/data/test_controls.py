"""Which controls models see, and which ones truth is measured against."""

import numpy as np
import screens

from bench.core.conditions import CONTROL
from bench.data.splits.split import draw


def test_control_fold_swaps_the_pools(tiny):
    a, b = draw(tiny, "simulation", 1, 0), draw(tiny, "simulation", 1, 1)
    assert a.input_controls == b.reference_controls
    assert a.reference_controls == b.input_controls


def test_small_control_strata_are_pooled_and_halves_differ_by_one_at_most():
    counts, obs = screens.tiny_counts(controls=101)
    controls = np.flatnonzero(obs["condition"] == CONTROL)
    obs.loc[obs.index[controls[:5]], "batch"] = "rare"
    data = screens.screen(counts, obs)
    split = draw(data, "single", 3)
    sizes = [len(pool["line0"]) for pool in (split.input_controls, split.reference_controls)]
    assert sum(sizes) == 101
    assert abs(sizes[0] - sizes[1]) <= 1
    assert any("batches have under 20 controls" in note for note in split.notes)
    batch = np.array(data.batches)[data.batch]
    for name in ("b0", "b1"):
        halves = [
            sum(batch[data.barcode_index[b]] == name for b in pool["line0"])
            for pool in (split.input_controls, split.reference_controls)
        ]
        assert abs(halves[0] - halves[1]) <= 2  # stratified by batch


def test_a_context_without_enough_controls_borrows_those_of_all():
    counts, obs = screens.tiny_counts(contexts=2)
    drop = np.flatnonzero((obs["condition"] == CONTROL) & (obs["context"] == "line1"))[6:]
    keep = np.setdiff1d(np.arange(len(obs)), drop)
    data = screens.screen(counts[keep], obs.iloc[keep])
    split = draw(data, "single", 1)
    assert len(split.input_controls["line1"]) == len({*split.input_controls["line0"], *split.input_controls["line1"]})
    assert not set(split.input_controls["line1"]) & set(split.reference_controls["line1"])
    assert not set(split.input_controls["line1"]) & set(split.reference_controls["line0"])
