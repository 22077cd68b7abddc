"""How the published evaluations ask a token model: what they feed it, and that the right way differs."""

import pytest
import torch

from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.models.response.actions import ActionTable
from bench.models.response.as_published import actions, encode, latents_of_items, through_the_first_projector
from bench.models.response.token_head import TokenHead

SETTINGS = {
    "encoder": "gene_transformer", "token_identity": "report", "width": 8, "depth": 1, "heads": 2,
    "features": "pca+coexpression", "latent_target": "own", "predictor": "report", "head_depth": 1, "action_width": 8,
    "residual": "none", "decoder": "shared", "identity_dropout": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def parts(tiny, tiny_split):
    """An encoder, a table of two banks of different width, a response, and four cells."""
    model = registry.load("jepa")(**SETTINGS)
    module = PerturbationDataModule(Task(tiny, tiny_split))
    encoder = model.maker.pretraining(module).student.requires_grad_(False).eval()
    from bench.data.features.resolve import load_banks

    table = ActionTable(module, load_banks("pca+coexpression", module))
    head = TokenHead(table, model.response.config, 60, 8, seed=1).eval()
    return encoder, table, head, torch.from_numpy(tiny.x[:4].toarray())


def test_features_of_the_second_bank_go_through_the_first_projector():
    values = {"a": torch.zeros(2, 3), "b": torch.arange(10.0).reshape(2, 5)}
    known = {"a": torch.tensor([True, True]), "b": torch.tensor([True, False])}
    moved, there = through_the_first_projector(values, known, ["a", "b"])
    assert moved["a"].tolist() == [[0.0, 1.0, 2.0], [5.0, 6.0, 7.0]]  # the first three of five
    assert there["a"].tolist() == [True, False]
    assert not there["b"].any()
    wide, _ = through_the_first_projector({"a": torch.zeros(2, 7), "b": values["b"]}, known, ["a", "b"])
    assert wide["a"].shape == (2, 7) and not wide["a"][:, 5:].any()


def test_published_actions_do_not_depend_on_the_projector_that_was_trained_for_them(parts):
    _, table, head, _ = parts
    condition = torch.arange(6)
    before = [actions(table, head.composer, condition, published=p)[0] for p in (True, False)]
    second = list(table.widths)[1]
    weight = head.composer.project[f"from_{second}"].weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight += 1.0
    after = [actions(table, head.composer, condition, published=p)[0] for p in (True, False)]
    with torch.no_grad():
        weight.copy_(kept)
    torch.testing.assert_close(after[0], before[0], rtol=0, atol=0)
    assert (after[1] - before[1]).abs().max() > 0.1


def test_published_encoding_feeds_the_sum_and_the_right_one_its_log(parts):
    encoder, _, _, cells = parts
    right = encode(encoder, cells).tokens
    torch.testing.assert_close(right, encoder(cells).tokens, rtol=0, atol=0)
    by_hand = encoder(cells, total=torch.log1p(cells.sum(1, keepdim=True))).tokens
    torch.testing.assert_close(right, by_hand, rtol=1e-5, atol=1e-5)
    published = encode(encoder, cells, published=True).tokens
    torch.testing.assert_close(published, encoder(cells, total=cells.sum(1, keepdim=True)).tokens, rtol=0, atol=0)
    assert (published - right).abs().max() > 0.01


def test_one_averaged_cell_is_not_the_mean_over_cells(parts):
    encoder, _, head, cells = parts
    condition = torch.arange(3)
    averaged = latents_of_items(encoder, head, cells.mean(0, keepdim=True), condition, published=False)
    each = torch.stack([latents_of_items(encoder, head, c[None], condition, published=False) for c in cells]).mean(0)
    assert averaged.shape == (3, 8)
    assert (averaged - each).abs().max() > 1e-4
