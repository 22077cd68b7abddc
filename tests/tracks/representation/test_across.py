"""Questions across contexts: what is fitted on whom, planted and empty encoders, shuffled labels, tables by hand."""

from dataclasses import replace

import numpy as np
import pytest
import screens
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from bench.core.conditions import CONTROL, single
from bench.data import heldout
from bench.data.splits.split import draw as draw_split
from bench.data.task import Task
from bench.results import leaderboard
from bench.results.board import board
from bench.results.spec import RunSpec
from bench.stats.probes import STRENGTHS
from bench.tracks.representation import (
    across,
    few_labels,
    identify,
    label_curve,
    protocol,
    references,
    run,
    table,
)
from bench.tracks.representation.across import Across, Cells
from bench.tracks.representation.across_metrics import ACROSS, BAGS, NUMBERS, POINTS
from bench.tracks.representation.label_curve import Question
from bench.tracks.representation.metrics import CHANCE
from bench.tracks.representation.pca_width import chosen_pca
from bench.tracks.representation.track import TRACK


def several_contexts(conditions=screens.SINGLES[:6]):
    """Some perturbations of the tiny screen in six contexts, of which one is val and one is held out."""
    counts, obs = screens.tiny_counts(contexts=6, cells=30, controls=80, effect=1.5)
    keep = obs["condition"].isin([*map(single, conditions), CONTROL]).to_numpy()
    counts, obs = counts[np.flatnonzero(keep)], obs[keep]
    data = screens.screen(counts, obs)
    return Task(data, draw_split(data, "unseen_context", 1))


@pytest.fixture(scope="module")
def task():
    return several_contexts()


def by_cell(task, latents):
    """An encoder that looks latents ``[cells, D]`` up by a cell's expression."""
    found = {
        row.tobytes(): z for row, z in zip(task.dataset.x.toarray(), latents.astype(np.float32), strict=True)
    }  # fmt: skip
    return lambda cells: np.stack([found[row.tobytes()] for row in np.ascontiguousarray(cells)])


def arranged(task, embed):
    cells = heldout.draw(task, 1)
    return protocol.embed_split(cells, embed, 1).across


def test_roles_hold_the_cells_that_they_say(task):
    drawn = across.draw(task, heldout.draw(task, 1), 1)
    data, split = task.dataset, task.split
    contexts = {part: {unit.context for unit in split.units[part]} for part in ("train", "val", "test")}
    pools = {
        name: {b for part in pool.values() for b in part}
        for name, pool in (("_controls", split.input_controls), ("_reference", split.reference_controls))
    }
    for role, rows in drawn.items():
        part = {"source": "train", "val": "val", "target": "test"}[role.partition("_")[0]]
        assert len(rows) and {data.contexts[i] for i in data.context[rows]} == contexts[part], role
        names = {data.conditions[i] for i in data.condition[rows]}
        assert (names == {CONTROL}) == ("_" in role) and (CONTROL in names) == ("_" in role), role
        for end, pool in pools.items():
            if role.endswith(end):
                assert set(data.barcodes[rows].tolist()) <= pool, role


