"""Curves of the val conditions while a response is trained: what they show, and that nothing depends on them."""

import numpy as np
import pytest
import torch
from harness import Diary, small
from scipy.stats import pearsonr
from sklearn.metrics import mean_squared_error

from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.runner import fit as run
from bench.training.curves import agreement
from bench.training.fit import FitContext


def test_agreement_against_scipy_and_sklearn():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(5, 40))
    predicted = true + rng.normal(size=(5, 40))
    got = agreement(torch.from_numpy(predicted), torch.from_numpy(true))
    each = [pearsonr(a, b).statistic for a, b in zip(predicted, true, strict=True)]
    assert got["pearson"] == pytest.approx(np.mean(each), abs=1e-9)
    assert got["mse"] == pytest.approx(mean_squared_error(true, predicted), abs=1e-12)
    one = agreement(torch.from_numpy(predicted[:1]), torch.from_numpy(true[:1]))
    assert one["pearson"] == pytest.approx(each[0], abs=1e-9)
    flat = torch.zeros(5, 40)
    assert agreement(flat, torch.from_numpy(true))["pearson"] == 0  # what does not vary correlates with nothing


TOKENS = {"encoder": "gene_transformer", "predictor": "fixed", "latent_target": "own", "residual": "none"}


@pytest.mark.parametrize(
    ("name", "enough", "arguments"),
    [
        pytest.param("constant_encoder", False, {}, marks=pytest.mark.ci),
        ("constant_encoder", True, {}),
        pytest.param("random_encoder", True, TOKENS, marks=pytest.mark.slow),
    ],
)
def test_val_curves_are_logged_and_move_no_number(name, enough, arguments, tiny, tiny_split):
    """With val conditions that choose the step, and with folds; with a logger and without: the same weights."""
    split = tiny_split
    if enough:
        split = tiny_split.model_copy(update={"val": tiny_split.val + tiny_split.test[:8], "test": tiny_split.test[8:]})

    def fitted(logger):
        model = registry.load(name)(**{**small(name), **arguments})
        run.fit(model, PerturbationDataModule(Task(tiny, split), seed=1), 1, FitContext(logger=logger))
        return model

    diary = Diary()
    logged, plain = fitted(diary), fitted(None)
    assert logged.fit_report == plain.fit_report
    for key, value in plain.state_dict().items():
        assert torch.equal(value, logged.state_dict()[key]), key
    for key in ("val/pearson", "val/mse"):
        curve = diary.curve(key)
        assert len(curve) >= 2 and all(np.isfinite(value) for _, value in curve)
    if not arguments:
        assert {step for step, _ in diary.curve("val/mse") if step is not None} <= set(range(21))
        assert diary.curve("val/base_mse")


@pytest.mark.ci
def test_pretraining_logs_how_well_val_shifts_are_decoded(module):
    diary = Diary()
    model = registry.load("mae")(**small("mae"))
    run.fit(model, module, 1, FitContext(logger=diary))
    for key in ("monitor/val_pearson", "monitor/val_mse"):
        assert len(diary.curve(key)) >= 2
    shares = [value for _, value in diary.curve("monitor/decodable_shifts")]
    errors = [value for _, value in diary.curve("monitor/val_mse")]
    # Both are of the same decoded shifts: 1 - share is the error over the shifts' mean square, which is one number.
    ratio = [error / (1 - share) for error, share in zip(errors, shares, strict=True)]
    assert ratio == pytest.approx([ratio[0]] * len(ratio), rel=1e-6)
