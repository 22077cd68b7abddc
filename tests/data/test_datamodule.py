"""What a model can reach: pairing, roles, seeds, and no test cell or reference control anywhere."""

import contexts
import numpy as np
import pytest
import screens
import torch

from bench.core.conditions import CONTROL
from bench.core.errors import BenchError
from bench.data.datamodule import CellBatch, CellsBatch, InputBatch, PerturbationDataModule
from bench.data.loaders import CellSampler
from bench.data.task import Task


@pytest.fixture
def module(tiny, tiny_split):
    return PerturbationDataModule(Task(tiny, tiny_split), batch_size=64, seed=3)


def epoch(loader, number=0):
    loader.sampler.set_epoch(number)
    return list(loader)


def pairs(loader, number=0):
    loader.sampler.set_epoch(number)
    cells, controls = zip(*loader.sampler, strict=True)
    return np.concatenate(cells), np.concatenate(controls)


def test_batches_are_the_rows_of_the_matrix(module, tiny):
    loader = module.train_dataloader()
    cells, controls = pairs(loader)
    batches = epoch(loader)
    assert all(isinstance(b, CellBatch) for b in batches)
    assert batches[0].cells.dtype == torch.float32
    np.testing.assert_array_equal(torch.cat([b.cells for b in batches]), tiny.x[cells].toarray())
    np.testing.assert_array_equal(torch.cat([b.controls for b in batches]), tiny.x[controls].toarray())
    np.testing.assert_array_equal(torch.cat([b.condition for b in batches]), tiny.condition[cells])


def test_every_train_cell_once_per_epoch_and_nothing_else(module, tiny, tiny_split):
    cells, _ = pairs(module.train_dataloader())
    np.testing.assert_array_equal(np.sort(cells), tiny.rows(tiny_split.train))
    val, _ = pairs(module.val_dataloader())
    np.testing.assert_array_equal(val, tiny.rows(tiny_split.val))


def test_controls_are_input_controls_of_the_same_context_and_batch():
    data = screens.tiny_screen(contexts=2, controls=200)
    split = screens.hand_split(data)
    loader = PerturbationDataModule(Task(data, split)).train_dataloader()
    cells, controls = pairs(loader)
    np.testing.assert_array_equal(data.context[cells], data.context[controls])
    np.testing.assert_array_equal(data.batch[cells], data.batch[controls])
    allowed = {b for pool in split.input_controls.values() for b in pool}
    assert set(data.barcodes[controls]) <= allowed


def test_pairing_is_fresh_per_epoch_and_fixed_by_the_seed(module, tiny, tiny_split):
    loader = module.train_dataloader()
    one, two = pairs(loader, 0), pairs(loader, 1)
    assert not np.array_equal(one[0], two[0])
    order = np.argsort(one[0]), np.argsort(two[0])
    assert not np.array_equal(one[1][order[0]], two[1][order[1]])
    again = PerturbationDataModule(Task(tiny, tiny_split), batch_size=64, seed=3).train_dataloader()
    np.testing.assert_array_equal(pairs(again, 1), two)
    other = PerturbationDataModule(Task(tiny, tiny_split), batch_size=64, seed=4).train_dataloader()
    assert not np.array_equal(pairs(other, 0)[0], one[0])


def test_pairing_is_uniform_over_the_pool(module, tiny):
    loader = module.train_dataloader()
    drawn = np.concatenate([pairs(loader, i)[1] for i in range(40)])
    counts = np.bincount(drawn, minlength=len(tiny.barcodes))[module.control_rows]
    assert counts.min() > 0.5 * counts.mean()
    assert counts.max() < 1.6 * counts.mean()


def test_loaders_carry_their_role(module, tiny_split):
    for role in ("train", "val", "test"):
        loader = getattr(module, f"{role}_dataloader")()
        assert loader.role == role
        assert loader.conditions == getattr(tiny_split, role)
    assert module.predict_dataloader().role == "predict"


def order(sampler, number):
    sampler.set_epoch(number)
    return [batch.tolist() for batch in sampler]


def test_cells_are_drawn_by_seed_and_epoch_alone():
    rows = np.arange(100, 150)
    sampler = CellSampler(rows, 8, seed=3)
    first, second = order(sampler, 0), order(sampler, 1)
    assert [len(batch) for batch in first] == [8] * 6 == [8] * len(sampler)  # 2 of 50 are left out
    drawn = np.concatenate(first)
    assert len(set(drawn)) == 48 and set(drawn) <= set(rows)
    assert first != second and set(drawn) != set(np.concatenate(second))  # others are left out
    np.random.seed(0)  # whatever else is drawn
    assert order(sampler, 0) == first == order(CellSampler(rows, 8, seed=3), 0)
    assert order(CellSampler(rows, 8, seed=4), 0) != first
    counts = np.bincount(np.concatenate([np.concatenate(order(sampler, i)) for i in range(50)]))[100:]
    assert counts.min() >= 40 and counts.max() == 50  # nobody is always left out
    assert [len(batch) for batch in CellSampler(rows, 512, seed=3)] == [50]  # a batch is never empty


@pytest.mark.parametrize("lines", [1, 2])
def test_a_representation_is_learned_from_train_cells_and_input_controls(lines):
    data = screens.tiny_screen(contexts=lines)
    split = screens.hand_split(data)
    module = PerturbationDataModule(Task(data, split), seed=3)
    loader = module.cells_dataloader(32)
    assert loader.role == "train" and set(loader.conditions) == {*split.train, CONTROL}
    inputs = {b for pool in split.input_controls.values() for b in pool}
    reference = {b for pool in split.reference_controls.values() for b in pool}
    drawn = set()
    for number in range(20):
        loader.sampler.set_epoch(number)
        drawn |= set(np.concatenate(list(loader.sampler)).tolist())
    names = {data.conditions[i] for i in data.condition[sorted(drawn)]}
    assert names == {*split.train, CONTROL}
    barcodes = set(data.barcodes[[i for i in drawn if data.conditions[data.condition[i]] == CONTROL]].tolist())
    assert barcodes == inputs and not barcodes & reference
    assert drawn == set(module.representation_rows("train"))
    assert set(module.representation_rows("val")) == set(data.rows(split.val))