@pytest.mark.ci
def test_a_planted_encoder_scores_one(task):
    data = task.dataset
    found = protocol.evaluate(task, by_cell(task, np.eye(len(data.conditions))[data.condition]), 1).summary()
    for n in (*POINTS, *BAGS):
        name = f"across_which_{n}" if n in POINTS else f"identify_mrr_{n}"
        assert found[name] == pytest.approx(1), name
    assert found["across_perturbed_all"] == pytest.approx(1)
    assert found["identify_mrr_1_same"] == pytest.approx(1)
    assert found["across_batch_area"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.ci
def test_a_constant_encoder_is_exactly_at_chance_and_noise_about(task):
    constant = protocol.evaluate(task, lambda cells: np.full((len(cells), 3), 0.1, np.float32), 1).summary()
    latents = np.random.default_rng(0).normal(size=(len(task.dataset.barcodes), 16))
    noise = protocol.evaluate(task, by_cell(task, latents), 1)
    summary = noise.summary()
    n = len(task.dataset.conditions) - 1
    assert summary["identify_mrr_chance"] == pytest.approx((1 / np.arange(1, n + 1)).sum() / n)
    assert summary["across_which_chance"] == pytest.approx(1 / n)
    for name, chance in CHANCE.items():
        if (name in ACROSS or name in NUMBERS) and not name.endswith("_same"):
            assert constant[name] == pytest.approx(constant[chance], abs=1e-9), name
            error = noise.values[name].std() / len(noise.units) ** 0.5 if name in ACROSS else 0.02
            assert summary[name] == pytest.approx(summary[chance], abs=5 * error + 0.02), name


@pytest.mark.ci
def test_shuffled_labels_of_held_out_cells_are_at_chance(task):
    data = task.dataset
    planted = by_cell(task, np.eye(len(data.conditions))[data.condition])
    found = protocol.evaluate(task, planted, 1, shuffle=True).summary()
    # 180 cells and 40 controls: a standard deviation of .04 in balanced accuracy.
    for name, luck in (("across_perturbed_all", 0.13), ("across_which_all", 0.09), ("across_which_area", 0.09)):
        assert found[name] == pytest.approx(found[CHANCE[name]], abs=luck), name
    assert found["identify_mrr_1"] == pytest.approx(found["identify_mrr_chance"], abs=0.1)
    assert found["context_all"] == pytest.approx(found["context_chance"], abs=0.02)  # as the encoder does not say it


@pytest.mark.ci
def test_corrupted_test_cells_change_nothing_that_is_fitted(task):
    rows = across.draw(task, heldout.draw(task, 1), 1)
    held = np.concatenate([task.rows("test"), rows["target_reference"], rows["source_reference"]])
    x = task.dataset.x.tolil()
    x[held] = np.random.default_rng(0).random((len(held), x.shape[1])).astype(np.float32)
    other = Task(replace(task.dataset, x=x.tocsr()), task.split)
    probes, axes, targets = [], [], []
    for each in (task, other):
        axes.append(chosen_pca(each, heldout.draw(each, 1), 1).axes)
        found = arranged(each, references.pca(each, 1, 10))
        questions = [few_labels.perturbed(found), few_labels.which(found, 1)[0], few_labels.batch(found)[0]]
        probes.append([point.probes[0] for question in questions for point in label_curve.fit(question, 1)])
        targets.append(found["target"].z)
    np.testing.assert_array_equal(*axes)
    assert len(probes[0]) == 12 and not np.isclose(*targets).any(axis=1).all()
    for mine, theirs in zip(*probes, strict=True):
        np.testing.assert_array_equal(mine.weights, theirs.weights)


@pytest.mark.ci
def test_values_are_sklearns_balanced_accuracy():
    """One perturbation in each context: the value of its unit is the balanced accuracy of the context."""
    task = several_contexts(["G00"])
    found = arranged(task, references.pca(task, 1, 8))
    points = label_curve.fit(few_labels.perturbed(found), 1)
    values, numbers = few_labels.few_labels(found, 1)
    for i, (_, context) in enumerate(found.units.tolist()):
        cells = across.join([found["target"], found["target_reference"]])
        cells = cells.take(cells.context == context)
        truth = cells.condition != found.control
        for name, point in zip(POINTS[:-1], points, strict=True):
            said = [probe.scores(cells.z).argmax(axis=1) for probe in point.probes]
            expected = np.mean([balanced_accuracy_score(truth, one) for one in said])
            assert values[f"across_perturbed_{name}"][i] == pytest.approx(expected)
    assert not any("which" in name for name in (*values, *numbers))
    assert identify.identify(found, 1) == ({}, {})
    summary = protocol.evaluate(task, references.pca(task, 1, 8), 1).summary()
    assert summary["across_perturbed_all"] > 0.7 and summary["retrieval_mrr_20"] is None


def test_probes_are_sklearns_and_validation_chooses_their_strength():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(90, 5)), np.repeat([0, 1, 2], [20, 30, 40])
    x[:, 0] += y
    val, val_y = rng.normal(size=(60, 5)), np.tile([0, 1, 2], 20)
    val[:, 0] += val_y
    one = np.zeros(90, np.int64), np.repeat([0, 1], 30)
    question = Question(x, y, one[0], val, val_y, one[1], 3)
    point = label_curve.fit(question, 1)[-1]
    assert point.labels == pytest.approx(30)

    def merit(strength):
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000).fit(x, y)
        said = model.predict(val)
        return np.mean([balanced_accuracy_score(val_y[one[1] == c], said[one[1] == c]) for c in (0, 1)]), model

    found = {strength: merit(strength) for strength in STRENGTHS}
    best = max(score for score, _ in found.values())
    assert point.strength == next(strength for strength in STRENGTHS if found[strength][0] == pytest.approx(best))
    assert point.merit == pytest.approx(best)
    model = found[point.strength][1]
    np.testing.assert_allclose(point.probes[0].weights, model.coef_, atol=5e-3)
    untuned = label_curve.fit(Question(x, y, one[0], val[:0], val_y[:0], one[1][:0], 3), 1)
    assert {point.strength for point in untuned} == {STRENGTHS[label_curve.UNTUNED]}
    few = label_curve._labelled(question, 5, [1])
    assert np.bincount(y[few]).tolist() == [5, 5, 5]


