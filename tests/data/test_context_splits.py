"""Splits by context, and what any split can be asked besides: fewer labels, fewer control cells."""

from __future__ import annotations

import json

import numpy as np
import pytest
import screens

from bench.core.conditions import CONTROL, constituents
from bench.core.errors import BenchError
from bench.core.units import Unit
from bench.data.datamodule import UNLABELLED, PerturbationDataModule
from bench.data.splits import contexts as by_context
from bench.data.splits.kinds import kinds
from bench.data.splits.split import Split, draw
from bench.data.task import Task


@pytest.fixture(scope="module")
def many():
    """The tiny screen in ten lines; all lines hold all 22 conditions."""
    return screens.tiny_screen(contexts=10, cells=12, controls=40)


def units_by_part(split: Split) -> dict[str, set[Unit]]:
    assert split.units is not None
    parts = {part: set(units) for part, units in split.units.items()}
    assert not parts["train"] & parts["test"]
    assert not parts["val"] & (parts["train"] | parts["test"])
    return parts


@pytest.mark.parametrize(
    ("n", "test", "val"),
    [(2, 1, 0), (3, 1, 1), (5, 1, 1), (10, 4, 2)],
)
def test_how_many_contexts_are_held_out(n, test, val):
    drawn = by_context.draw_contexts(screens.tiny_screen(contexts=n, cells=3, controls=20), 1, "unseen_context")
    assert (len(drawn.test), len(drawn.val)) == (test, val)
    assert len({*drawn.train, *drawn.val, *drawn.test}) == n


def test_unseen_contexts_are_held_out_whole(many):
    split = draw(many, "unseen_context", 1)
    parts = units_by_part(split)
    lines = {part: {unit.context for unit in units} for part, units in parts.items()}
    assert not lines["train"] & (lines["val"] | lines["test"])
    assert not lines["val"] & lines["test"]
    assert sum(map(len, parts.values())) == 22 * 10
    assert set(split.subgroups) == lines["test"]
    assert split.subgroup_of(next(iter(parts["test"]))) in lines["test"]
    assert split != draw(many, "unseen_context", 2)
    assert split.split_id == draw(many, "unseen_context", 1).split_id
    assert any("models see their input controls" in note for note in split.notes)


def test_deep_contexts_are_tested_where_there_are_enough():
    """Of ten lines eight have 25 cells a unit and would be worth little as a test; two would not be enough."""
    counts, obs = screens.tiny_counts(contexts=10, cells=220, controls=40)
    shallow = obs["context"].isin({"line0", "line3"})
    position = obs.groupby(["condition", "context"]).cumcount()
    keep = np.flatnonzero(~shallow | (position < 25) | (obs["condition"] == CONTROL))
    dataset = screens.screen(counts[keep], obs.iloc[keep])
    tested = {name for seed in range(8) for name in by_context.draw_contexts(dataset, seed, "unseen_context").test}
    assert tested == {f"line{i}" for i in range(10)} - {"line0", "line3"}


def test_few_shots_are_nested_and_ask_the_same_half(many):
    none, two, five = (units_by_part(draw(many, f"few_shot_context:k={k}", 1)) for k in (0, 2, 5))
    unseen = units_by_part(draw(many, "unseen_context", 1))
    tested = {unit.context for unit in unseen["test"]}
    assert none["test"] == two["test"] == five["test"] < unseen["test"]
    shown = [{unit for unit in parts["train"] if unit.context in tested} for parts in (none, two, five)]
    assert not shown[0]
    assert len(shown[1]) == 2 * len(tested)
    assert shown[1] < shown[2]
    assert len({unit.perturbation for unit in shown[2]}) == 5, "the same in every context: what is asked is crossed"
    share = units_by_part(draw(many, "few_shot_context:share=0.3", 1))
    assert len({u.perturbation for u in share["train"] if u.context in tested}) == int(np.ceil(0.3 * 22))
    most = units_by_part(draw(many, "few_shot_context:k=20", 1))
    assert len({u.perturbation for u in most["test"]}) == 2


def test_double_holdout_is_new_in_both(many):
    parts = units_by_part(draw(many, "double_holdout", 1))
    seen = {gene for unit in parts["train"] for gene in constituents(unit.perturbation)}
    lines = {unit.context for unit in parts["train"]}
    assert parts["test"]
    for unit in parts["test"]:
        assert unit.context not in lines
        assert set(constituents(unit.perturbation)) - seen, unit


def test_labels_of_a_share_are_withheld_and_nested(many):
    whole, half, quarter = (
        draw(many, f"unseen_context{option}", 1) for option in ("", ":label_fraction=0.5", ":label_fraction=0.25")
    )
    learned = [units_by_part(split)["train"] for split in (whole, half, quarter)]
    assert learned[2] < learned[1] < learned[0]
    assert len(learned[1]) == len(learned[0]) // 2
    assert set(quarter.unlabelled) == learned[0] - learned[2]
    assert whole.input_cells == quarter.input_cells


