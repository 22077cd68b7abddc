"""The teacher's average, and the looks at a representation while it is learned."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from harness import PRETRAINED, small
from harness import Diary as Log
from lightning.pytorch.callbacks import Callback
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from torch import nn
from torch.nn import functional

from bench.core.arguments import arguments
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.models.pretrained import Pretrained
from bench.models.ssl.jepa import JEPA
from bench.models.ssl.mae import MAE, MaskedReconstruction
from bench.nn.encoder import Encoded, EncoderConfig
from bench.training import monitors
from bench.training.embedding import RIDGE, decodable, linear_decoder, scale_of, spread_rows
from bench.training.fit import FitContext, FitReport
from bench.training.monitors import PATIENCE, EMATeacher, Monitor
from bench.training.pretraining import PretrainConfig, Pretraining
from bench.training.ranks import effective_rank, mean_cosine, rankme
from bench.training.trainer import train

# EMA teacher


class Diary(Callback):
    """The student's weights after every optimiser step."""

    def __init__(self):
        self.pages = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.pages.append({name: p.detach().double().clone() for name, p in pl_module.student.named_parameters()})


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_the_teacher_is_the_moving_average_of_the_student_after_every_step(momentum, module):
    model = JEPA(**{**small("jepa"), "epochs": 3, "momentum": momentum}).maker.pretraining(module)
    steps = model.steps
    expected = {name: p.detach().double().clone() for name, p in model.teacher.named_parameters()}
    for name, p in model.student.named_parameters():
        assert torch.equal(p.detach().double(), expected[name])  # they start alike
    diary = Diary()
    train(model, module.cells_dataloader(model.config.batch_size), steps, "x", callbacks=[EMATeacher(momentum), diary])
    assert len(diary.pages) == steps > 5
    for page in diary.pages:
        expected = {name: momentum * expected[name] + (1 - momentum) * page[name] for name in expected}
    moved = 0.0
    for name, p in model.teacher.named_parameters():
        torch.testing.assert_close(p.double(), expected[name], atol=1e-6, rtol=1e-5)
        moved = max(moved, float((p.double() - diary.pages[0][name]).abs().max()))
    assert moved > 1e-4  # far beyond the tolerance


@pytest.mark.parametrize("name", PRETRAINED)
def test_the_teacher_gets_no_gradient_and_the_student_does(name, module):
    model = registry.load(name)(**small(name)).maker.pretraining(module)
    batch = next(iter(module.cells_dataloader(64)))
    sum(model.objective.losses(batch, torch.Generator().manual_seed(1)).values()).backward()
    assert not any(p.requires_grad or p.grad is not None for p in model.teacher.parameters())
    reached = [p.grad is not None for p in model.student.parameters()]
    assert all(reached) or not model.objective.mask  # what stands for hidden genes is reached where some are hidden
    assert any(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in model.student.parameters())
    trained = {id(p) for group in model.configure_optimizers()["optimizer"].param_groups for p in group["params"]}
    assert trained == {id(p) for part in (model.student, model.objective.heads) for p in part.parameters()}


def test_every_objective_starts_from_the_same_encoder_and_random_encoder_is_it(module):
    weights = []
    for name in PRETRAINED:
        weights.append(registry.load(name)(**small(name)).maker.pretraining(module).student.state_dict())
    weights.append(registry.load("random_encoder")(**small("random_encoder")).make_encoder(module).state_dict())
    for other in weights[1:]:
        assert other.keys() == weights[0].keys()
        assert all(torch.equal(other[key], weights[0][key]) for key in other)


# What is measured


def test_effective_rank_by_hand():
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(40, 3)) - 0.0)[0]
    q -= q.mean(axis=0)
    q = np.linalg.qr(q)[0]  # centred and orthonormal
    for s in ([1.0, 1.0, 1.0], [3.0, 1.0, 0.0], [5.0, 0.0, 0.0]):
        p = np.array([v / sum(s) for v in s if v])
        z = (q * s).astype(np.float32) + 7.0  # a mean does not matter
        assert effective_rank(z) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-3)
    assert effective_rank(np.full((10, 4), 3.0, dtype=np.float32)) == 1.0


