"""The second implementation by hand, and a board of held-out contexts that it is asked about."""

from dataclasses import replace

import numpy as np
import pytest
from audit_boards import board_of, scored
from contexts import lines

from bench.audit.data_sets import DataSets
from bench.audit.second.elsewhere import from_elsewhere
from bench.audit.second.interaction import block, interactions
from bench.audit.verify import verify
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.results import everything, store
from bench.results.tables import ALL, BLIND
from bench.tracks import registry
from bench.tracks.response.track import TRACK


def units(*pairs):
    return np.array([p for p, _ in pairs], dtype=np.str_), np.array([c for _, c in pairs], dtype=np.int64)


def test_what_other_contexts_say_by_hand():
    train = units(("A", 1), ("A", 2), ("C", 1), ("C", 3))
    shifts = np.array([[1.0, 0.0], [3.0, 2.0], [2.0, 2.0], [7.0, 1.0]])
    found = from_elsewhere(shifts, train, units(("A", 4), ("C", 4)))
    assert list(found) == ["same_perturbation"]
    np.testing.assert_allclose(found["same_perturbation"], [[2.0, 1.0], [4.5, 1.5]])
    # In context 3, C does (7, 1) and elsewhere (2, 2): what it has beyond that is (5, -1).
    found = from_elsewhere(shifts, train, units(("A", 3)))
    np.testing.assert_allclose(found["two_way_sum_100"], [[7.0, 0.0]])
    np.testing.assert_allclose(found["two_way_sum_25"], [[3.25, 0.75]])
    found = from_elsewhere(shifts, train, units(("A", 4), ("D", 4)))
    np.testing.assert_allclose(found["same_perturbation"], [[2.0, 1.0], [3.25, 1.25]])
    assert from_elsewhere(shifts, train, units(("D", 4))) == {}


def test_interactions_are_what_a_two_way_model_leaves():
    rng = np.random.default_rng(0)
    context, name = np.repeat(np.arange(5), 6), np.tile([f"p{i}" for i in range(6)], 5)
    order = rng.permutation(30)[:-1]  # one unit is missing: five contexts share five perturbations
    context, name = context[order], name[order]
    rows = block(context, name)
    assert rows.shape == (5, 5)
    x = rng.normal(size=(29, 40))
    mine = rows.ravel()
    design = np.hstack([np.eye(5)[context[mine]], (name[mine, None] == np.unique(name[mine])).astype(float)])
    left = x[mine] - design @ np.linalg.lstsq(design, x[mine], rcond=None)[0]
    np.testing.assert_allclose(interactions(x, rows), left - left.mean(axis=1, keepdims=True), atol=1e-12)
    assert block(context[context < 3], name[context < 3]).size == 0


@pytest.fixture(scope="module")
def screen():
    return lines(20)[0]


@pytest.mark.slow
def test_a_board_of_held_out_contexts(screen, clean_tree, tmp_path):
    """All is recomputed, the floor from other contexts and `interaction_r` too; a floor that lacks it is found."""
    for kind in ("unseen_context", "few_shot_context:k=3"):
        folder = tmp_path / kind.partition(":")[0]
        task = Task(screen, draw(screen, kind, 1, 0))
        made = [
            scored(name, task, tmp_path / "runs") for name in ("train_mean", "fold_change", "same_perturbation_mean")
        ]
        store.add(folder, TRACK, [one[:2] for one in made], {record.run_id: kept for record, _, kept in made})
        everything.regenerate(registry.tracks(), folder)
        failed = [check for check in verify(folder, DataSets({"lines": screen})).checks if check.status == "failed"]
        # Of 60 genes, one rank is more than is tolerated of a correlation of ranks.
        assert all(check.name == "metrics recomputed" and "signed_rank_z" in check.detail for check in failed), failed
        board = board_of(folder)
        m = list(TRACK.metrics).index("interaction_r")
        assert any(np.isfinite(e.values.column(ALL, "value", m)).any() for e in board.entries())

        entries = board.entries()
        whole = entries[0].values.task
        numbers = {name: each for name, each in whole.numbers.items() if name != BLIND + "same_perturbation"}
        damaged = {**whole.numbers, BLIND + "same_perturbation": whole.numbers[BLIND + "same_perturbation"] - 1e-4}
        for facts, said in ((numbers, "is not among the floor's answers"), (damaged, "is off by 0.0001")):
            lacking = replace(whole, numbers=facts)
            board.write([(entry.record, replace(entry.values, task=lacking)) for entry in entries])
            everything.regenerate(registry.tracks(), folder)
            checks = verify(folder, DataSets({"lines": screen})).checks
            found = [c.detail for c in checks if c.status == "failed" and c.name == "floor and replicate recomputed"]
            assert len(found) == 1 and said in found[0] and "same_perturbation" in found[0]
