"""Frozen encoders: the two tracks in which the encoder matters, and the scale of its latents."""

import re

import numpy as np
import pytest
import torch
from harness import small
from responses import fitted_to_the_end, shift_of
from scipy.stats import pearsonr
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from bench.core.errors import BenchError
from bench.models import registry
from bench.models.controls.pca_encoder import WIDTHS
from bench.models.encoder_model import FROM_ENCODER
from bench.models.response.actions import ActionTable
from bench.runner import fit as run
from bench.training.looked import looked_at


@pytest.mark.ci
def test_features_from_an_encoder_are_its_decoder_weights(module):
    """Against sklearn: ridge regression of each gene on the standardised components."""
    model = registry.load("pca_encoder")(**small("pca_encoder"), features=FROM_ENCODER, components=8)
    run.fit(model, module, 1)
    cells = module.dataset.x[module.representation_rows("train")].toarray().astype(np.float64)
    z = PCA(8, svd_solver="full").fit_transform(cells)
    z /= z.std(axis=0)
    expected = Ridge(alpha=0.01 * len(z)).fit(z, cells).coef_  # [G, 8], up to the components' signs
    train = sorted({g for name in module.split.train for g in name.split("+")} - {"ctrl"})
    rows = [module.genes.index(g) for g in train]
    chosen = expected[rows]
    scale = np.maximum(chosen.std(axis=0), 0.1 * expected.std(axis=0))
    wanted = ((expected - chosen.mean(axis=0)) / scale).clip(-10, 10)
    table: ActionTable = model.response.networks[0].table
    assert table.widths == {FROM_ENCODER: 8}
    values, known = table.features(torch.arange(len(module.dataset.conditions)))
    for i, name in enumerate(module.dataset.conditions):
        if name.endswith("+ctrl"):
            assert known[FROM_ENCODER][i, 0]
            got = values[FROM_ENCODER][i, 0].numpy()
            np.testing.assert_allclose(np.abs(got), np.abs(wanted[module.genes.index(name[:3])]), atol=2e-2)


def test_a_width_of_0_is_that_of_which_val_shifts_are_decoded_best(module):
    """Against sklearn: PCA, ridge regression of expression on the scores, and the mean shifts that it gives."""
    model = registry.load("pca_encoder")(**small("pca_encoder"), components=0)
    model.freeze_encoder(module)
    width = model.embed(torch.zeros(1, len(module.genes))).shape[1]
    x, looked = module.dataset.x.toarray().astype(np.float64), looked_at(module)
    assert set(module.dataset.condition[looked.held]) == set(module.dataset.condition[module.rows("val")])
    pca = PCA(50, svd_solver="full").fit(x[module.representation_rows("train")])
    shares = []
    for tried in WIDTHS:
        z = pca.transform(x)[:, :tried]
        z = (z - z[looked.fit].mean(axis=0)) / z[looked.fit].std(axis=0)
        said = Ridge(alpha=0.01 * len(looked.fit)).fit(z[looked.fit], x[looked.fit]).predict(z)
        errors, sizes = 0.0, 0.0
        for code in range(looked.condition.max() + 1):
            rows = looked.held[looked.condition == code]
            true, found = (of[rows].mean(axis=0) - of[looked.controls].mean(axis=0) for of in (x, said))
            errors, sizes = errors + ((true - found) ** 2).sum(), sizes + (true**2).sum()
        shares.append(1 - errors / sizes)
    assert width == WIDTHS[int(np.argmax(shares))]
    share = re.match(rf"{width} components: (.*) of val shifts are decoded", model.fit_report.selection)[1]
    assert float(share) == pytest.approx(max(shares), abs=0.006)


def test_an_encoder_that_says_nothing_has_no_features(module):
    model = registry.load("constant_encoder")(**small("constant_encoder"), features="from_encoder")
    with pytest.raises(BenchError, match="model 'constant_encoder': features=from_encoder: .* nothing about any gene"):
        run.fit(model, module, 1)


@pytest.mark.ci
def test_features_can_be_joined_with_those_of_an_encoder(module):
    model = registry.load("identity")(**small("identity"), features="pca+from_encoder")
    run.fit(model, module, 1)
    assert list(model.response.networks[0].table.widths) == ["pca", "from_encoder"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["identity", "pca_encoder"])
def test_own_latents_are_decoded_to_genes(name, module, monkeypatch):
    """The identity's latents are the genes: predicting its own latents is predicting genes, decoded."""
    extra = {"components": 40} if name == "pca_encoder" else {}
    train = module.pseudobulk("train")
    shifts = {
        target: shift_of(
            fitted_to_the_end(name, module, monkeypatch, 300, residual="none", latent_target=target, **extra),
            module,
            train.conditions,
        )
        for target in ("own", "genes")
    }
    assert np.isfinite(shifts["own"]).all()
    error = ((shifts["own"] - train.shifts) ** 2).mean()
    assert error < 0.2 * (train.shifts**2).mean()  # no change at all has 1
    each = [pearsonr(a, b).statistic for a, b in zip(shifts["own"], shifts["genes"], strict=True)]
    assert np.mean(each) > 0.9


def test_constant_latents_carry_nothing_of_their_own(module, monkeypatch):
    model = fitted_to_the_end("constant_encoder", module, monkeypatch, 20, residual="none", latent_target="own")
    np.testing.assert_array_equal(shift_of(model, module, module.predicted_conditions), 0)


@pytest.mark.ci
def test_the_latent_that_a_start_has_is_standardised_by_train_cells(module):
    model = registry.load("pca_encoder")(**small("pca_encoder"), components=5)
    run.fit(model, module, 1)
    rows = module.representation_rows("train")
    z = model.standardised(torch.from_numpy(module.dataset.x[rows].toarray())).pooled.numpy()
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(axis=0), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("rate", "epochs", "untrained"), [(1e-12, 1, True), pytest.param(1e-2, 8, False, marks=pytest.mark.ci)]
)
def test_pretraining_that_improves_nothing_is_told(rate, epochs, untrained, module):
    arguments = {**small("vicreg"), "learning_rate": rate, "epochs": epochs}
    model = registry.load("vicreg")(**arguments)
    run.fit(model, module, 1)
    told = [word for word in model.warnings if "the encoder is the untrained one" in word]
    assert bool(told) == untrained == ("pretraining step 0 of" in model.fit_report.selection)
    assert "by the decodable part of val shifts" in model.fit_report.selection