def test_effective_rank_against_the_spectrum_of_sklearn():
    z = np.random.default_rng(1).normal(size=(200, 12)).astype(np.float32) * np.arange(1, 13, dtype=np.float32)
    s = PCA().fit(z).singular_values_
    entropy = -(s / s.sum() * np.log(s / s.sum())).sum()
    assert effective_rank(z) == pytest.approx(np.exp(entropy), rel=1e-4)


def test_mean_cosine_by_hand():
    z = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]], dtype=np.float32)
    assert mean_cosine(z) == pytest.approx((0 + 2 * np.sqrt(0.5)) / 3, abs=2e-6)  # float32
    assert mean_cosine(np.array([[1.0, 0.0], [-2.0, 0.0]], dtype=np.float32)) == pytest.approx(-1, abs=2e-6)
    rng = np.random.default_rng(0)
    many = rng.normal(size=(30, 5)).astype(np.float32)
    unit = many / np.linalg.norm(many, axis=1, keepdims=True)
    assert mean_cosine(many) == pytest.approx((unit @ unit.T)[~np.eye(30, dtype=bool)].mean(), abs=5e-6)


def toy(n, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(2, [1, 5, 0.1, 1], size=(n, 4))
    z[:, 3] = 4.0  # never moves
    mix = np.random.default_rng(9).normal(size=(4, 7))
    x = np.maximum(z @ mix + rng.normal(size=(n, 7)), 0)
    return z.astype(np.float32), sp.csr_matrix(x.astype(np.float32))


CONDITION = np.arange(200) % 8


def shares(*cells_and_condition):
    found = decodable(*cells_and_condition)
    return found.by_shift, found.by_cell


def reference(fit, control, held, condition):
    """The two shares again, by sklearn and pandas."""
    mean, sd = fit[0].mean(axis=0), fit[0].std(axis=0)
    sd[sd < 1e-3] = np.inf
    ridge = Ridge(alpha=RIDGE * len(fit[0])).fit((fit[0] - mean) / sd, fit[1].toarray())

    def cells(some):
        return pd.DataFrame(some[1].toarray(), dtype=float), pd.DataFrame(ridge.predict((some[0] - mean) / sd))

    (start, start_decoded), (true, decoded) = map(cells, (control, held))
    shift = true.groupby(condition).mean() - start.mean()
    decoded_shift = decoded.groupby(condition).mean() - start_decoded.mean()
    by_shift = 1 - ((shift - decoded_shift) ** 2).sum().sum() / (shift**2).sum().sum()
    by_cell = 1 - ((true - decoded) ** 2).sum().sum() / ((true - fit[1].toarray().mean(axis=0)) ** 2).sum().sum()
    return by_shift, by_cell, ridge


def test_decoder_and_decodable_shares_against_sklearn():
    fit, control, held = toy(300), toy(100, 1), toy(200, 2)
    held[0][:, 0] += np.repeat(np.arange(8), 25)[np.argsort(np.argsort(CONDITION, kind="stable"))]  # conditions differ
    by_shift, by_cell, ridge = reference(fit, control, held, CONDITION)
    weights, intercept = linear_decoder(scale_of(fit[0])(fit[0]), fit[1])
    np.testing.assert_allclose(weights, ridge.coef_, atol=1e-4)
    np.testing.assert_allclose(intercept, fit[1].toarray().mean(axis=0, dtype=np.float64), rtol=1e-9, atol=1e-9)
    assert shares(fit, control, held, CONDITION) == pytest.approx((by_shift, by_cell), abs=1e-4)
    assert by_shift != pytest.approx(by_cell, abs=0.05)
    # On the fitted cells themselves the reference is sklearn's variance-weighted R2.
    r2 = r2_score(fit[1].toarray(), linear(fit, ridge), multioutput="variance_weighted")
    assert shares(fit, control, fit, np.arange(300) % 8)[1] == pytest.approx(r2, abs=1e-4)
    assert 0.3 < r2 < 0.99


def linear(fit, ridge):
    return ridge.predict(np.nan_to_num(scale_of(fit[0])(fit[0])))


def test_a_latent_that_says_nothing_decodes_nothing_and_expression_decodes_itself():
    fit, control, held = toy(300), toy(100, 1), toy(200, 2)
    nothing = [(np.zeros_like(z), x) for z, x in (fit, control, held)]
    assert shares(*nothing, CONDITION) == pytest.approx((0, 0), abs=0.05)
    noise = np.random.default_rng(3).normal(size=(600, 4)).astype(np.float32)
    random = [(noise[:300], fit[1]), (noise[300:400], control[1]), (noise[400:], held[1])]
    assert max(map(abs, shares(*random, CONDITION))) < 0.1
    everything = [(x.toarray(), x) for _, x in (fit, control, held)]
    assert min(shares(*everything, CONDITION)) > 0.98


# Collapse


class Planted(nn.Module):
    """An encoder of any latents."""

    def __init__(self, latents):
        super().__init__()
        self.latents = latents

    def forward(self, x, mask=None):
        pooled = self.latents(x)
        return Encoded(pooled[:, None], pooled)


COLLAPSED = {
    "a constant": lambda x: torch.ones(len(x), 64),
    "all but a constant": lambda x: 1 + 1e-8 * x[:, :1].expand(-1, 64),
    "one direction": lambda x: x.sum(dim=1, keepdim=True) * torch.linspace(-1, 1, 64),
    "two of 64 directions": lambda x: torch.cat([x[:, :2] * 50, 0.001 * functional.pad(x, (0, 2))], dim=1),
}


@pytest.mark.parametrize("kind", COLLAPSED)
def test_a_collapsed_encoder_stops_after_three_looks(kind, module):
    encoder = Planted(COLLAPSED[kind])
    monitor = Monitor(encoder, encoder, module)
    for _ in range(PATIENCE - 1):
        monitor.look()
    with pytest.raises(
        BenchError, match=r"the representation has collapsed: effective rank [12]\.\d of 6\d .* 3 looks"
    ):
        monitor.look()


def test_a_healthy_look_starts_the_count_again(module):
    encoder = Planted(COLLAPSED["one direction"])
    healthy = Planted(lambda x: x)
    monitor = Monitor(encoder, encoder, module)
    for _ in range(4):
        monitor.encoder = monitor.student = encoder
        monitor.look()
        monitor.look()
        monitor.encoder = monitor.student = healthy
        monitor.look()
    assert monitor.last["effective_rank"] > 10


def test_collapse_is_of_cells_not_of_tokens(module):
    """A-2: every cell alike, while the genes' tokens differ as much as they like."""

    class Tokens(Planted):
        def forward(self, x, mask=None):
            tokens = torch.randn(x.shape[1], 64, generator=torch.Generator().manual_seed(0)).expand(len(x), -1, -1)
            return Encoded(tokens, tokens.mean(dim=1))

    encoder = Tokens(None)
    monitor = Monitor(encoder, encoder, module)
    with pytest.raises(BenchError, match="collapsed"):
        for _ in range(PATIENCE):
            monitor.look()


def test_numbers_of_a_look(module):
    encoder, student = Planted(lambda x: x), Planted(lambda x: x + 2.0)
    monitor = Monitor(encoder, student, module)
    left = monitor.look()
    x = module.dataset.x[monitor.held].toarray()
    assert monitor.last["decodable_shifts"] == pytest.approx(1 - left)
    assert left < 0.05  # expression is decodable from expression
    assert monitor.last["decodable_cells"] > 0.95
    assert monitor.last["latent_sd"] == pytest.approx(x.std(axis=0).mean(), rel=1e-5)
    assert monitor.last["teacher_distance"] == pytest.approx(2 * np.sqrt(x.shape[1]), rel=1e-5)
    assert monitor.last["effective_rank"] == pytest.approx(effective_rank(x))
    assert monitor.last["mean_cosine"] == pytest.approx(mean_cosine(x), abs=5e-6)


class Seeing(nn.Module):
    """Latents are the visible expression of the first genes; it counts how often it is asked with a mask."""

    def __init__(self, genes):
        super().__init__()
        self.genes, self.hidden = genes, []

    def forward(self, x, mask=None):
        if mask is not None:
            self.hidden.append(float(mask.hidden.float().mean()))
            x = x * ~mask.hidden
        pooled = x[:, : self.genes]
        return Encoded(pooled[:, None], pooled)


def test_what_is_watched_beside_a_look(module):
    encoder = Seeing(30)
    monitor = Monitor(encoder, encoder, module, mask=0.25)
    monitor.look()
    last, state = dict(monitor.last), torch.random.get_rng_state()
    numbers = monitor.watch()
    assert set(numbers) == {"monitor/rankme", "monitor/lidar", "online_probe/perturbed"}
    assert encoder.hidden == [pytest.approx(0.25, abs=0.01)] * monitors.VIEWS
    x = module.dataset.x[monitor.held].toarray()[:, :30]
    assert numbers["monitor/rankme"] == pytest.approx(rankme(x))
    assert 1 < numbers["monitor/lidar"] <= 30.01
    assert 0 < numbers["online_probe/perturbed"] < 1  # 60 val cells of 2 conditions: next to chance
    # It is the same again, and leaves what decides, and every random stream, alone.
    assert monitor.watch() == numbers
    assert (monitor.last, monitor.low) == (last, 0) and torch.equal(torch.random.get_rng_state(), state)


def test_lidar_of_views_that_are_all_alike_is_that_of_cells(module):
    """An encoder that ignores the mask: nothing changes within a cell."""
    monitor = Monitor(Planted(lambda x: x[:, :5]), Planted(lambda x: x[:, :5]), module)
    monitor.look()
    cells = module.dataset.x[monitor.surrogates].toarray()[:, :5].astype(np.float64)
    values = np.linalg.eigvalsh(np.cov(cells, rowvar=False))
    share = values / values.sum()
    assert monitor.watch()["monitor/lidar"] == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-3)


