"""What is watched while PerturbedVAE is trained: collapse, leakage, and the val conditions."""

import numpy as np
import pytest
from perturbed_fits import fitted

from bench.models.perturbed_vae.watch import Watch, active_units, blocks, collapsed, leakage


@pytest.mark.slow
def test_a_collapsed_invariant_latent_is_told(task):
    assert any("invariant latent has collapsed" in word for word in fitted(task, alpha=1e6, epochs=30).warnings)
    open_ = fitted(task, alpha=0.0, epochs=60, hidden=64)
    assert not any("collapsed" in word for word in open_.warnings), open_.fit_report.selection
    assert not any("collapsed" in word for word in fitted(task, ablation="no_sep").warnings)


def test_numbers_of_blocks_by_hand():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4_000, 6))
    other = rng.normal(size=(4_000, 3))
    assert leakage(z, z @ rng.normal(size=(6, 2))) == pytest.approx(1, abs=0.01)
    assert abs(leakage(z, other)) < 0.01
    assert leakage(z, z[:, :1] + rng.normal(size=(4_000, 1))) == pytest.approx(0.5, abs=0.05)
    assert leakage(z, np.zeros((4_000, 2))) == 0
    assert active_units(z * [1, 1, 1, 0.05, 0.05, 0]) == 3
    numbers = blocks(z, other)
    assert numbers["effective_rank_i"] == pytest.approx(6, abs=0.05) and numbers["active_v"] == 3
    assert collapsed(numbers, 6) is None
    assert "1 of 6 latents" in collapsed(blocks(z * [1, 0, 0, 0, 0, 0], other), 6)
    assert "effective rank 1.0" in collapsed(blocks(z[:, :1] @ np.ones((1, 6)), other), 6)
    assert "effective_rank_i" not in blocks(None, other)


@pytest.mark.slow
def test_the_kept_step_is_the_best_on_val_where_there_are_enough(task, simulated):
    assert "default: only 2 val conditions" in fitted(task).fit_report.selection
    model = fitted(simulated, min_steps=40)
    assert "on 12 val conditions" in model.fit_report.selection
    watch = Watch(model.net, simulated, "val", "counterfactual", lambda numbers: None, 1)
    assert f"val pearson {watch.correlation():.3f}" in model.fit_report.selection
