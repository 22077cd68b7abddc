"""Cells of singles that a split keeps from all models: who they are, and that nobody sees them."""

import json

import numpy as np
import pytest
import screens
from harness import predict

from bench.core.conditions import constituents
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.splits.split import Split, draw
from bench.data.task import Task
from bench.models import registry

KIND = "doubles:keep_singles=0.3"
NAMES = sorted(name for name in registry.entries() if not registry.load(name).needs_simulation)
#: Closed forms and a learned model stand for the others in the fast suite: cells are taken out in shared code.
FAST = {"additive", "ridge", "pca_encoder"}


@pytest.fixture(scope="module")
def task():
    data = screens.tiny_screen()
    return Task(data, draw(data, KIND, 1))


def barcodes(split):
    return {barcode for cells in split.kept.values() for barcode in cells}


def test_a_share_of_each_single_is_kept_and_named(task):
    split, whole = task.split, screens.tiny_screen()
    assert split.name == "doubles-keep_singles0.3"
    singles = [name for name in split.train if len(constituents(name)) == 1]
    assert set(split.kept) == {f"{name} | {whole.contexts[0]}" for name in singles}
    for name in singles:
        mine = whole.barcodes[whole.cells_of[name]]
        kept = split.kept[f"{name} | {whole.contexts[0]}"]
        assert set(kept) <= set(mine.tolist()) and len(kept) == max(2, round(0.3 * len(mine)))
    again = draw(whole, KIND, 1)
    assert again == split and Split.model_validate(json.loads(split.model_dump_json())) == split
    assert draw(whole, KIND, 2).kept != split.kept
    assert f"{len(barcodes(split))} cells of {len(singles)} singles" in " ".join(split.notes)


def test_they_are_in_no_part_and_in_no_loader(task):
    module = PerturbationDataModule(task)
    kept, data = barcodes(task.split), task.dataset
    assert not kept & set(data.barcodes.tolist())
    assert set(data.kept.barcodes.tolist()) == kept
    whole = screens.tiny_screen()
    assert len(data.barcodes) + len(kept) == len(whole.barcodes)
    assert data.hash == whole.hash and data != whole
    assert Task(data, task.split).dataset is data
    seen = [row for cells, controls in module.train_dataloader().sampler for row in (*cells, *controls)]
    assert max(seen) < len(data.barcodes)
    name = task.split.train[0]
    mean = data.x[data.cells_of[name]].mean(axis=0).A1
    bulk = module.pseudobulk("train")
    np.testing.assert_allclose(bulk.means[bulk.conditions.index(name)], mean, atol=1e-5)
    with pytest.raises(BenchError, match="kept for another split"):
        Task(data, draw(whole, "doubles:keep_singles=0.2", 1))


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_kept_cells_change_no_model(name, task, tmp_path):
    """They are replaced by noise: predictions must be the same to the last bit."""
    data = screens.tiny_screen()
    rows = np.flatnonzero(np.isin(data.barcodes, list(barcodes(task.split))))
    x = data.x.toarray()
    x[rows] = np.random.default_rng(0).exponential(2, (len(rows), x.shape[1]))
    corrupted = screens.rebuilt(data, x)
    assert corrupted.hash != data.hash
    for folder in ("before", "after"):
        (tmp_path / folder).mkdir()
    before = predict(name, data, task.split, tmp_path / "before")[2]
    after = predict(name, corrupted, task.split, tmp_path / "after")[2]
    np.testing.assert_array_equal(before.y_hat, after.y_hat)


@pytest.mark.parametrize("share", ["0", "0.6", "most"])
def test_a_share_that_cannot_be_kept(share, task):
    with pytest.raises(BenchError, match=r"keep_singles: expected a number from 0.01 to 0.5"):
        draw(screens.tiny_screen(), f"doubles:keep_singles={share}", 1)
