"""Rows of known latents: what a model is asked, that records are kept, and that what is kept is not made again."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bench.core.errors import BenchError
from bench.data.known_latents import load
from bench.results import records
from bench.runner import latents
from bench.runner.effort import Effort
from bench.runner.identify import AXES, along, identify
from bench.runner.latents import maker
from bench.tracks import registry
from bench.tracks.identifiability.score import score

TINY = "g2:cells=40,controls=60"
TRACK = registry.by_verb("identify")
EFFORT = Effort(steps=4, hidden=8, batch_size=16)


@pytest.fixture(scope="module")
def problem():
    return load(TINY, 1)


def board(tmp_path, rows, data=TINY, seeds=(1,), **options):
    return identify(TRACK, rows, data, (1, 2), seeds, EFFORT, tmp_path / "runs", tmp_path / "boards", **options)


def test_a_board_is_made_once_and_kept(tmp_path, monkeypatch):
    found = board(tmp_path, ("pca", "ica", "noise"), seeds=(1, 2))
    # Principal components depend on no training seed: one record for each screen.
    assert len(found.records) == 2 * (1 + 2 + 2)
    table = found.table().set_index("model")
    assert table.loc["pca", ["n_seeds", "n_training_seeds"]].tolist() == [2, 1]
    assert table.loc["ica", ["n_seeds", "n_training_seeds"]].tolist() == [2, 2]
    assert {record.spec.split_seed for record in found.records} == {1, 2}
    assert len({record.spec.data_hash for record in found.records}) == 1
    assert len({record.spec.split_id for record in found.records}) == 2
    for record, path in zip(found.records, found.paths):
        assert records.read(path) == record and path.parent.name == record.run_id
    files = (tmp_path / "boards" / "records" / "identifiability").iterdir()
    assert [path.name for path in files] == ["g2_cells40_controls60__cells.zip"]
    monkeypatch.setattr(registry.evaluation(TRACK), "evaluate", None)  # nothing is scored again
    assert board(tmp_path, ("pca", "ica", "noise"), seeds=(1, 2)).records == found.records


@pytest.mark.ci
@pytest.mark.parametrize("name", ["vae", "conditional_vae", "perturbed_vae", "perturbed_vae:ablation=no_sep"])
def test_trained_rows_hand_in_what_can_be_scored(problem, name):
    one = maker(TRACK, name, EFFORT)
    made = one.make(problem, 1)
    again = one.make(problem, 1)
    assert (made.latents.z == again.latents.z).all()
    assert made.latents.width <= problem.width
    found = score(problem, made.latents)
    assert np.isfinite(found["mcc_within"]) and np.isfinite(found["double_error"])
    if name.startswith("perturbed"):
        assert np.isfinite(found["shd"]) and "masks on" in made.trained.selection
        assert made.latents.effects.shape == (5, made.latents.z.shape[1])
        assert made.latents.doubles.shape == (10, made.latents.z.shape[1])
    assert made.trained.budget.parameters


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jepa", "mae", "vicreg", "random_encoder", "pca_encoder"])
def test_encoders_of_this_project_are_as_wide_as_the_truth(name):
    screen = load("g1:perturbations=6,cells=40,controls=60,d_v=4,d_i=2,genes=12", 1)
    made = maker(TRACK, name, Effort(steps=4, hidden=16, batch_size=32)).make(screen, 1)
    assert made.latents.width == 6
    assert np.isfinite(score(screen, made.latents)["mcc_within"])


@pytest.mark.slow
def test_perturbed_vae_learns_the_shifts_of_a_small_screen():
    """Enough steps on few perturbations: it must tell the perturbed block apart, whatever its axes."""
    screen = load("g1:perturbations=12,cells=120,controls=400,d_v=3,d_i=2,genes=30", 1)
    made = maker(TRACK, "perturbed_vae", Effort(steps=1500, hidden=32, batch_size=64)).make(screen, 1)
    found = score(screen, made.latents)
    assert found["r2_v"] > 0.7 and found["mcc_within"] > 0.2


def test_arguments_make_the_rows_name(problem):
    row = maker(TRACK, "perturbed_vae:ablation=no_align,alpha=0.05", Effort()).row(problem)
    assert row.variant == {"ablation": "no_align", "alpha": 0.05}
    assert row.arguments["d_v"] == 5 and row.arguments["d_i"] == 1 and row.arguments["min_steps"] == 1500
    assert maker(TRACK, "vae", EFFORT).row(problem).variant == {"steps": 4, "hidden": 8, "batch_size": 16}
    assert maker(TRACK, "pca", EFFORT).row(problem).variant == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("perturbd_vae", "perturbed_vae"),
        ("linear", "no latents of single cells"),
        ("pca:width=3", "takes no arguments"),
        ("perturbed_vae:ablation", "argument=value"),
        ("perturbed_vae:alhpa=1", "alpha"),
        ("perturbed_vae:ablation=none", "no_align"),
    ],
)
def test_rows_that_there_are_not_are_refused(problem, name, message):
    with pytest.raises(BenchError, match=message):
        maker(TRACK, name, EFFORT).row(problem)


def test_an_effort_of_nothing_is_refused():
    with pytest.raises(BenchError, match="--steps 0"):
        Effort(steps=0)
    assert latents.beside(TRACK)[0] == "true_regression"


@pytest.mark.parametrize(
    ("data", "own"),
    [("g1", {("noise", 0.0), ("perturbations", 100.0)}), ("g1:noise=1", {("noise", 1.0), ("perturbations", 100.0)})],
)
def test_curves_ask_nothing_twice(data, own):
    """A value that the screen has already is the screen itself: its board is made once, and stands on each axis."""
    made = []

    def make(name):
        made.append(name)
        return SimpleNamespace(table=lambda against: pd.DataFrame({"model": [against], "name": [name]}))

    table = along(data, make, "vae")
    assert made.count(data) == len(own) and len(made) == sum(map(len, AXES.values()))
    assert {(axis, value) for axis, value, _, name in table.to_numpy().tolist() if name == data} == own
    assert made[-1] == f"{data}{',' if ':' in data else ':'}min_hits=10,max_hits=10"
