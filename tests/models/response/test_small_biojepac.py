"""The small BioJEPAC: what cannot be learned by heart will not be learned."""

import pytest
from responses import predicted_shifts, ten_units

from bench.models import registry
from bench.runner.model_choice import choose

#: Narrower, without what describes genes of a real screen, and with the steps that learning by heart takes.
BY_HEART = {
    "width": 32,
    "depth": 1,
    "identity_dropout": 0.0,
    "align_epochs": 0,
    "head_steps": 500,
    "decoder_steps": 500,
    "head_weight_decay": 0.0,
    "features": "pca+coexpression",
}


pytestmark = pytest.mark.usefixtures("one_thread")


def left(module, **changed):
    """Share of the ten units' shifts that is left after prediction, of what they differ by."""
    model = registry.load("jepa")(**{**choose("biojepac_small").init_args, **BY_HEART, **changed})
    model.fit(module)
    bulk = module.pseudobulk("train")
    predicted = predicted_shifts(model, module, bulk.units)
    between = ((bulk.shifts - bulk.shifts.mean(axis=0)) ** 2).sum()
    return float(((predicted - bulk.shifts) ** 2).sum() / between)


@pytest.mark.slow
def test_ten_units_can_be_learned_by_heart(tmp_path):
    module = ten_units(tmp_path)
    assert left(module) < 0.2
    assert left(module, head_steps=0, decoder_steps=1) > 0.9
