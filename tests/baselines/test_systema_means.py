"""The two means of Systema against their definition, written out over cells."""

import numpy as np
import pytest
import screens
from harness import predict

from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task


def uneven(contexts):
    """The tiny screen, but some conditions have fewer cells, and few of these in the second context."""
    counts, obs = screens.tiny_counts(contexts=contexts)
    rng = np.random.default_rng(5)
    few = obs["condition"].isin(["G00+ctrl", "G03+ctrl", "G02+G01"]).to_numpy()
    keep = ~few | (rng.random(len(obs)) < np.where(obs["context"] == "line0", 0.6, 0.2))
    data = screens.screen(counts[np.flatnonzero(keep)], obs[keep])
    return data, screens.hand_split(data)


def cell_mean(data, split, names):
    """Mean over the cells of some conditions, each less the mean input cell of its own context."""
    x, barcodes = data.x.toarray().astype(np.float64), np.asarray(data.barcodes).tolist()
    inputs = [x[[barcodes.index(b) for b in split.input_cells[context]]].mean(axis=0) for context in data.contexts]
    labels = np.array(data.conditions)[data.condition]
    rows = np.flatnonzero(np.isin(labels, names))
    return np.mean([x[i] - inputs[data.context[i]] for i in rows], axis=0), inputs


@pytest.mark.parametrize("contexts", [1, 2])
def test_nonctl_mean_is_the_mean_of_the_perturbed_cells(contexts, tmp_path):
    data, split = uneven(contexts)
    model, module, got = predict("nonctl_mean", data, split, tmp_path)
    shift, inputs = cell_mean(data, split, split.train)
    for name in module.predicted_conditions:
        ours = model.shifts(data.conditions.index(name)).numpy()
        np.testing.assert_allclose(ours, shift, atol=1e-6)
        assert not np.allclose(ours, module.train_shift, atol=1e-4)  # cells are not conditions
    assert not got.fallbacks.any()
    if contexts == 1:
        absolute = data.x[data.rows(split.train)].toarray().mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(got.y_hat, np.tile(absolute, (len(got.y_hat), 1)), atol=1e-6)
        np.testing.assert_allclose(inputs[0] + shift, absolute, atol=1e-6)


@pytest.mark.parametrize("contexts", [1, 2])
def test_matching_mean_averages_the_singles_that_match(contexts, tmp_path):
    """Means of matching singles in train, the non-control mean for the others: each constituent counts once."""
    data, split = uneven(contexts)
    model, module, got = predict("matching_mean", data, split, tmp_path)
    seen = set()
    for name in module.predicted_conditions:
        genes = [gene for gene in name.split("+") if gene != "ctrl"]
        known = [f"{gene}+ctrl" in split.train for gene in genes]
        parts = [
            cell_mean(data, split, [f"{gene}+ctrl"] if match else split.train)[0]
            for gene, match in zip(genes, known, strict=True)
        ]
        ours = model.shifts(data.conditions.index(name)).numpy()
        np.testing.assert_allclose(ours, np.mean(parts, axis=0), atol=1e-6)
        mine = [u for u, unit in enumerate(module.task.units) if unit.perturbation == name]
        assert mine and set(got.fallbacks[mine].tolist()) == {len(genes) - sum(known)}
        seen.add((len(genes), sum(known)))
    assert seen == {(1, 0), (2, 0), (2, 1), (2, 2)}


def test_matching_mean_equals_nonctl_mean_on_unseen_singles(tiny, tiny_split, tmp_path):
    _, module, matching = predict("matching_mean", tiny, tiny_split, tmp_path)
    nonctl = predict("nonctl_mean", tiny, tiny_split, tmp_path)[2]
    single = np.array([name in tiny_split.subgroups["unseen_single"] for name in module.predicted_conditions])
    np.testing.assert_array_equal(matching.y_hat[single], nonctl.y_hat[single])
    assert (matching.fallbacks[single] == 1).all() and single.sum() >= 3
    assert not np.allclose(matching.y_hat[~single], nonctl.y_hat[~single], atol=1e-3)


def test_matching_mean_is_half_of_additive_where_both_singles_are_known(tiny, tiny_split, tmp_path):
    """In one context ``(m_a + m_b) / 2 - c`` is half of ``d_a + d_b``."""
    _, module, matching = predict("matching_mean", tiny, tiny_split, tmp_path)
    additive = predict("additive", tiny, tiny_split, tmp_path)[2]
    both = np.array([name in tiny_split.subgroups["combo_seen2"] for name in module.predicted_conditions])
    control = module.input_means[0]
    np.testing.assert_allclose(2 * (matching.y_hat - control)[both], (additive.y_hat - control)[both], atol=1e-9)


def test_without_train_conditions_nothing_is_divided_by_zero(tiny, tiny_split):
    from baselines.nonctl_mean import nonctl_shift
    from bench.training.selection import part_of

    empty = part_of(PerturbationDataModule(Task(tiny, tiny_split)).pseudobulk("train"), [])
    np.testing.assert_array_equal(nonctl_shift(empty), np.zeros(len(tiny.genes)))