def test_watching_changes_nothing_and_is_logged_at_every_look(module):
    found, log = [], Log()
    for logger in (log, None):
        pretraining = MAE(**{**small("mae"), "epochs": 5, "batch_size": 64}).maker.pretraining(module)
        report = FitReport()
        weights = pretraining.run(module, report, FitContext(logger=logger), None, print).state_dict()
        found.append((weights, report.selection))
    (weights, selection), (other, same) = found
    assert all(torch.equal(weights[key], other[key]) for key in weights) and selection == same
    looks = [step for step, _ in log.curve("monitor/effective_rank")]
    assert len(looks) > 8
    for key in ("monitor/rankme", "monitor/lidar", "online_probe/perturbed"):
        assert [step for step, _ in log.curve(key)] == looks
        assert "monitor" not in key or len({value for _, value in log.curve(key)}) == len(looks)


def test_looks_are_at_val_cells_fitted_on_train_cells(module):
    monitor = Monitor(Planted(lambda x: x), Planted(lambda x: x), module)
    data, split = module.dataset, module.split
    assert set(monitor.held) == set(data.rows(split.val))
    assert set(monitor.rows) <= set(data.rows(split.train)) | set(module.control_rows)
    assert set(monitor.controls) <= set(module.control_rows)
    np.testing.assert_array_equal(np.unique(monitor.condition), [0, 1])
    without = split.model_copy(update={"val": (), "unused": split.val})
    other = PerturbationDataModule(Task(data, without), seed=1)
    monitor = Monitor(Planted(lambda x: x), Planted(lambda x: x), other)
    assert not set(monitor.held) & set(monitor.rows)
    assert set(monitor.held) | set(monitor.rows) == set(other.representation_rows("train"))
    assert len(monitor.held) == len(data.rows(split.train)) / 10  # perturbed cells alone


