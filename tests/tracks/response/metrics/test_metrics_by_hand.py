"""Every metric on 4 conditions x 5 genes, worked out by hand.

Controls: reference c_ref = (1 2 1 2 1), input c_in = (1 2 2 2 1), all (for GEARS) = (1 2 1 2 2).

    p   d                d_hat            y                y_hat            abs z        significant  scored
    0   1 -1  2  0 -9    2 -2  4  0  5    2  1  3  2 -8    3  0  6  2  6    3 2 5 0 9    1 1 1 0 1    not gene 4
    1   3  1 -1 -3  0    1  1 -1 -1  0    4  3  0 -1  1    2  3  1  1  1    4 1 2 5 0    1 1 1 1 1    all
    2   1  0  0  0 -1    0  0  0  0  0    2  2  1  2  0    1  2  2  2  1    4 1 2 0 3    1 0 0 0 1    all
    3   0  0  0  0  0    1  0  0  0  0    1  2  1  2  1    2  2  2  2  1    0 0 0 0 0    0 0 0 0 0    all

Condition 0 has a target (gene 4), 2 is predicted to do nothing (degenerate), 3 does nothing (truth undefined for
most metrics). A metric over the top 20 or 50 needs more genes: there each gene is repeated n times in a row, so
that "top 20 of 50 genes" is "top 2 of 5".
"""

from __future__ import annotations

from math import log, nan, sqrt

import numpy as np
import pytest

from bench.tracks.response.metrics import METRICS, Evaluation, GearsTruth, evaluate, get
from bench.tracks.response.metrics.pattern import floored_control_sd