def test_area_by_hand():
    # Over log2: 0 to 1 within one doubling (mean .5), then 1 over two doublings.
    assert label_curve.area([2, 4, 16], np.array([0.0, 1.0, 1.0])) == pytest.approx(2.5 / 3)
    assert label_curve.area([2, 4, 4], np.array([0.0, 1.0, 0.3])) == pytest.approx(0.5)
    assert label_curve.area([3, 3, 3], np.array([0.7, 0.7, 0.7])) == pytest.approx(0.7)


def hand_made(target):
    """Two source contexts whose controls lie apart, and a target context; three perturbations, in the plane."""

    def cells(*groups):
        rows = [(z, p, c) for z, p, c, n in groups for _ in range(n)]
        codes = (np.array(column) for column in list(zip(*rows))[1:])
        return Cells(np.array([z for z, _, _ in rows], dtype=float), *codes, np.zeros(len(rows), np.int64))

    known = [((1, 0), 1), ((0, 1), 2), ((-1, 0), 3)]
    source = [((x + start, y), p, c, 4) for c, start in ((0, 10), (1, 20)) for (x, y), p in known]
    parts = {
        "source": cells(*source),
        "source_controls": cells(((10, 0), 0, 0, 5), ((20, 0), 0, 1, 5)),
        "target": cells(*((z, p, 2, 4) for z, p in target)),
        "target_controls": cells(((5, 5), 0, 2, 5)),
    }
    return Across(parts, np.array([(p, 2) for _, p in target]), 0)


def test_identification_by_hand():
    # Perturbation 1 moves right as elsewhere: first. Perturbation 2 moves right, a little up: second after 1 (1/2).
    # Perturbation 3 does not move: tied with all, (1 + 1/2 + 1/3) / 3.
    values, numbers = identify.identify(hand_made([((6, 5), 1), ((7, 6), 2), ((5, 5), 3)]), 1)
    for n in BAGS:
        np.testing.assert_allclose(values[f"identify_mrr_{n}"], [1, 1 / 2, 11 / 18])
        np.testing.assert_allclose(values[f"identify_top1_{n}"], [1, 0, 1 / 3])
        np.testing.assert_allclose(values[f"identify_rank_{n}"], [0, 1 / 2, 1 / 2])
        # At home 1 and 2 find themselves; 3 is tied with all.
        assert numbers[f"identify_mrr_{n}_same"] == pytest.approx((1 + 1 + 11 / 18) / 3)
    assert numbers["identify_mrr_chance"] == pytest.approx(11 / 18)


@pytest.mark.ci
def test_only_held_out_contexts_are_asked():
    counts, obs = screens.tiny_counts(cells=40, contexts=2)
    data = screens.screen(counts, obs)
    for split in (screens.hand_split(data), draw_split(data, "simulation", 1)):
        both = Task(data, split)
        found = protocol.evaluate(both, references.random_projection(60, 1, 8), 1)
        assert all(np.isnan(found.values[name]).all() for name in ACROSS)
        assert all(found.numbers[name] is None for name in NUMBERS)


@pytest.mark.slow
def test_a_board_of_one_perturbation(tmp_path, capsys):
    """There is nothing within a context to be confused with: the part across contexts is the whole board."""
    task = several_contexts(["G00"])
    spec = RunSpec(
        dataset="tiny", data_hash=task.dataset.hash, split=task.split.kind, split_seed=1, control_fold=0,
        split_id=task.split.split_id, model="mine", model_version=1, arguments={}, variant={}, pretrain_seed=1,
        head_seed=1,
    )  # fmt: skip
    assert run.finished(spec, tmp_path / "runs", tmp_path / "boards", {}) is None
    path = run.run_encoder(task, references.pca(task, 1, 8), spec, tmp_path / "runs", tmp_path / "boards")
    assert run.finished(spec, tmp_path / "runs", tmp_path / "boards", {}) == path
    ((_, items),) = leaderboard.group(leaderboard.collect(TRACK, [tmp_path / "boards"])).items()
    pca = next(item.record for item in items if item.record.spec.model == "pca")
    assert pca.spec.arguments == {"width": 0} and pca.numbers["width"] in references.WIDTHS
    table.show(board(items).assign(split="unseen_context"), "tiny", [1])
    shown = capsys.readouterr().out
    assert "asked in 1 held out" in shown and "which?" not in shown and "MRR" not in shown
    assert [line.split()[0] for line in shown.splitlines()[2:]] == ["mine", "pca", "random", "shuffled", "chance"]
