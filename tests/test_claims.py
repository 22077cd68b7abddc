"""What the committed records say of the learned models: read from them, never typed."""

from pathlib import Path

import pytest

from bench import leaderboard
from bench.board import gather
from bench.compare import difference

ROOT = Path(__file__).resolve().parents[1]
OBJECTIVES = ("jepa", "mae", "vicreg")
CONTROLS = ("constant_encoder", "random_encoder", "pca_encoder", "identity", "supervised")


@pytest.fixture(scope="module")
def rows():
    items = leaderboard.group(leaderboard.collect([ROOT / "leaderboards"], "simulated"))["simulated", "simulation"]
    return gather(items)


@pytest.mark.parametrize("name", [*OBJECTIVES, "supervised"])
@pytest.mark.parametrize("metric", ["pearson_delta", "discrimination"])
def test_learned_models_beat_the_train_mean(rows, name, metric):
    seeds, by_label = rows
    found = difference(by_label[name], by_label["train_mean"], seeds, "all", metric)
    assert found.low > 0.1, found  # clearly: not a margin that another seed could take away


@pytest.mark.parametrize(
    ("dataset", "tracks"),
    [
        ("simulated", ("", "[residual=none]", "[latent_target=own]", "[features=from_encoder]")),
        ("norman_slice", ("", "[residual=none]")),
    ],
)
def test_objectives_stand_beside_their_controls(dataset, tracks):
    """Each with and without a residual, and where data allow, in the tracks in which the encoder matters."""
    items = leaderboard.group(leaderboard.collect([ROOT / "leaderboards"], dataset))[dataset, "simulation"]
    seeds, by_label = gather(items)
    assert seeds == [1, 2, 3]
    wanted = [f"{name}{track}" for name in (*OBJECTIVES, *CONTROLS) for track in tracks]
    for label in wanted:
        if label.startswith("constant_encoder[") and "residual" not in label:
            continue  # it has neither latents nor anything to say about a gene
        assert sorted(by_label[label].by_seed) == seeds, label
        for record in by_label[label].records:
            assert record.budget.steps, label
            assert record.budget.parameters["response"] > 0, label
            assert record.git_dirty is False, label
