"""Rows of frozen encoders are computed a second time from cells alone; planted defects are found; tables by hand."""

from dataclasses import replace

import numpy as np
import pytest
import screens
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_samples

from bench.audit import encoders
from bench.audit.compare import ENCODERS, ENCODERS_RUN
from bench.audit.report import METRIC, OK
from bench.audit.second import apart, arranged, embedded, few_labelled, places, probed, recognised, representation
from bench.audit.second.asked_cells import some
from bench.core.conditions import CONTROL, single
from bench.data.datamodule import PerturbationDataModule
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.models import registry as models
from bench.results import everything, records, store
from bench.results.spec import RunSpec
from bench.runner.config import task_fields
from bench.runner.kept_predictions import follows
from bench.tracks import registry
from bench.tracks.representation import protocol, references, run
from bench.tracks.representation import record as frozen_record
from bench.tracks.representation.track import TRACK

NAMES = list(TRACK.metrics)
audited = pytest.mark.ci  # a board is published and audited whole


@pytest.fixture(scope="module")
def one():
    """A screen of one context, its units told apart now and then."""
    data = screens.tiny_screen(effect=1.5)
    return Task(data, draw(data, "doubles", 1, 0))


@pytest.fixture(scope="module")
def several():
    """Six contexts, of which one chooses penalties and one is held out."""
    counts, obs = screens.tiny_counts(contexts=6, cells=34, controls=60, effect=1.5)
    keep = obs["condition"].isin([*map(single, screens.SINGLES[:5]), CONTROL]).to_numpy()
    data = screens.screen(counts[np.flatnonzero(keep)], obs[keep])
    return Task(data, draw(data, "unseen_context", 1))


def compared(task, embed, shuffled=False):
    """Everything by both implementations is the same."""
    judge = encoders.Judge(task)
    mine = representation.found(judge.screen, judge.asked, lambda cells: embed(cells).astype(float), shuffled)
    first = protocol.evaluate(task, embed, task.split.seed, shuffle=shuffled)
    assert [tuple(unit) for unit in first.units] == judge.units
    several = 0
    for name, values in first.values.items():
        again = mine.values.get(name, np.full(len(values), np.nan))
        np.testing.assert_allclose(again, values, atol=1e-9, err_msg=name)
        several += int(np.isfinite(values).sum())
    for name, number in first.numbers.items():
        assert mine.numbers.get(name) == (None if number is None else pytest.approx(number, abs=1e-9)), name
    return first, several


@pytest.mark.parametrize("shuffled", [False, True])
def test_both_implementations_agree_within_a_context(shuffled, one):
    first, n = compared(one, references.random_projection(60, 3, 6), shuffled)
    assert n == len(first.units) * 20 and first.numbers["batch_probe_accuracy"] is not None


@pytest.mark.slow
@pytest.mark.parametrize("shuffled", [False, True])
def test_both_implementations_agree_across_contexts(shuffled, several):
    first, _ = compared(several, references.random_projection(60, 3, 6), shuffled)
    for name in ("across_perturbed_area", "across_which_2", "identify_mrr_20"):
        assert np.isfinite(first.values[name]).any(), name
    assert {"across_batch_all", "context_area", "identify_mrr_5_same"} <= first.numbers.keys()


