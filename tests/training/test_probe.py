"""The online probe against scikit-learn, and which cells it sees."""

import numpy as np
import pytest
import screens
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.training.probe import FIT_CELLS, TRIED_CELLS, Probe, balanced_accuracy


def clouds(n, seed, classes=3, apart=1.2):
    rng = np.random.default_rng(seed)
    label = rng.choice(classes, n, p=np.array([6, 2, 1])[:classes] / sum([6, 2, 1][:classes]))
    z = rng.normal(size=(n, 5)) * [1, 10, 0.1, 1, 1]
    z[:, 0] += apart * label
    return z.astype(np.float32), label.astype(np.int64)


@pytest.mark.parametrize("classes", [2, 3])
def test_balanced_accuracy_against_sklearn(classes):
    (fit, label), (tried, truth) = clouds(600, 0, classes), clouds(300, 1, classes)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced"))
    expected = balanced_accuracy_score(truth, model.fit(fit, label).predict(tried))
    got = balanced_accuracy(fit, label, tried, truth)
    assert got == pytest.approx(expected, abs=0.02)  # a cell or two at the border, in float32
    assert 1 / classes + 0.1 < got < 0.95


def test_chance_and_what_cannot_be_tried():
    (fit, label), (tried, truth) = clouds(600, 0, 2, apart=0), clouds(600, 1, 2, apart=0)
    assert balanced_accuracy(fit, label, tried, truth) == pytest.approx(0.5, abs=0.07)
    constant = np.ones_like(fit)
    assert balanced_accuracy(constant, label, constant, truth) == 0.5
    assert balanced_accuracy(fit, label, tried, np.ones_like(truth)) is None
    assert balanced_accuracy(fit, np.zeros_like(label), tried, truth) is None
    unknown = np.where(truth == 1, 1, 7)  # of what is tried, one class was never fitted
    assert balanced_accuracy(fit, label, tried, unknown) is None


@pytest.mark.parametrize("contexts", [1, 2])
def test_cells_and_labels(contexts):
    data = screens.tiny_screen(contexts=contexts)
    module = PerturbationDataModule(Task(data, screens.hand_split(data)), seed=1)
    fit, controls, held = module.representation_rows("train"), module.control_rows, module.representation_rows("val")
    probe = Probe(data, fit, controls, held, 1)
    assert not set(probe.fit) & set(probe.tried)
    assert set(probe.fit) <= set(fit) and set(probe.tried) <= set(held) | set(controls)
    assert len(probe.fit) <= FIT_CELLS and len(probe.tried) <= TRIED_CELLS
    assert 0 < np.isin(probe.tried, controls).sum() < len(controls)
    seen = np.concatenate([fit, controls, held])
    for part in ("fit", "tried"):
        np.testing.assert_array_equal(seen[probe.places[part]], getattr(probe, part))
    truth = np.isin(np.arange(data.x.shape[0]), data.rows(["ctrl"]))
    # Latents that are the label, and latents that are not.
    said = (1 - truth[seen]).astype(np.float32)[:, None]
    assert probe(said)["perturbed"] == 1
    assert set(probe(said)) == ({"perturbed"} if contexts == 1 else {"perturbed", "context"})
    if contexts == 2:
        where = data.context[seen].astype(np.float32)[:, None]
        assert probe(where)["context"] == 1
        assert probe(where)["perturbed"] == pytest.approx(0.5, abs=0.15)
