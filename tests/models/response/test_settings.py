"""Settings of the second stage that do not go together."""

import pytest

from bench.models import registry


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"residual": "mean"}, "residual: expected one of train_mean, additive, none"),
        ({"latent_target": "cells"}, "latent_target: expected one of genes, own"),
        ({"predictor": "mlp"}, "predictor: expected one of film, fixed, report"),
        ({"head_steps": -1}, "head_steps"),
        ({"head_seeds": 0}, "head_seeds at least 1"),
        ({"head_learning_rate": -1.0}, "head_learning_rate"),
    ],
)
def test_settings_that_do_not_go_together(wrong, words):
    with pytest.raises(ValueError, match=words):
        registry.load("constant_encoder")(**wrong)