C_REF, C_IN, C_ALL = [1, 2, 1, 2, 1], [1, 2, 2, 2, 1], [1, 2, 1, 2, 2]
D = [[1, -1, 2, 0, -9], [3, 1, -1, -3, 0], [1, 0, 0, 0, -1], [0, 0, 0, 0, 0]]
D_HAT = [[2, -2, 4, 0, 5], [1, 1, -1, -1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]
Z = [[3, -2, 5, 0, -9], [4, 1, -2, -5, 0], [4, 1, -2, 0, -3], [0, 0, 0, 0, 0]]
SIGNIFICANT = [[1, 1, 1, 0, 1], [1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
SCORED = [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]
TRAIN_Y = [2, 2, 1, 2, 0]
CONTROL_SD = [1, 1, 2, 2, 0]
GEARS_TOP = [[2, 0], [3, 0], [0, 4], [1, 3]]


def hand_case(repeat: int = 1, sign: float = 1.0) -> Evaluation:
    """The table above; each gene `repeat` times, the prediction times `sign`."""

    def floats(rows: object) -> np.ndarray:
        return np.repeat(np.array(rows, dtype=float), repeat, axis=-1)

    def bools(rows: object) -> np.ndarray:
        return np.repeat(np.array(rows, dtype=bool), repeat, axis=-1)

    d, d_hat, scored = floats(D), sign * floats(D_HAT), bools(SCORED)
    return Evaluation(
        y=floats(C_REF) + d,
        y_hat=floats(C_IN) + d_hat,
        d=d,
        d_hat=d_hat,
        scored=scored,
        gallery_scored=scored.all(axis=0),
        train_delta=np.zeros(5 * repeat),
        control_sd=floats(CONTROL_SD),
        expressed=np.ones(5 * repeat, dtype=bool),
        de_z=floats(Z),
        significant=bools(SIGNIFICANT),
        train_y=floats(TRAIN_Y),
        gears=GearsTruth(y=floats(C_REF) + d, control=floats(C_ALL), de_genes=np.array(GEARS_TOP) * repeat),
    )


def gallery_case() -> Evaluation:
    """Five conditions, for the identity metrics. Gene 2 is the target of condition 0, so nobody's identity uses it.

    Centred on m = (1 0), over genes 0 and 1:

        p   d_p - m     d_hat_p - m      d_p      d_hat_p
        0    1  0        2  0            2  0      3  0
        1    0  1        1  0            1  1      2  0
        2   -1  0        0  0            0  0      1  0
        3    0 -1        0 -3            1 -1      1 -3
        4    1  1       -1 -1            2  1      0 -1
    """
    d = np.array([[2, 0, 9], [1, 1, -9], [0, 0, 9], [1, -1, -9], [2, 1, 9]], dtype=float)
    d_hat = np.array([[3, 0, 5], [2, 0, 5], [1, 0, 5], [1, -3, 5], [0, -1, 5]], dtype=float)
    scored = np.ones((5, 3), dtype=bool)
    scored[0, 2] = False
    return Evaluation(
        y=d + 1, y_hat=d_hat + 1, d=d, d_hat=d_hat, scored=scored, gallery_scored=np.array([True, True, False]),
        train_delta=np.array([1.0, 0.0, 7.0]), control_sd=np.ones(3), expressed=np.ones(3, dtype=bool),
        de_z=d, significant=np.zeros((5, 3), dtype=bool), train_y=np.zeros(3),
    )  # fmt: skip


# name: (repeat, value per condition)
HAND: dict[str, tuple[int, list[float]]] = {
    # 0: d_hat = 2 d. 1: both means 0, <d_hat,d> = 3+1+1+3 = 8, norms^2 4 and 20. 2: chance. 3: constant truth.
    "pearson_delta": (1, [1.0, 8 / sqrt(80), 0.0, nan]),
    # Top 2 of 5. 0: genes 2, 0: (4 2) with (2 1). 1: genes 3, 0: (-1 1) with (-3 3).
    "pearson_delta@20": (10, [1.0, 1.0, 0.0, nan]),
    # s = (1 1 2 2 .4): 10% quantile of 0 1 1 2 2 is .4. 0: (2 -2 2 0) with (1 -1 1 0).
    # 1: d/s = (3 1 -.5 -1.5 0), mean .4; d_hat/s = (1 1 -.5 -.5 0), mean .2; centred (2.6 .6 -.9 -1.9 -.4) and
    #    (.8 .8 -.7 -.7 -.2): 2.08+.48+.63+1.33+.08 = 4.6; norms^2 11.7 and 2.3.
    "pearson_delta_z": (1, [1.0, 4.6 / sqrt(11.7 * 2.3), 0.0, nan]),
    # Four conditions are no gallery; `gallery_case` below has five.
    "discrimination": (1, [nan] * 4),
    "discrimination_raw": (1, [nan] * 4),
    # 0: d_hat = 2 d. 1: sqrt(4 / 20) = sqrt(.2). 2: no shift predicted. 3: no shift to compare with.
    "shift_ratio": (1, [-log(2), log(0.2) / 2, -log(10), nan]),
    "shift_log_ratio": (1, [log(2), log(0.2) / 2, -log(10), nan]),
    # 0: (2+2+4+0)/4 without the target. 1: 4/5. 3: 1/5.
    "shift_magnitude": (1, [2.0, 0.8, 0.0, 0.2]),
    # 0: half of d_hat fits. 1: 8/4. 2: chance.
    "calibration_slope": (1, [0.5, 2.0, 0.0, nan]),
    # 0: ranks of (2 2 4 0) = 2.5 2.5 4 1, of (3 2 5 0) = 3 2 4 1: centred product 4.5, norms^2 4.5 and 5.
    # 1: ranks of (1 1 1 1 0) = 3.5 x4, 1; of (4 1 2 5 0) = 4 2 3 5 1: .5-.5+0+1+4 = 5, norms^2 5 and 10.
    "spearman_de": (1, [4.5 / sqrt(22.5), 5 / sqrt(50), 0.0, nan]),
    # z as it is. 0: signed ranks 2.5 -2.5 4 1*0 (gene 3 is unmoved) with (3 -2 5 0): means 1 and 1.5, centred
    #    (1.5 -3.5 3 -1) and (1.5 -3.5 3.5 -1.5): 2.25+12.25+10.5+1.5 = 26.5; norms^2 24.5 and 29.
    # 1: 3.5 3.5 -3.5 -3.5 0 with (4 1 -2 -5 0): means 0 and -.4: 14+3.5+7+17.5 = 42; norms^2 49 and 46 - .8 = 45.2.
    "signed_rank_z": (1, [26.5 / sqrt(24.5 * 29), 42 / sqrt(49 * 45.2), 0.0, nan]),
    # Ten times each gene, so that the top 50 is everything but for condition 0, which has 40 genes. Hits: 1: genes 0 to
    # 3 are called in the right direction, and lead: 40 hits at the first 40 places, each of precision 1. 2: chance, 25
    # hits in random order: 1/50 sum over n of (1/2 + (n - 1) 24/98) / n. 3: a z of 0 has no sign.
    "signed_ap@50": (10, [nan, 40 / 50, sum((0.5 + (n - 1) * 24 / 98) / n for n in range(1, 51)) / 50, 0.0]),
    # Top 2 of 5. 0: gene 2, then 0 and 1 share a place; truth 2, 0: (1 + .5)/2. 1: genes 0-3 share two places,
    # truth 3, 0: (.5 + .5)/2. 2: chance 2/5. 3: the truth shares two places among five (.4 each): .4 x 2 / 2.
    "de_recall@20": (10, [0.75, 0.5, 0.4, 0.4]),
    "de_recall@50": (25, [0.75, 0.5, 0.4, 0.4]),
    # 20 significant genes are 4 of 5 x 5: only condition 1 has them (5). Top 4 of 5: 0-3 by size, truth without gene 4.
    "de_recall_sig@20": (5, [nan, 1.0, nan, nan]),
    # 50 of 5 x 11: only condition 1 again. Gene 4 (11 genes) fills up the 44: 6/11 of a place each; the truth has 44
    # of genes 0-3 and 6/11 of each of gene 4: (44 + 11 x (6/11)^2) / 50.
    "de_recall_sig@50": (11, [nan, (44 + 11 * (6 / 11) ** 2) / 50, nan, nan]),
    # Five times each gene. 0: gene 2 (of 5) alone at 4: P 1, R 1/3; then genes 0 and 1 at once: P 1, all of it. 1: all
    # five are relevant: 1. 2: chance, two of five genes. 3: none is significant.
    "auprc_de": (5, [1.0, 1.0, 2 / 5, nan]),
    # abs z: 0: (3 2 5 0) -> w (9 4 25 0)/38, errors 1 1 9 0... 1: (4 1 2 5 0) -> (16 1 4 25 0)/46, errors 4 0 1 4 0.
    # 2: (4 1 2 0 3) -> (16 1 4 0 9)/30, errors 1 0 1 0 1. 3: constant.
    "wmse": (1, [(9 + 4 + 225) / 38, (64 + 4 + 100) / 46, 29 / 30, nan]),
    # t = (2 2 1 2 0). 0, without gene 4: y-t = (0 -1 2 0), y_hat-t = (1 -2 5 0): centred (-.25 -1.25 1.75 -.25) and
    #    (0 -3 4 -1): 3.75+7+.25 = 11; norms^2 4.75, 26. 1: (2 1 -1 -3 1), (0 1 0 -1 1): 1+3+1 - 0 = 5; norms^2 16, 2.8.
    # 2: y is t itself. 3: (-1 0 0 0 1), (0 0 1 0 1): 1; norms^2 2, 1.2.
    "pearson_delta_pert_ref": (1, [11 / sqrt(4.75 * 26), 5 / sqrt(16 * 2.8), nan, 1 / sqrt(2.4)]),
    # Worked out in test_panel_by_hand.py, each on an evaluation that has what it needs.
    **{
        name: (1, [nan] * 4)
        for name in (
            "severity_rho",
            "epistasis_r",
            "epistasis_kept_r",
            "legacy_cell_pearson_top20",
            "legacy_cell_mse",
            "legacy_r2_top50",
            "e_distance",
            "mmd",
            "nll",
            "crps",
            "coverage80",
            "coverage95",
            "error_uncertainty_rho",
        )
    },
    # Top 4 of 5; (y_hat - y)^2: 0: 1 1 9 0. 1: 4 0 1 4 without gene 4. 2: 1 0 1 . 1 without gene 3.
    # 3: 1 0 1 0 0, all five share four places.
    "top20_de_mse": (5, [11 / 4, 9 / 4, 3 / 4, 2 / 5]),
    # 0: three of three (the target is significant but not scored). 1: four right, gene 4 unmoved counts .5.
    # 2: chance. 3: nothing significant.
    "direction_accuracy": (5, [1.0, 4.5 / 5, 0.5, nan]),
    # 0: y = (2 1 3 2), SS_tot 2, SS_res 11. 1: mean 1.4, SS_tot 17.2, SS_res 9. 2: SS_tot 3.2, SS_res 3.
    # 3: SS_tot 1.2, SS_res 2.
    "r2": (1, [1 - 11 / 2, 1 - 9 / 17.2, 1 - 3 / 3.2, 1 - 2 / 1.2]),
    # 0: mean .5, SS_tot .25+2.25+2.25+.25 = 5, SS_res 1+1+4+0 = 6. 1: SS_tot 20, SS_res 4+4. 2: 2 and 2.
    "r2_delta": (1, [1 - 6 / 5, 1 - 8 / 20, 0.0, nan]),
    # All five genes. 0: 1+1+9+0+196. 1: 4+0+1+4+0. 2: 1+0+1+0+1. 3: 1+0+1+0+0.
    "gears_mse": (1, [207 / 5, 9 / 5, 3 / 5, 2 / 5]),
    # GEARS' top genes: 0: (9+1)/2. 1: (4+4)/2. 2: (1+1)/2. 3: genes 1 and 3 are right.
    "gears_mse_de": (1, [5.0, 4.0, 1.0, 0.0]),
    # 0: y centred (2 1 3 2 -8), y_hat (-.4 -3.4 2.6 -1.4 2.6): -.8-3.4+7.8-2.8-20.8 = -20; norms^2 82, 27.2.
    # 1: (2.6 1.6 -1.4 -2.4 -.4), (.4 1.4 -.6 -.6 -.6): 1.04+2.24+.84+1.44+.24 = 5.8; 17.2, 3.2.
    # 2: (.6 .6 -.4 .6 -1.4), (-.6 .4 .4 .4 -.6): -.36+.24-.16+.24+.84 = .8; 3.2, 1.2.
    # 3: (-.4 .6 -.4 .6 -.4), (.2 .2 .2 .2 -.8): -.08+.12-.08+.12+.32 = .4; 1.2, .8.
    "gears_pearson": (1, [-20 / sqrt(82 * 27.2), 5.8 / sqrt(17.2 * 3.2), 0.8 / sqrt(3.84), 0.4 / sqrt(0.96)]),
    # 0: (3 2) with (6 3). 1: (-1 4) with (1 2). 2: y_hat (1 1) and 3: y (2 2) are constant: NaN -> 0.
    "gears_pearson_de": (1, [1.0, 1.0, 0.0, 0.0]),
    # 0: y-c = (1 -1 2 0 -10), centred (2.6 .6 3.6 1.6 -8.4); y_hat-c = (2 -2 5 0 4), centred (.2 -3.8 3.2 -1.8 2.2):
    #    .52-2.28+11.52-2.88-18.48 = -11.6; norms^2 93.2, 32.8.
    # 1: (3.2 1.2 -.8 -2.8 -.8), (1 1 0 -1 -1): 3.2+1.2+2.8+.8 = 8; 20.8, 4.
    # 2: (1.2 .2 .2 .2 -1.8), (0 0 1 0 -1): .2+1.8 = 2; 4.8, 2: no_change scores, for it shares its controls.
    # 3: (.2 .2 .2 .2 -.8), (.8 -.2 .8 -.2 -1.2): .16-.04+.16-.04+.96 = 1.2; .8, 2.8.
    "gears_pearson_delta": (
        1,
        [-11.6 / sqrt(93.2 * 32.8), 8 / sqrt(20.8 * 4), 2 / sqrt(9.6), 1.2 / sqrt(0.8 * 2.8)],
    ),
    # 0: (2 1) with (5 2). 1: (-3 3) with (-1 1). 2: (1 -2) with (0 -1). 3: y-c = (0 0), constant.
    "gears_pearson_delta_de": (1, [1.0, 1.0, 1.0, 0.0]),
}


# Of one context here; see test_interaction.py.
HAND["interaction_r"] = (1, [nan] * 4)
# Without cells that are assigned to states; see test_state.py.
HAND |= {"state_r": (1, [nan] * 4), "state_change": (1, [nan] * 4)}


def test_every_metric_has_a_hand_example() -> None:
    assert set(HAND) == set(METRICS)


@pytest.mark.parametrize("name", HAND)
def test_by_hand(name: str) -> None:
    repeat, expected = HAND[name]
    result = evaluate(get(name), hand_case(repeat))
    np.testing.assert_allclose(result.values, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(result.undefined, np.isnan(expected))
    has_chance = get(name).chance is not None
    alive = ~np.isnan(expected)
    np.testing.assert_array_equal(result.degenerate, np.array([0, 0, 1, 0], dtype=bool) & has_chance & alive)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # 0: 1 against 0 -1 0 .71. 1: own cosine 0; above -1, level with 3, below 1 and .71: 1.5/4. 2: no direction.
        # 3: own 1, the others at most 0. 4: points away from itself more than from anybody.
        ("discrimination", [1.0, 1.5 / 4, 0.5, 1.0, 0.0]),
        # d_2 = 0 is a tie for everybody. 0: above .71 .71 .89. 1: own .71, level with 3, below 1 and .89.
        # 3: own 4/sqrt 20, the others .32 -.45 -.14. 4: own -.45, above -.71 only.
        ("discrimination_raw", [3.5 / 4, 1.0 / 4, 0.5, 3.5 / 4, 1.5 / 4]),
    ],
)
def test_identity_by_hand(name: str, expected: list[float]) -> None:
    result = evaluate(get(name), gallery_case())
    np.testing.assert_allclose(result.values, expected, rtol=1e-12, atol=1e-12)
    # Condition 2 is predicted exactly at m: it has no direction once centred, and one without centring.
    assert result.degenerate.tolist() == [False, False, name == "discrimination", False, False]


def test_top_metrics_are_undefined_on_five_genes() -> None:
    for name in ("pearson_delta@20", "de_recall@20", "de_recall@50", "signed_ap@50", "top20_de_mse"):
        assert evaluate(get(name), hand_case()).undefined.all()


def test_top_metrics_at_other_sizes() -> None:
    # Top 4 of 5: gene 4 drops out of condition 1, as in pearson_delta.
    np.testing.assert_allclose(
        evaluate(get("pearson_delta@20"), hand_case(5)).values, [1, 8 / sqrt(80), 0, nan], atol=1e-12
    )
    # 50 genes: condition 0 scores 40 of them, for the others the top 50 is everything.
    np.testing.assert_allclose(evaluate(get("de_recall@50"), hand_case(10)).values, [nan, 1, 1, 1], atol=1e-12)


def test_wrong_direction() -> None:
    values = evaluate(get("direction_accuracy"), hand_case(5, sign=-1.0)).values
    np.testing.assert_allclose(values, [0.0, 0.5 / 5, 0.5, nan], atol=1e-12)


def test_control_sd_floor() -> None:
    np.testing.assert_allclose(floored_control_sd(hand_case()), [1, 1, 2, 2, 0.4], atol=1e-12)