def test_what_was_done_to_unlabelled_cells_is_told_nobody(tiny, tmp_path):
    path = tmp_path / "split.json"
    split = screens.hand_split(tiny)
    path.write_text(json.dumps({part: getattr(split, part) for part in ("train", "val", "test")}))
    module = PerturbationDataModule(Task(tiny, draw(tiny, "custom:label_fraction=0.4", 1, custom=path)), seed=1)
    assert len(module.split.train) == 4
    withheld = {unit.perturbation for unit in module.split.unlabelled}
    assert {*module.split.train, *withheld} == set(split.train)
    assert set(module.pseudobulk("train").conditions) == set(module.split.train)
    every = np.concatenate([batch.condition.numpy() for batch in module.cells_dataloader(1)])
    assert len(every) == len(module.representation_rows("train"))
    hidden = sum(len(tiny.cells_of[name]) for name in withheld)
    assert int((every == UNLABELLED).sum()) == hidden > 0
    told = {tiny.conditions[code] for code in np.unique(every[every != UNLABELLED])}
    assert told == {*module.split.train, CONTROL}


def test_few_control_cells_are_nested_and_of_held_out_contexts_alone(many):
    whole, ten, three = (
        draw(many, f"unseen_context{option}", 1) for option in ("", ":input_cells=10", ":input_cells=3")
    )
    tested = {unit.context for unit in units_by_part(whole)["test"]}
    for name in many.contexts:
        if name in tested:
            assert set(three.input_cells[name]) < set(ten.input_cells[name]) < set(whole.input_cells[name])
            assert three.input_controls[name] == three.input_cells[name], "models may learn from no others of it"
        else:
            assert three.input_controls[name] == whole.input_controls[name]
        assert three.reference_controls[name] == whole.reference_controls[name]
    assert len({split.split_id for split in (whole, ten, three)}) == 3


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("unseen_context", "unseen_context"),
        ("few_shot_context:k=5", "few_shot_context-k5"),
        ("few_shot_context: share=0.30", "few_shot_context-share0.3"),
        ("unseen_context:label_fraction=1", "unseen_context"),
        ("unseen_context:input_cells=3,label_fraction=.5", "unseen_context-label_fraction0.5-input_cells3"),
    ],
)
def test_names_are_of_one_spelling(kind, name, many):
    assert draw(many, kind, 1).name == name


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("unseen_contxt", "unknown split 'unseen_contxt'. Did you mean 'unseen_context'"),
        ("few_shot_context:n=3", "unknown option 'n'"),
        ("few_shot_context:k=some", "k: expected a whole number from 0"),
        ("few_shot_context:k=1.5", "k: expected a whole number"),
        ("few_shot_context:k", "k: expected a whole number"),
        ("few_shot_context:k=2,share=0.5", "k or share, not both"),
        ("few_shot_context:k=22", "hold 22 perturbations"),
        ("unseen_context:label_fraction=2", "label_fraction: expected a number from 0.01 to 1"),
        ("doubles:input_cells=3", "input_cells needs contexts that are held out"),
    ],
)
def test_what_cannot_be_asked_is_said(kind, message, many):
    with pytest.raises(BenchError) as caught:
        draw(many, kind, 1)
    assert message in str(caught.value)


def test_kinds_say_whether_contexts_are_held_out(many, tiny):
    """What is in its part in every context holds none out."""
    for name in ("unseen_context", "few_shot_context", "double_holdout", "doubles"):
        drawn = draw(tiny if name == "doubles" else many, name, 1)
        assert kinds()[name].by_context is (drawn.units is not None), name


def test_one_context_has_none_to_hold_out(tiny):
    with pytest.raises(BenchError, match="needs two contexts with 20 controls each; 'tiny' has 1 of 1"):
        draw(tiny, "unseen_context", 1)


def test_custom_splits_of_units(many, tmp_path):
    path = tmp_path / "split.json"
    lists = {"train": ["G00+ctrl", "G01+ctrl | line1"], "val": ["G01+ctrl | line2"], "test": ["ctrl+G01 | line3"]}
    path.write_text(json.dumps(lists))
    split = draw(many, "custom", 1, custom=path)
    parts = units_by_part(split)
    assert parts["train"] == {*(Unit("G00+ctrl", f"line{i}") for i in range(10)), Unit("G01+ctrl", "line1")}
    assert parts["test"] == {Unit("G01+ctrl", "line3")}
    assert split.name.startswith("custom-")
    for more, message in (
        ("G01+ctrl", "both in 'train' and in 'test'"),
        ("G01+ctrl | line9000", "is not in the data"),
        ("G00+ctrl | line4", "both in 'train' and in 'test'"),
    ):
        path.write_text(json.dumps({**lists, "test": [more]}))
        with pytest.raises(BenchError, match=message):
            draw(many, "custom", 1, custom=path)