def test_embeddings_are_those_of_the_models(one):
    x = one.dataset.x[::7].toarray().astype(np.float32)
    x[0, 0] = -0.0  # zero has two signs
    screen, data = encoders.screen_of(one), PerturbationDataModule(one, seed=5)
    for name, mine in (
        ("noise_encoder", embedded.noise(5, 16)),
        ("pca_encoder", embedded.encoder_axes(screen, 5, 7)),
        ("identity", embedded.expression()),
        ("constant_encoder", embedded.nothing()),
    ):
        sizes = {"noise_encoder": {"width": 16}, "pca_encoder": {"components": 7}}.get(name, {})
        model = models.load(name)(**sizes)
        model.freeze_encoder(data)
        import torch

        theirs = model.embed(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(np.abs(mine(x)), np.abs(theirs), atol=2e-5, err_msg=name)  # axes have two signs
    rows = np.sort(np.concatenate([group.rows for group in screen.train]))
    wanted = PCA(50, svd_solver="full").fit(one.dataset.x[rows].toarray().astype(float)).transform(x)
    np.testing.assert_allclose(np.abs(embedded.reference_axes(screen)(x)), np.abs(wanted), atol=2e-5)
    theirs = references.random_projection(60, 1)(x)
    np.testing.assert_allclose(embedded.random_axes(60, 1)(x), theirs, atol=2e-5)


@pytest.mark.slow
def test_the_width_that_validation_contexts_choose(several):
    from bench.data import heldout
    from bench.tracks.representation.pca_width import chosen_pca

    judge = encoders.Judge(several)
    whole = embedded.reference_axes(judge.screen)
    chosen = chosen_pca(several, heldout.draw(several, 1), 1)
    assert representation.chosen_width(judge.screen, judge.asked, whole) == len(chosen.axes)


def test_by_hand():
    """Four cells of two units, of which one cell lies with the other unit."""
    z = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [1.0, 0.0]])
    unit, batch = np.array([0, 0, 1, 1]), np.zeros(4, dtype=int)
    np.testing.assert_allclose(
        arranged.silhouettes(z, unit), silhouette_samples(z, unit, metric="cosine"), atol=1e-12
    )  # of cell 0: a = .2, b = .5
    assert arranged.silhouettes(z, unit)[0] == pytest.approx((0.5 - 0.2) / 0.5)
    np.testing.assert_allclose(arranged.silhouettes(np.zeros((4, 2)), unit), 0.0)  # all at distance 1
    near, chance = arranged.purity(z, unit, batch, 1)  # all three others are neighbours
    np.testing.assert_allclose(near, [1 / 3, 1 / 3])
    np.testing.assert_allclose(chance, [1 / 3, 1 / 3])
    near, chance = arranged.purity(z, unit, np.array([0, 1, 0, 1]), 1)  # those of the other batch
    np.testing.assert_allclose(near, [0.5, 0.5])
    assert arranged.effective_rank(np.eye(5)) == pytest.approx(5.0)
    assert arranged.effective_rank(np.outer(np.arange(1.0, 9.0), [1.0, 2.0])) == pytest.approx(1.0)
    assert arranged.effective_rank(np.zeros((4, 2))) is None
    assert recognised.chance(4) == pytest.approx({"top1": 0.25, "top5": 1.0, "mrr": 25 / 48, "rank": 0.5})
    found = recognised.measured(np.array([[0.9, 0.5, 0.5, 0.1]]), np.array([1]))  # second or third of four
    assert {name: float(each[0]) for name, each in found.items()} == pytest.approx(
        {"top1": 0.0, "top5": 1.0, "mrr": (1 / 2 + 1 / 3) / 2, "rank": 0.5}
    )
    assert places.within(2, np.array([1]), np.array([2])) == pytest.approx(0.5)
    scores = np.array([[2.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(probed.recalls(scores, np.array([0, 0, 2])), [0.75, np.nan, 1 / 3])
    assert float(few_labelled.area([2, 4, 16], [np.array(v) for v in (0.0, 1.0, 1.0)])) == pytest.approx(5 / 6)
    assert float(few_labelled.area([2, 2, 4], [np.array(v) for v in (0.0, 9.0, 1.0)])) == pytest.approx(0.5)
    np.testing.assert_allclose(
        embedded.standardised(np.array([[3.0, 7.0]]), np.array([[0.0, 5.0], [2.0, 5.0]])), [[2.0, 0.0]]
    )
    assert some(np.array([5, 7]), 2, np.random.default_rng(0)).tolist() == [5, 7]


def test_halves_bags_and_cuts_keep_what_they_promise():
    unit, batch = np.repeat(np.arange(5), 24), np.tile(np.arange(3), 40)
    asks = recognised.halved(unit, batch, np.random.default_rng(0))
    counts = np.array([[(asks & (unit == u) & (batch == b)).sum() for b in range(3)] for u in range(5)])
    assert (counts == 4).all()
    bags = recognised.bag(unit, asks, 7, np.random.default_rng(0))
    assert all(len(rows) == 7 and asks[rows].all() and (unit[rows] == u).all() for u, rows in enumerate(bags))
    part = probed.cut(unit, batch, 1)  # three batches: one each
    assert all(len(np.unique(part[(unit == u) & (batch == b)])) == 1 for u in range(5) for b in range(3))
    part = probed.cut(unit, batch % 2, 1)
    assert np.abs(np.bincount(part) - [72, 24, 24]).max() <= 5
    mixed = recognised.mixed(unit, batch, 1)
    assert (mixed != unit).any()
    for b in range(3):
        assert sorted(mixed[batch == b]) == sorted(unit[batch == b])


def test_what_is_planted_is_recognised():
    rng = np.random.default_rng(0)
    unit, batch = np.repeat(np.arange(4), 30), np.tile(np.arange(2), 60)
    z = embedded.unit_length(8.0 * np.eye(4)[unit] + rng.normal(size=(120, 4)))
    found = recognised.by_halves(z, unit, batch, 1)
    across, taking = recognised.across_batches(z, unit, batch, 1)
    assert taking == 4.0
    for each in (found, across):
        np.testing.assert_allclose(each["mrr_20"], 1.0)
        np.testing.assert_allclose(each["rank_1"], 0.0)
    np.testing.assert_allclose(probed.probe(z, unit, batch, 1)[0].accuracy, 1.0)
    accuracy, most, gain = probed.batch_probe(z, unit, 1)[0]  # as if units were batches
    assert (accuracy, most, gain) == pytest.approx((1.0, 0.25, 1.0))
    assert probed.batch_probe(z, np.zeros(120, dtype=int), 1) == []


def test_every_metric_of_the_track_has_a_tolerance():
    assert set(ENCODERS) == set(TRACK.metrics) and set(ENCODERS_RUN) <= set(TRACK.numbers)


def spec_of(task, model, **arguments):
    return RunSpec(
        **{**task_fields(task), "model": model, "model_version": 1, "arguments": arguments, "variant": {},
           "pretrain_seed": 1, "head_seed": 1}
    )  # fmt: skip


@pytest.fixture(scope="module")
def original(one, tmp_path_factory):
    """Five closed rows and a learned one."""
    folder = tmp_path_factory.mktemp("encoders")
    embedders = {
        "identity": lambda cells: cells,
        "constant_encoder": lambda cells: np.zeros((len(cells), 1), dtype=np.float32),
        "jepa": references.random_projection(60, 9, 8),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "git_state", lambda: ("0" * 40, False))
        for model, embed in embedders.items():
            run.run_encoder(one, embed, spec_of(one, model), folder / "runs", folder / "boards")
        everything.regenerate(registry.tracks(), folder / "boards")
    return folder / "boards"


@pytest.fixture(scope="module")
def tiny(one):
    """What `audit` has at hand."""
    return one.dataset


def failures(report):
    return [check for check in report.checks if check.status == "failed"]


def again(folder, model, change):
    """Change a record and its table as somebody would who knows how files are made: all hashes fit."""
    rows = {entry.record.spec.model: entry for entry in store.collect(TRACK, [folder])}
    record, table = change(rows[model].record, rows[model].table, rows)
    store.add(folder, TRACK, [records.with_values(record, table)])
    everything.regenerate(registry.tracks(), folder)


def moved(metric, by):
    """One unit has another value; the mean of the CSV follows."""

    def change(record, table, rows):
        values = table.numbers["value"].copy()
        values[2, NAMES.index(metric)] += by
        return record, replace(table, numbers={**table.numbers, "value": values})

    return change


def without(metric):
    """A number of the run is left out."""

    def change(record, table, rows):
        return record.model_copy(update={"numbers": {**record.numbers, metric: None}}), table

    return change


def numbered(metric, by):
    def change(record, table, rows):
        return record.model_copy(update={"numbers": {**record.numbers, metric: record.numbers[metric] + by}}), table

    return change


def of_another(record, table, rows):
    other = rows["pca"]
    return record.model_copy(update={"numbers": other.record.numbers}), other.table


def of_another_seed(task):
    def change(record, table, rows):
        scores = protocol.evaluate(task, references.random_projection(60, 1), 2)
        made, table = frozen_record.make(task.dataset, record.spec, "reference", scores, 1.0)
        return made, table

    return change


@audited
def test_what_follows_from_cells_is_recomputed_and_what_is_learned_is_said(boards, audit):
    report = audit(boards)
    done = {c.subject: c for c in report.checks if c.name == "metrics recomputed"}
    assert failures(report) == [] and report.exit_code == OK and len(done) == 6
    skips = [check for check in done.values() if check.status == "skipped"]
    assert len(skips) == 1 and "jepa" in skips[0].subject and "no latents of this run are kept" in skips[0].detail
    assert all("from cells alone" in check.detail for check in done.values() if check.status == "ok")


PLANTED = [
    ("identity", moved("retrieval_mrr_20", 0.1), "retrieval_mrr_20"),
    ("pca", moved("cross_batch_mrr_1", -0.05), "cross_batch_mrr_1"),
    ("random", moved("silhouette_condition", 0.02), "silhouette_condition"),
    ("identity", moved("probe_heldout_accuracy", 0.3), "probe_heldout_accuracy"),
    ("pca", numbered("probe_seen_accuracy", 0.1), "probe_seen_accuracy"),
    ("pca", numbered("batch_probe_accuracy", -0.15), "batch_probe_accuracy"),
    ("identity", numbered("effective_rank", 0.5), "effective_rank"),
    ("random", without("batch_probe_scaled"), "batch_probe_scaled has a value where none is"),
    ("constant_encoder", moved("retrieval_top1_1", 0.1), "retrieval_top1_1"),
    ("random", of_another, ""),
    ("shuffled", of_another, ""),
    ("random", of_another_seed, "retrieval"),
]


@pytest.fixture(scope="module")
def computed(one):
    """What is computed of a row, once: a record that was edited says the same of its embedding."""
    judge, found = encoders.Judge(one), {}

    def once(entry):
        model = entry.record.spec.model
        if model not in found:
            found[model] = encoders.Judge.found(judge, entry)
        return found[model]

    judge.found = once
    return judge


@audited
@pytest.mark.parametrize(("model", "change", "said"), PLANTED)
def test_an_edited_record_with_all_hashes_made_anew(model, change, said, boards, computed, one):
    again(boards, model, change(one) if change is of_another_seed else change)
    checks = {}
    for entry in store.collect(TRACK, [boards]):
        if follows(entry):
            checks[entry.record.spec.model] = computed.row(entry, "")
    assert [name for name, check in checks.items() if check.status == "failed"] == [model]
    assert checks[model].code == METRIC and said in checks[model].detail


@audited
def test_edited_records_in_a_whole_audit(boards, audit):
    again(boards, "identity", moved("retrieval_mrr_20", 0.1))
    again(boards, "random", of_another)
    report = audit(boards)
    found = [check for check in failures(report) if check.name == "metrics recomputed"]
    assert report.exit_code == METRIC
    assert sorted(check.subject.split()[2] for check in found) == ["identity", "random"]


def test_strengths_that_rounding_may_choose_are_all_looked_at():
    """Two classes far apart, which every strength names right; and where nobody chooses, one strength."""
    y, context = np.tile([0, 1], 30), np.zeros(60, dtype=int)
    rng = np.random.default_rng(0)
    cells = apart.Cells(8.0 * y[:, None] + rng.normal(size=(60, 3)), y, context, context)
    (point, *_) = few_labelled.curve(few_labelled.Question(cells, y, cells, y, 2), 1)
    assert point.merit == 1.0 and len(point.fits) > 1 and all(len(fits) == 5 for fits in point.fits)
    none = np.empty(0, dtype=int)
    (point, *_) = few_labelled.curve(few_labelled.Question(cells, y, cells.at(none), none, 2), 1)
    assert len(point.fits) == 1
