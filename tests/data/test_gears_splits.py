"""Splits against cell-gears' own ``prepare_split``."""

import json
import pickle

import gears_lists
import numpy as np
import pandas as pd
import pytest
from gears_lists import KINDS as GEARS_KINDS

from bench.core.conditions import CONTROL
from bench.data.splits import gears
from bench.data.splits.split import subgroup


@pytest.fixture(scope="module")
def real_lists(real_data):
    lists = json.loads((real_data / "conditions.json").read_text())
    # a file whose doubles are not in alphabetical order
    lists["reversed"] = ["+".join(reversed(c.split("+"))) if "ctrl" not in c else c for c in lists["norman"]]
    return lists


def prepare_split(labels, kind, seed, folder):
    """cell-gears' own PertData.prepare_split on sorted rows; its constructor downloads, so it is not called."""
    from gears import PertData
    from gears.data_utils import DataSplitter

    class Table:
        obs = pd.DataFrame({"condition": np.repeat(["ctrl", *sorted(labels)], 2)}, dtype="category")

    if kind == "simulation_single":  # prepare_split unpacks two values where its splitter returns one, and raises
        splitter = DataSplitter(Table(), split_type=kind)
        obs = splitter.split_data(train_gene_set_size=0.75, combo_seen2_train_frac=0.75, seed=seed).obs
        return {part: obs.loc[obs["split"] == part, "condition"].unique().tolist() for part in ("train", "val", "test")}

    module = PertData.__new__(PertData)
    module.adata, module.dataset_name, module.dataset_path = Table(), "x", str(folder)
    module.prepare_split(split=kind, seed=seed)
    with open(next((folder / "splits").glob(f"x_{kind}_{seed}_0.75.pkl")), "rb") as handle:
        return pickle.load(handle)


@pytest.mark.slow  # importing cell-gears takes 20 seconds
@pytest.mark.parametrize("kind", GEARS_KINDS)
def test_lists_are_those_of_cell_gears(kind, real_lists, tmp_path):
    checked = 0
    for name, labels in real_lists.items():
        doubles = any("ctrl" not in label for label in labels)
        if (kind.startswith("combo") and not doubles) or (kind == "simulation_single" and doubles):
            continue
        for seed in (1, 2, 5) if len(labels) < 1000 else (1,):  # its draws take seconds on the long lists
            folder = tmp_path / f"{name}{seed}"
            folder.mkdir()
            theirs = prepare_split(labels, kind, seed, folder)
            ours = gears.draw_with_gears(labels, kind, seed)
            for part in ("train", "val", "test"):
                assert ours[part] == sorted(set(theirs.get(part, [])) - {"ctrl"}), (name, seed, part)
            checked += 1
    assert checked >= 3


@pytest.mark.slow
def test_the_frozen_lists_are_those_of_cell_gears(tmp_path):
    """What the other tests use instead of importing it; all parts, drawn by it and by us."""
    kinds = set()
    for name, labels, kind, seed, frozen in gears_lists.draws():
        folder = tmp_path / f"{name}{kind}{seed}"
        folder.mkdir()
        drawn = [label for label in labels if kind != "simulation_single" or CONTROL in label]
        theirs = prepare_split([label for label in drawn if label != CONTROL], kind, seed, folder)
        assert frozen == {part: sorted(set(theirs[part]) - {CONTROL}) for part in frozen}, (name, kind, seed)
        assert frozen == gears.draw_with_gears(labels, kind, seed)
        kinds.add(kind)
    assert kinds == {"simulation", "simulation_single", "single"}


@pytest.mark.slow
def test_drawing_leaves_numpys_global_generator_alone(real_lists):
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    gears.draw_with_gears(real_lists["adamson"], "simulation", 1)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.slow
def test_order_of_rows_does_not_matter(real_lists):
    labels = real_lists["norman"]
    shuffled = np.random.default_rng(0).permutation(labels).tolist()
    for kind in GEARS_KINDS:
        assert gears.draw_with_gears(labels, kind, 3) == gears.draw_with_gears(shuffled, kind, 3)


@pytest.mark.slow
def test_gears_calls_pairs_seen_whose_constituent_went_to_validation(real_lists):
    """The defect we avoid: on the real list some of its ``combo_seen2`` pairs lack a constituent in train."""
    from gears.data_utils import DataSplitter

    class Rows:
        obs = pd.DataFrame({"condition": ["ctrl", *sorted(real_lists["norman"])]})

    _, groups = DataSplitter(Rows(), split_type="simulation").split_data(
        train_gene_set_size=0.75, combo_seen2_train_frac=0.75, seed=1
    )
    train = gears.draw_with_gears(real_lists["norman"], "simulation", 1)["train"]
    wrong = [pair for pair in groups["test_subgroup"]["combo_seen2"] if subgroup(pair, train) != "combo_seen2"]
    assert wrong
