"""What the truth keeps of single cells and doubles: against numpy and scikit-learn."""

import numpy as np
from screens import dense, rows_of

from bench.core.conditions import CONTROL
from bench.tracks.response.truth import truth
from bench.tracks.response.truth.cells import sample


def test_sampled_cells_are_those_of_their_condition_and_half(tiny, tiny_split, facts):
    drawn, _ = sample([tiny.cells_of[name] for name in facts.conditions], tiny_split.seed)
    for i, name in enumerate(facts.conditions):
        mine = slice(facts.cell_begin[i], facts.cell_begin[i + 1])
        block = dense(tiny, tiny.cells_of[name])
        # Under 128 cells: all of them, in another order.
        np.testing.assert_allclose(
            np.sort(facts.cell_markers[mine], axis=0), np.sort(block[:, facts.markers], axis=0), atol=1e-12
        )
        np.testing.assert_allclose(facts.variance[i], block.var(axis=0, ddof=1), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(facts.legacy_spread[0, i], block.var(axis=0).mean(), rtol=1e-9, atol=1e-12)
        for h in range(2 * truth.HALVINGS):
            side = facts.cell_side[h // 2, mine] == h % 2
            means = facts.cell_markers[mine][side].mean(axis=0)
            np.testing.assert_allclose(means, facts.half_y[h, i, facts.markers], rtol=1e-5, atol=1e-6)
            half = dense(tiny, drawn[mine][side])
            np.testing.assert_allclose(facts.half_y[h, i], half.mean(axis=0), rtol=1e-12, atol=1e-12)
            np.testing.assert_allclose(facts.legacy_spread[1 + h, i], half.var(axis=0).mean(), rtol=1e-9, atol=1e-12)
        top = facts.legacy_de[i, :20]
        np.testing.assert_array_equal(top, facts.gears_de[i])
        np.testing.assert_allclose(facts.legacy_cells[mine].mean(axis=0), facts.y[i, top], rtol=1e-5, atol=1e-6)
        controls = dense(tiny, tiny.cells_of[CONTROL])[:, top].astype(np.float32)
        for cell in facts.legacy_controls[mine]:
            assert (controls == cell).all(axis=1).any()


def test_cell_scores_are_sklearns_without_the_own_targets(tiny, tiny_split, facts):
    from sklearn.decomposition import PCA

    seen = rows_of(tiny, tiny_split.input_controls[tiny.contexts[0]])
    train = dense(tiny, np.concatenate([tiny.rows(tiny_split.train), seen]))
    theirs = PCA(50, svd_solver="full").fit(train)
    np.testing.assert_allclose(facts.pca_mean, theirs.mean_, rtol=1e-5, atol=1e-6)
    leading = facts.pca_axes[:10] @ theirs.components_[:10].T
    np.testing.assert_allclose(np.abs(np.diag(leading)), 1, atol=1e-3)
    i = next(i for i in range(len(facts.conditions)) if facts.targets[i].any())
    block = facts.pca_axes @ (facts.y[i] - facts.pca_mean) * 1.0
    held = facts.pca_axes @ np.where(facts.targets[i], 0.0, facts.y[i] - facts.pca_mean)
    mine = facts.cell_scores[facts.cell_begin[i] : facts.cell_begin[i + 1]].mean(axis=0)
    np.testing.assert_allclose(mine, held, atol=1e-4)
    assert not np.allclose(mine, block, atol=1e-3)


def test_panel_genes_are_chosen_by_train_conditions_and_nobodys_targets(tiny, tiny_split, facts):
    assert len(facts.markers) and not facts.targets[:, facts.markers].any() and facts.expressed[facts.markers].all()
    means = np.array([dense(tiny, tiny.cells_of[n]).mean(0) for n in tiny_split.train])
    np.testing.assert_allclose(facts.train_y, means.mean(0), atol=1e-12)
    allowed = np.flatnonzero(facts.expressed & ~facts.targets.any(axis=0))
    expected = allowed[np.argsort(-means[:, allowed].std(axis=0))][:50]
    assert set(facts.markers.tolist()) == set(expected.tolist())


def test_additive_shifts_are_those_of_the_train_singles(tiny, tiny_split, facts):
    context = tiny.contexts[0]
    c_in = dense(tiny, rows_of(tiny, tiny_split.input_cells[context])).mean(0)
    c_ref = dense(tiny, rows_of(tiny, tiny_split.reference_controls[context])).mean(0)
    seen = [n for n in facts.conditions if n in tiny_split.subgroups["combo_seen2"]]
    assert seen == [n for n, row in zip(facts.conditions, facts.double_row, strict=True) if row >= 0]
    for name in seen:
        whole, one, other, to_reference = facts.additive[:, facts.double_row[facts.conditions.index(name)]]
        singles = [dense(tiny, tiny.cells_of[f"{g}+ctrl"]).mean(0) - c_in for g in name.split("+")]
        np.testing.assert_allclose(whole, sum(singles), atol=1e-5)
        np.testing.assert_allclose((one + other) / 2, whole, atol=1e-5)  # 30 cells: halves of 15
        assert not np.allclose(one, other, atol=1e-3)
        np.testing.assert_allclose(to_reference, 2 * (c_in - c_ref), atol=1e-5)
    assert not facts.epistasis_resolved[facts.double_row < 0].any()
