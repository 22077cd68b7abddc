"""A fit that was stopped, in whichever stage, goes on where its last checkpoint was, and ends as one that was not."""

import pytest
import torch

from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.models.response.alignment import Alignment
from bench.models.response.token_stages import ActionStage, DecoderStage
from bench.runner import fit as run
from bench.runner.model_choice import choose
from bench.training.fit import FitContext
from bench.training.pretraining import Pretraining

SIZE = {"width": 8, "depth": 1, "heads": 2, "predictor_depth": 1, "head_depth": 1, "action_width": 8}
#: The decoder takes more steps than there are pairs, so that what it reads of them is kept.
STEPS = {"epochs": 5, "head_steps": 20, "decoder_steps": 60, "align_epochs": 20}
SMALL = {**SIZE, **STEPS, "features": "pca+coexpression"}
#: The class that takes the steps of a stage, and the step at which it is stopped: between two checkpoints.
STAGES = {
    "pretraining": (Pretraining, 16),
    "align": (Alignment, 11),
    "action": (ActionStage, 11),
    "decoder": (DecoderStage, 31),
}


class Stopped(BaseException):
    """The process was killed."""


def fitted(tiny, split, folder, stop=None):
    """Fit the small BioJEPAC, further reduced; return its predictions, and the steps that each stage took."""
    arguments = {**choose("biojepac_small").init_args, **SMALL}
    model = registry.load("jepa")(**arguments)
    module = PerturbationDataModule(Task(tiny, split))
    taken = dict.fromkeys(STAGES, 0)
    with pytest.MonkeyPatch.context() as patch:
        for name, (cls, at) in STAGES.items():
            patch.setattr(cls, "training_step", _counted(cls.training_step, name, taken, at if name == stop else None))
        run.fit(model, module, 1, FitContext(1, folder=folder, arguments=arguments))
    with torch.no_grad():
        return [model.predict_step(batch, 0) for batch in module.predict_dataloader()], taken, model


def _counted(step, name, taken, stop):
    def counted(self, batch, batch_idx=0):
        if stop is not None and self.global_step >= stop:
            raise Stopped
        taken[name] += 1
        return step(self, batch, batch_idx)

    return counted


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
@pytest.mark.parametrize("many_val", [True, False])
def test_a_killed_fit_goes_on_in_every_stage(tiny, tiny_split, tmp_path, many_val):
    """With val conditions by which steps are chosen, and without: then the last step is kept."""
    split = tiny_split
    if many_val:
        split = tiny_split.model_copy(update={"val": tiny_split.val + tiny_split.test[:8], "test": tiny_split.test[8:]})
    whole, steps, _ = fitted(tiny, split, tmp_path / "whole")
    assert all(steps.values())
    for stage in STAGES:
        folder = tmp_path / stage
        with pytest.raises(Stopped):
            fitted(tiny, split, folder, stop=stage)
        again, left, model = fitted(tiny, split, folder)
        assert 0 < left[stage] < steps[stage]  # neither from the start nor done already
        before = list(STAGES)[: list(STAGES).index(stage)]
        assert not any(left[name] for name in before)  # what was finished is not repeated
        for one, two in zip(whole, again, strict=True):
            torch.testing.assert_close(one, two, atol=0, rtol=0)
    _, left, _ = fitted(tiny, split, folder)
    assert not any(left.values())
    assert model.fit_report.earlier_s > 0
