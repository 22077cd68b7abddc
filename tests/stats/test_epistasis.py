"""What noise of the singles does to the measure of interactions, against its value by hand."""

import numpy as np
import pytest

from bench.stats.epistasis import agreement, unshared_agreement


@pytest.mark.parametrize("noise", [0.3, 0.1, 0.03])
@pytest.mark.parametrize(("carried", "expected"), [(0.0, 0.0), (0.2, -0.1), (1.0, -1 / np.sqrt(2.5))])
def test_a_model_that_carries_the_noise_of_singles_is_pulled_below_zero(carried, expected, noise):
    """On additive data the truth keeps ``double - half 0``, and a model that learned the sum ``(half 0 - half 1) / 2``.

    With noise variances v/2 of the double and 2v of either half the correlation is -v / sqrt(2.5 v * v), whatever v is:
    more cells do not help. Noise that the model does not carry leaves 0.
    """
    rng = np.random.default_rng(0)
    doubles, genes = 200, 400
    additive, common = rng.normal(0, 1, (doubles, genes)), rng.normal(0, 1, (1, genes)).repeat(doubles, axis=0)
    halves = rng.normal(0, noise * np.sqrt(2), (2, doubles, genes))
    double = additive + rng.normal(0, noise / np.sqrt(2), (doubles, genes))
    predicted = additive + carried * halves.mean(axis=0) + rng.normal(0, 1e-6, (doubles, genes))
    singles = additive + halves
    every = np.ones((doubles, genes), dtype=bool)
    values = agreement((double, singles, common), (predicted, singles, common), every)
    assert values.mean() == pytest.approx(expected, abs=0.08)


@pytest.fixture(scope="module")
def screen():
    """200 doubles of 400 genes, additive shifts of size 1; singles measured in train cells and in kept cells.

    Nine tenths of the cells are train cells, so that the noise of a kept mean has nine times the variance.
    """
    rng = np.random.default_rng(1)
    shape, train_sd = (200, 400), 0.2
    additive = rng.normal(0, 1, shape)
    return {
        "additive": additive,
        "interaction": rng.normal(0, 0.5, shape),
        "common": rng.normal(0, 1, (1, shape[1])).repeat(shape[0], axis=0),
        "train noise": rng.normal(0, train_sd, shape),
        "kept": additive + rng.normal(0, 3 * train_sd, shape),
        "double noise": rng.normal(0, train_sd, shape),
        "every": np.ones(shape, dtype=bool),
    }


def kept_form(s, double, predicted):
    singles = np.stack([s["kept"], s["additive"] + s["train noise"]])
    return unshared_agreement((double, singles, s["common"]), (predicted, singles[1], s["common"]), s["every"]).mean()


def test_what_blind_answers_get_for_noise_of_shared_singles_and_of_singles_of_the_truths_own(screen):
    """On additive data. With one additive shift S = A + n taken from both, ``d - S`` and ``0 - S`` share n: nothing has
    ``(var n) / sqrt((var n + var d) (var A + var n))``, here 0.04 / sqrt(.08 x 1.04) = .139, and half the additive
    shift .04 x .5 / sqrt(.08 x .26) = .139; a model that carries half of the noise of the train singles is pulled below
    0 where half of them measure the truth. With singles of the truth's own, all of it is 0.
    """
    s = screen
    double, measured = s["additive"] + s["double noise"], s["additive"] + s["train noise"]
    rng = np.random.default_rng(2)

    def shared(predicted):
        left, claimed = double - measured, predicted - measured
        return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(left, claimed, strict=True)])

    answers = {
        "nothing": rng.normal(0, 1e-6, double.shape),
        "half": 0.5 * measured + rng.normal(0, 1e-6, double.shape),
        "noisy": s["additive"] + 0.5 * s["train noise"] + rng.normal(0, 1e-6, double.shape),
    }
    assert shared(answers["nothing"]) == pytest.approx(0.139, abs=0.02)
    assert shared(answers["half"]) == pytest.approx(0.139, abs=0.02)
    halves = s["additive"] + s["train noise"] + np.stack([1, -1])[:, None, None] * rng.normal(0, 0.2, double.shape)
    sides = (halves, s["common"])
    assert agreement((double, *sides), (answers["noisy"], *sides), s["every"]).mean() < -0.05
    for name, predicted in answers.items():
        assert abs(kept_form(s, double, predicted)) < 0.02, name


def test_a_known_interaction_is_found_as_far_as_noise_allows(screen):
    """What is left of the truth is e, noise of the double and of the kept cells: .25 / sqrt(.25 x (.25 + .04 + .36)).

    The plain sum of the train cells claims nothing, whatever there is.
    """
    s = screen
    double, measured = s["additive"] + s["interaction"] + s["double noise"], s["additive"] + s["train noise"]
    singles = np.stack([s["kept"], measured])
    assert kept_form(s, double, measured + s["interaction"]) == pytest.approx(np.sqrt(0.25 / 0.65), abs=0.02)
    nothing = unshared_agreement((double, singles, s["common"]), (measured, measured, s["common"]), s["every"])
    assert np.isnan(nothing).all() or np.abs(np.nan_to_num(nothing)).max() < 1
