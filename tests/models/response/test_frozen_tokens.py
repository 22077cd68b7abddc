"""What frozen parts make of cells is computed once, and is what every step would compute."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.models.response import token_fit
from bench.models.response.actions import ActionTable
from bench.models.response.frozen_tokens import Bags, Numbered, drawn_in, kept_tokens, pair_keys
from bench.models.response.token_fit import TokenTask
from bench.models.response.token_head import TokenHead
from bench.models.response.token_looks import HeldOut
from bench.models.response.token_stages import ActionStage, DecoderStage
from bench.training.fit import FitContext, FitReport

GENES, WIDTH, STEPS = 60, 8, 10
SETTINGS = {
    "encoder": "gene_transformer",
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
    "pairing": "once",
    "head_steps": STEPS,
    "head_learning_rate": 1e-2,
    "head_seeds": 1,
    "looks": 2,
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def made(tiny, tiny_split):
    """Of a screen with two masks: frozen encoder, actions, and a batch of pairs with their rows."""
    split = tiny_split.model_copy(update={"val": tiny_split.val + tiny_split.test[:8], "test": tiny_split.test[8:]})
    module = PerturbationDataModule(Task(tiny, split), batch_size=32, paired_once=True)

    def of(**changed):
        model = registry.load("jepa")(**{**SETTINGS, **changed})
        encoder = model.maker.pretraining(module).student.requires_grad_(False).eval()
        table = ActionTable(module, model._banks(module, np.zeros((GENES, WIDTH))))
        return SimpleNamespace(encoder=encoder, table=table, settings=model.response.config)

    loader = module.train_dataloader()
    batches = list(loader.sampler)
    return SimpleNamespace(
        of=of, module=module, batches=batches, x=module.dataset.x, bags=lambda size: Bags(module, size, 1)
    )


def losses(stage, batch):
    return {name: value.item() for name, value in stage.losses(batch, torch.Generator().manual_seed(5)).items()}


def test_kept_tokens_are_the_encoders_in_any_order(made):
    encoder = made.of().encoder
    rows = np.array([3, 5, 40, 41, 90, *range(200, 260)])
    kept = kept_tokens(encoder, made.x, rows, WIDTH)
    asked = np.array([258, 3, 41, 3])
    with torch.no_grad():
        own = encoder(torch.from_numpy(made.x[asked].toarray())).tokens
    torch.testing.assert_close(kept(asked, torch.device("cpu")), own, atol=1e-5, rtol=1e-5)
    assert kept.bytes == len(rows) * GENES * WIDTH * 4
    assert kept.fits
    assert not kept_tokens(encoder, made.x, rows, WIDTH, most=kept.bytes - 1).fits


@pytest.mark.parametrize(("identity", "mask", "bag"), [("fixed", 0.0, 1), ("report", 0.6, 1), ("fixed", 0.0, 3)])
def test_a_step_loses_the_same_from_what_is_kept(made, identity, mask, bag):
    parts, bags = made.of(token_identity=identity, context_mask=mask, bag=bag), made.bags(bag)
    drawn = drawn_in([made.batches[0], made.batches[0]], bags)
    batch = Numbered(made.module.dataset, bags)[made.batches[0]]

    def stage(kind, kept):
        response = TokenHead(parts.table, parts.settings, GENES, WIDTH, seed=1)
        tokens = kept_tokens(parts.encoder, made.x, drawn.rows, WIDTH, most=1 << 30 if kept else 0)
        found = kind(parts.encoder, response, parts.settings, 1e-2, 1, tokens).train()
        if kept and kind is DecoderStage:
            found.keep(drawn, bags, 1 << 20)
            assert found.moved is not None
        return found

    for kind in (ActionStage, DecoderStage):
        assert losses(stage(kind, True), batch) == pytest.approx(losses(stage(kind, False), batch), rel=1e-4)


def test_pairs_are_kept_where_they_are_drawn_again_and_fit(made):
    parts = made.of()
    response = TokenHead(parts.table, parts.settings, GENES, WIDTH, seed=1)
    for batches, most, kept in (
        ([0, 1, 0], 1 << 30, True),
        ([0, 1], 1 << 30, False),
        ([0, 1, 0], 64 * GENES * WIDTH * 4 - 1, False),
    ):
        stage = DecoderStage(parts.encoder, response, parts.settings, 1e-3, 1)
        stage.keep(drawn_in([made.batches[i] for i in batches], made.bags(1)), made.bags(1), most)
        assert (stage.moved is not None) == kept
    assert len(np.unique(pair_keys(np.array([1, 2, 1]), np.array([2, 1, 2])))) == 2


def fitted(made, most, **changed):
    parts, ledger = made.of(**changed), FitReport()
    task = TokenTask(parts.encoder, parts.table, made.module, heads=2, most_bytes=most)
    (head,) = token_fit.fit(task, parts.settings, ledger, FitContext(1))
    return head, ledger, parts


@pytest.mark.ci
@pytest.mark.parametrize(("pairing", "bag"), [("once", 2), ("fresh", 1)])
def test_a_fit_is_the_same_without_room_and_costs_more(made, pairing, bag):
    """The decoder takes more steps than there are pairs, so that each is drawn several times."""
    changed = {"pairing": pairing, "bag": bag, "decoder_steps": 2 * len(made.batches), "decoder_rate": 1e-2}
    with_room, cheap, parts = fitted(made, 1 << 30, **changed)
    without, dear, _ = fitted(made, 0, **changed)
    for (name, one), two in zip(with_room.state_dict().items(), without.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, atol=2e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}")
    assert cheap.flops < dear.flops
    assert cheap.steps == dear.steps == STEPS + 2 * len(made.batches)
    assert "cells kept" in cheap.selection
    assert "cells kept" not in dear.selection
    held = HeldOut(made.module, parts.encoder)
    fresh = held.gene_error(with_room)
    held.settle(with_room)
    assert [held.gene_error(with_room) for _ in range(2)] == pytest.approx([fresh, fresh], rel=1e-5)


def test_a_bag_is_of_one_unit_and_follows_from_its_pair(made):
    rows, controls = made.batches[0]
    data, (mine, theirs) = made.module.dataset, made.bags(5)(rows, controls)
    assert (mine[:, 0] == rows).all() and (theirs[:, 0] == controls).all()
    assert (data.condition[mine] == data.condition[rows][:, None]).all()
    assert np.isin(theirs, made.module.control_rows).all()
    assert all(len(set(bag)) == 5 for bag in [*mine.tolist(), *theirs.tolist()])
    batch = Numbered(data, made.bags(5))[rows, controls]
    np.testing.assert_allclose(batch.cells[3], data.x[mine[3]].mean(axis=0).A1, atol=1e-5)
    again = made.bags(5)(rows[::-1], controls[::-1])
    assert (again[0][::-1] == mine).all() and (again[1][::-1] == theirs).all()


def test_a_pair_drawn_once_keeps_its_control(made):
    def partners(once, epoch):
        module = PerturbationDataModule(made.module.task, batch_size=32, seed=3, paired_once=once)
        sampler = module.train_dataloader().sampler
        sampler.set_epoch(epoch)
        return {int(cell): int(control) for batch in sampler for cell, control in zip(*batch, strict=True)}

    assert partners(True, 0) == partners(True, 4)
    first, later = partners(False, 0), partners(False, 4)
    assert np.mean([first[cell] != later[cell] for cell in first]) > 0.9