class OneDirection(MaskedReconstruction):
    """An objective that is minimal where every latent copies the first."""

    def losses(self, batch, generator):
        pooled = self.student(batch.cells).pooled
        return {"copy": 10 * (pooled[:, 1:] - pooled[:, :1].detach()).square().mean()}


@pytest.mark.slow
def test_an_objective_that_collapses_ends_the_pretraining(module):
    settings = {"width": 128, "hidden": 32, "depth": 0, "epochs": 60, "batch_size": 64, "momentum": 0.0}
    settings |= {"learning_rate": 1e-2, "weight_decay": 0.0}
    parts = [
        part(**{k: v for k, v in settings.items() if k in arguments(part)}) for part in (EncoderConfig, PretrainConfig)
    ]
    pretraining = Pretrained(OneDirection(), *parts).pretraining(module)
    with pytest.raises(BenchError, match=r"collapsed: effective rank .* of 128 over held-out cells"):
        pretraining.run(module, FitReport(), FitContext(), None, print)
    assert pretraining.global_step < 300  # it did not wait for the end
    MAE(**settings).make_encoder(module)  # the same, with MAE's own loss


def test_a_resumed_pretraining_remembers_how_often_it_looked_collapsed(module, tmp_path, monkeypatch):
    """Two low looks, an interruption, one more: three in a row. Looks are at every third of 30 steps."""
    ranks = []

    def rank(z):
        ranks.append(40.0 if len(ranks) < 2 else 1.0)  # low from step 6 on
        return ranks[-1]

    monkeypatch.setattr(monitors, "effective_rank", rank)
    settings = {"width": 128, "hidden": 32, "depth": 0, "epochs": 6, "batch_size": 64}

    step = Pretraining.training_step

    def pretrain(stop=None):
        def stopped(self, batch, batch_idx=0):
            if self.global_step == stop:
                raise KeyError("the process was killed")
            return step(self, batch, batch_idx)

        monkeypatch.setattr(Pretraining, "training_step", stopped)
        model = MAE(**settings)
        model.fit_context = FitContext(folder=tmp_path, arguments=settings)
        model.make_encoder(module)

    with pytest.raises(KeyError):
        pretrain(stop=11)
    (path,) = tmp_path.glob("*/last.ckpt")
    kept = torch.load(path, weights_only=True)
    assert (kept["global_step"], kept["callbacks"]["Monitor"]) == (10, {"low": 2})
    with pytest.raises(BenchError, match="3 looks in a row"):
        pretrain()
    assert len(ranks) == 5  # steps 0, 3, 6, 9 and 12


