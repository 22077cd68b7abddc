"""The stages on pairs of cells: what each trains and what it leaves alone, its loss, and what is predicted."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.models.response import token_fit
from bench.models.response.actions import ActionTable
from bench.models.response.token_fit import TokenTask, predict
from bench.models.response.token_head import TokenHead
from bench.models.response.token_looks import HeldOut
from bench.models.response.token_stages import ActionStage, DecoderStage
from bench.objectives.nll import gaussian_nll

GENES, WIDTH = 60, 8
SETTINGS = {
    "encoder": "gene_transformer",
    "token_identity": "report",
    "width": WIDTH,
    "depth": 1,
    "heads": 2,
    "features": "pca+coexpression",
    "latent_target": "own",
    "predictor": "report",
    "head_depth": 1,
    "action_width": 8,
    "residual": "none",
    "decoder": "shared",
    "context_mask": 0.6,
    "head_weight_decay": 0.05,
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def parts(tiny, tiny_split):
    """A frozen encoder, actions, a response with learned identities, and pairs of the tiny screen."""
    model = registry.load("jepa")(**SETTINGS)
    module = PerturbationDataModule(Task(tiny, tiny_split), batch_size=32)
    encoder = model.maker.pretraining(module).student.requires_grad_(False).eval()
    table = ActionTable(module, model._banks(module, np.zeros((GENES, WIDTH))))
    response = TokenHead(table, model.response.config, GENES, WIDTH, seed=1)
    return SimpleNamespace(
        encoder=encoder,
        table=table,
        response=response,
        settings=model.response.config,
        pairs=next(iter(module.train_dataloader())),
    )


def stages(parts, kind=ActionStage, rate=1e-2, **settings):
    chosen = replace(parts.settings, head_steps=200, **settings)
    response = TokenHead(parts.table, chosen, GENES, WIDTH, seed=1)
    return kind(parts.encoder, response, chosen, rate, seed=1)


def loss_of(stage, batch, seed=0):
    return torch.stack(list(stage.losses(batch, torch.Generator().manual_seed(seed)).values())).sum()


def steps_of(stage, batch, n):
    made = stage.configure_optimizers()
    optimiser, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    for step in range(n):
        optimiser.zero_grad()
        loss_of(stage, batch, step).backward()
        optimiser.step()
        schedule.step()


# The second stage


@pytest.mark.thinned(1)
@pytest.mark.parametrize(("predictor", "mask"), [("report", 0.6), ("report", 0.0), ("fixed", 0.0)])
def test_the_action_loss_falls_and_leaves_encoder_and_decoder_alone(parts, predictor, mask):
    stage = stages(parts, predictor=predictor, context_mask=mask)
    before = {name: value.clone() for name, value in stage.state_dict().items()}
    first = loss_of(stage, parts.pairs).item()
    steps_of(stage, parts.pairs, 25)
    assert loss_of(stage, parts.pairs).item() < 0.8 * first
    changed = {name for name, value in stage.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[1] for name in changed} == {"composer", "predictor"}
    assert not any(name.startswith("encoder") for name in changed)
    assert all(p.grad is None for p in stage.encoder.parameters())


def test_the_composer_learns_at_a_tenth_of_the_rate_throughout(parts):
    stage = stages(parts)
    made = stage.configure_optimizers()
    optimiser, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    composer = {id(p) for p in stage.response.composer.parameters()}
    fast, slow = optimiser.param_groups
    assert {id(p) for p in slow["params"]} == composer
    assert {id(p) for p in fast["params"]} == {id(p) for p in stage.response.predictor.parameters()}
    seen = []
    for _ in range(150):
        assert slow["lr"] == pytest.approx(0.1 * fast["lr"])
        seen.append(fast["lr"])
        optimiser.step()
        schedule.step()
    assert max(seen) == pytest.approx(1e-2, rel=1e-3)


def test_only_hidden_genes_count_and_prediction_hides_none(parts):
    stage = stages(parts, context_mask=0.6).eval()
    generator = torch.Generator().manual_seed(3)
    hidden = torch.rand(len(parts.pairs.cells), 60, generator=torch.Generator().manual_seed(3)) < 0.6
    got = {name: value.item() for name, value in stage.losses(parts.pairs, generator).items()}
    with torch.no_grad():
        target = parts.encoder(parts.pairs.cells).tokens
        mean, logvar = stage.response(parts.encoder(parts.pairs.controls, hidden), parts.pairs.condition)
        each = 0.5 * (logvar + (target - mean) ** 2 / logvar.exp())
    assert got["likelihood"] == pytest.approx(25 * float(each[hidden].mean()), rel=1e-4)
    flat = mean.reshape(-1, 8)
    assert got["variance"] == pytest.approx(
        25 * float(torch.relu(1 - (flat.var(dim=0) + 1e-4).sqrt()).mean()), rel=1e-4
    )
    covariance = torch.cov(flat.T)
    off = covariance - torch.diag(covariance.diag())
    assert got["covariance"] == pytest.approx(float((off**2).sum() / 8), rel=1e-3)
    assert float(gaussian_nll(mean, target, logvar)) == pytest.approx(float(each.mean()), rel=1e-4)


def test_one_cell_alone_has_no_spread_over_cells(parts):
    one = type(parts.pairs)(*(value[:1] for value in parts.pairs))
    assert set(stages(parts, predictor="fixed", context_mask=0.0).losses(one, torch.Generator())) == {"likelihood"}


# The third stage and prediction


@pytest.mark.parametrize("decoder", ["shared", "per_gene"])
def test_the_decoder_stage_changes_the_decoder_only(parts, decoder):
    stage = stages(parts, DecoderStage, decoder=decoder)
    stage.train()
    assert not stage.response.composer.training  # identities are not dropped
    before = {name: value.clone() for name, value in stage.state_dict().items()}
    first = loss_of(stage, parts.pairs).item()
    steps_of(stage, parts.pairs, 20)
    assert loss_of(stage, parts.pairs).item() < first
    changed = {name for name, value in stage.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("response.decoder") for name in changed)
    frozen = [
        *stage.encoder.parameters(),
        *stage.response.predictor.parameters(),
        *stage.response.composer.parameters(),
    ]
    assert all(p.grad is None for p in frozen)


def test_prediction_is_clipped_cell_plus_what_the_decoder_reads(parts):
    stage = stages(parts)
    cells, condition = parts.pairs.controls, parts.pairs.condition
    with torch.no_grad():
        got = predict(parts.encoder, [stage.response.eval()], cells, condition)
        weight = stage.response.decoder.read.weight[0]
        context = parts.encoder(cells)
        shift = (stage.response(context, condition)[0] - context.tokens) @ weight
    torch.testing.assert_close(got, (cells + shift).clamp(min=0).double(), atol=1e-4, rtol=1e-4)
    assert (got == 0).any()
    assert (got > 0).any()


def test_held_out_errors_are_those_of_means(parts, tiny, tiny_split):
    module = PerturbationDataModule(Task(tiny, tiny_split))
    held, response = HeldOut(module, parts.encoder), stages(parts).response.eval()
    with torch.no_grad():
        latent, genes = [], []
        for name in tiny_split.val:
            case = torch.from_numpy(tiny.x[tiny.cells_of[name]].toarray())
            controls = torch.from_numpy(tiny.x[module.input_rows[0][:32]].toarray())
            condition = torch.full((len(controls),), tiny.conditions.index(name))
            mean = response(parts.encoder(controls), condition)[0].mean(dim=0)
            latent.append(((mean - parts.encoder(case).tokens.mean(dim=0)) ** 2).mean())
            cells = predict(parts.encoder, [response], controls, condition)
            genes.append(((cells.mean(dim=0) - case.mean(dim=0)) ** 2).mean())
    assert held.latent_error(response) == pytest.approx(float(torch.stack(latent).mean()), rel=1e-4)
    assert held.gene_error(response) == pytest.approx(float(torch.stack(genes).mean()), rel=1e-4)


def test_no_identity_where_it_would_always_be_dropped(parts):
    assert parts.response.composer.identity is not None
    assert (
        TokenHead(parts.table, replace(parts.settings, identity_dropout=1.0), GENES, WIDTH, 1).composer.identity is None
    )


@pytest.mark.parametrize("kind", [ActionStage, DecoderStage])
def test_flops_of_a_pair_are_those_of_a_batch_of_pairs(kind, parts):
    """Counted on two pairs, as the ledger does, and on the 32 of a real batch."""
    task = TokenTask(parts.encoder, parts.table, SimpleNamespace(genes=range(GENES)))
    stage = stages(parts, kind)
    with FlopCounterMode(display=False) as counter:
        loss_of(stage, parts.pairs).backward()
    assert token_fit._flops(stage, task) * len(parts.pairs.cells) == pytest.approx(counter.get_total_flops(), rel=0.01)
    assert all(p.grad is None for p in stage.parameters())
