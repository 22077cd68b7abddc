"""BioJEPA-AC: it can learn ten units, no action moves nothing, and the step is chosen by what it predicts."""

import numpy as np
import pytest
import torch
from harness import small

from bench.data.datamodule import CellsBatch, InputBatch
from bench.models.response.along_action import latent_shift
from bench.models.ssl.biojepa_ac import BioJEPAAC, OfTask
from bench.nn.encoder import Encoded


class ByTrain(OfTask):
    """Chooses the step by train units."""

    def __init__(self, maker):
        super().__init__(maker.objective, maker.architecture, maker.training, maker.features)

    def held(self, task):
        return task.units_of("train")


def predicted(model, module, condition, context=0):
    """Mean predicted shift of a condition ``[G]``."""
    cells = torch.from_numpy(module.dataset.x[module.input_rows[context]].toarray())
    asked = torch.full((len(cells),), module.dataset.conditions.index(condition))
    batch = InputBatch(cells, asked, torch.full((len(cells),), context))
    return (model.predict_step(batch) - cells.double()).mean(dim=0).numpy()


@pytest.fixture(scope="module")
def quick(tiny, tiny_split):
    from bench.data.datamodule import PerturbationDataModule
    from bench.data.task import Task

    module = PerturbationDataModule(Task(tiny, tiny_split), seed=1)
    model = BioJEPAAC(**small("biojepa_ac"))
    model.fit(module)
    return model, module


def test_without_an_action_nothing_moves(quick):
    model, module = quick
    assert not predicted(model, module, "ctrl").any()
    name = module.split.train[0]
    assert predicted(model, module, name).any()


def test_a_look_is_the_error_in_units_of_the_shifts(quick):
    """Against the same by hand; a predictor that moves nothing has 1."""
    model, module = quick
    objective = model.maker.pretraining(module).objective
    encoder, unit = model.encoder, objective.held[0]
    with torch.no_grad():
        for parameter in objective.heads["predictor"].parameters():
            parameter.zero_()
        assert objective.look(encoder) == pytest.approx(1.0, abs=1e-6)
        objective.heads = model.response.trained
        objective.held = [unit]
        z = encoder(objective.starts[0]).pooled
        condition = torch.full((len(z),), unit.condition)
        moved = latent_shift(objective.heads, objective.table, Encoded(z[:, None], z), condition).mean(dim=0)
        true = encoder(unit.cells).pooled.mean(dim=0) - z.mean(dim=0)
        ratio = float((moved - true).square().sum() / true.square().sum())
        assert objective.look(encoder) == pytest.approx(ratio, rel=1e-4, abs=1e-6)


def test_unlabelled_cells_count_for_collapse_only(quick):
    model, module = quick
    objective = model.maker.pretraining(module).objective
    cells = torch.from_numpy(module.dataset.x[module.labelled_rows[:16]].toarray())
    hidden = CellsBatch(cells, torch.full((16,), -100), torch.zeros(16, dtype=torch.int64))
    losses = objective.losses(hidden, torch.Generator().manual_seed(0))
    assert losses["invariance"].item() == 0 and losses["covariance"].item() > 0


@pytest.mark.slow
def test_ten_conditions_can_be_learned_by_heart(module):
    """Judged by themselves, as val conditions would end the training before that."""
    model = BioJEPAAC(epochs=150, identity_dropout=0.0, weight_decay=0.0)
    model.maker = ByTrain(model.maker)
    model.fit(module)
    train = module.pseudobulk("train")
    r = [np.corrcoef(predicted(model, module, n), s)[0, 1] for n, s in zip(train.conditions, train.shifts, strict=True)]
    assert min(r) > 0.8, r