def test_spread_rows_is_a_sorted_sample_by_seed():
    rows = np.arange(100, 200)
    np.testing.assert_array_equal(spread_rows(rows, 100, 1), rows)
    one, two = spread_rows(rows, 30, 1), spread_rows(rows, 30, 2)
    assert len(set(one)) == 30 and set(one) <= set(rows) and (np.diff(one) > 0).all()
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(one, spread_rows(rows, 30, 1))


def test_shifts_start_from_controls_of_their_own_group():
    """Two plates, each with an offset that the latents hold and nothing else: nothing is decoded beyond the plate."""
    rng = np.random.default_rng(3)
    plate = np.arange(300) % 2
    x = sp.csr_matrix((5 + 3 * plate[:, None] + rng.normal(0, 0.5, (300, 6))).astype(np.float32))
    z = np.column_stack([plate, rng.normal(size=300)]).astype(np.float32)
    fit, control, held = slice(0, 100), slice(100, 140), slice(140, 300)
    parts = [(z[of], x[of]) for of in (fit, control, held)]
    alone = np.arange(160)
    assert decodable(*parts, alone).by_shift > 0.8
    within = decodable(*parts, alone, (plate[held], plate[control]))
    assert within.by_shift == pytest.approx(0, abs=0.1)
    centred = x[held].toarray() - np.stack(
        [x[control][plate[control] == p].toarray().mean(axis=0) for p in plate[held]]
    )
    np.testing.assert_allclose(within.true_shifts, centred, atol=1e-4)
