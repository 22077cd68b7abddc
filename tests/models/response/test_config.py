"""Settings of the second stage that do not go together."""

import pytest

from bench.models import registry


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"residual": "mean"}, "residual is 'mean'; expected one of train_mean, additive, none"),
        ({"latent_target": "cells"}, "latent_target is 'cells'; expected one of genes, own"),
        ({"predictor": "mlp"}, "predictor is 'mlp'; expected one of film, fixed, report"),
        ({"head_steps": -1}, "head_steps is -1; expected an integer of at least 0"),
        ({"head_seeds": 0}, "head_seeds is 0; expected an integer of at least 1"),
        ({"head_learning_rate": -1.0}, "head_learning_rate is -1; expected"),
    ],
)
def test_settings_that_do_not_go_together(wrong, words):
    with pytest.raises(ValueError, match=words):
        registry.load("constant_encoder")(**wrong)