def test_batches_of_cells_are_the_rows_of_the_matrix(module, tiny):
    loader = module.cells_dataloader(64)
    rows = list(loader.sampler)
    batches = list(loader)
    assert len(rows) == len(batches) == len(loader) == 360 // 64
    for chosen, batch in zip(rows, batches, strict=True):
        assert isinstance(batch, CellsBatch) and batch.cells.dtype == torch.float32
        np.testing.assert_array_equal(batch.cells, tiny.x[chosen].toarray())
        np.testing.assert_array_equal(batch.condition, tiny.condition[chosen])
        np.testing.assert_array_equal(batch.context, tiny.context[chosen])


def test_pseudobulk_has_a_row_for_each_unit_and_can_be_averaged_over_contexts():
    """A has 10 cells on the left and 30 on the right, B is on the left only: numbers read off the toy's table."""
    data, split = contexts.toy()
    module = PerturbationDataModule(Task(data, split))
    bulk = module.pseudobulk("train")
    assert (bulk.conditions, bulk.contexts) == (("A+ctrl", "A+ctrl", "B+ctrl"), ("left", "right", "left"))
    assert bulk.cells.tolist() == [10, 30, 10]
    np.testing.assert_allclose(bulk.shifts, [[1, 0, 0, 0], [0, 3, 0, 0], [0, 0, 2, 0]], atol=1e-6)
    np.testing.assert_allclose(module.train_shift, [1 / 3, 1, 2 / 3, 0], atol=1e-6)  # units count alike
    whole = bulk.by_condition()
    assert (whole.conditions, whole.contexts) == (("A+ctrl", "B+ctrl"), ()) and whole.cells.tolist() == [40, 10]
    np.testing.assert_allclose(whole.shifts, [[1 / 4, 9 / 4, 0, 0], [0, 0, 2, 0]], atol=1e-6)  # cells count alike
    np.testing.assert_allclose(whole.means[0], [2, 17 / 4, 3 / 2, 13 / 4], atol=1e-6)


def test_with_one_context_units_are_conditions(module):
    bulk = module.pseudobulk("train")
    assert bulk.by_condition() is bulk and set(bulk.contexts) == {"line0"}
    assert [unit.perturbation for unit in module.task.units] == list(module.predicted_conditions)


def test_only_evaluated_units_are_asked_for():
    """C was measured by 3 cells on the right: it is predicted on the left alone."""
    data, split = contexts.toy()
    module = PerturbationDataModule(Task(data, split))
    asked = [
        (data.conditions[batch.condition[0]], data.contexts[batch.context[0]], batch.controls[0].tolist())
        for batch in module.predict_dataloader()
    ]
    left, right = (list(contexts.TOY["ctrl", side]) for side in data.contexts)
    assert asked == [("A+B", "left", left), ("A+B", "right", right), ("C+ctrl", "left", left)]


def test_models_get_no_pseudobulk_of_test(module):
    with pytest.raises(BenchError, match="models see only train and val"):
        module.pseudobulk("test")


def test_pseudobulk_is_the_mean_of_the_cells(module, tiny, tiny_split):
    bulk = module.pseudobulk("train")
    for i, name in enumerate(bulk.conditions):
        np.testing.assert_allclose(
            bulk.means[i], tiny.x[tiny.cells_of[name]].toarray().astype(float).mean(0), atol=1e-12
        )
    inputs = [tiny.barcode_index[b] for b in tiny_split.input_cells["line0"]]
    np.testing.assert_allclose(bulk.shifts, bulk.means - tiny.x[inputs].toarray().astype(float).mean(0), atol=1e-12)


def test_prediction_starts_from_the_named_input_cells(module, tiny, tiny_split):
    batches = list(module.predict_dataloader())
    assert all(isinstance(b, InputBatch) for b in batches)
    assert [tiny.conditions[b.condition[0]] for b in batches] == [n for n in tiny_split.test if n != CONTROL]
    rows = [tiny.barcode_index[b] for b in tiny_split.input_cells["line0"]]
    for batch in batches:
        np.testing.assert_array_equal(batch.controls, tiny.x[rows].toarray())


def test_small_conditions_are_trained_on_but_not_predicted(tiny_split):
    counts, obs = screens.tiny_counts()
    few = {"G00+ctrl", "G08+ctrl"}  # one of train, one of test
    drop = np.concatenate([np.flatnonzero(obs["condition"] == name)[4:] for name in few])
    keep = np.setdiff1d(np.arange(len(obs)), drop)
    data = screens.screen(counts[keep], obs.iloc[keep])
    module = PerturbationDataModule(Task(data, screens.hand_split(data)))
    assert "G00+ctrl" in module.pseudobulk("train").conditions
    assert "G08+ctrl" not in module.predicted_conditions


def test_lightning_drives_the_loaders_and_their_epochs(module):
    """The pairing must change per epoch under a Trainer too, not only when we set the epoch by hand."""
    import lightning

    seen = []

    class Probe(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(()))

        def training_step(self, batch, batch_idx):
            if batch_idx == 0:
                seen.append(batch.controls.sum().item())
            return (batch.cells.mean() - self.w) ** 2

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = lightning.Trainer(max_epochs=3, enable_model_summary=False, **options)
    trainer.fit(Probe(), module.train_dataloader())
    assert len(set(seen)) == 3
