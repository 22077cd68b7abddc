"""Splits against cell-gears' own ``prepare_split``, and what we promise beyond it."""

import json
import pickle
from pathlib import Path

import gears_lists
import numpy as np
import pandas as pd
import pytest
import screens
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.conditions import CONTROL, constituents, single
from bench.core.errors import BenchError
from bench.core.units import Unit
from bench.data.cards import find_card
from bench.data.datamodule import PerturbationDataModule
from bench.data.load import load
from bench.data.splits import gears
from bench.data.splits import split as splits
from bench.data.splits.custom import read_custom
from bench.data.splits.kinds import Drawn, SplitKind, kinds
from bench.data.splits.split import draw, merge_parts, subgroup
from bench.data.task import Task
from bench.tracks.response.truth import truth

GEARS_KINDS = ("simulation", "simulation_single", "combo_seen0", "combo_seen1", "combo_seen2", "single")


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


def test_subgroups_are_those_of_the_final_train_set(tiny):
    split = draw(tiny, "simulation", 1)
    singles = {constituents(name)[0] for name in split.train if len(constituents(name)) == 1}
    for group, names in split.subgroups.items():
        for name in names:
            genes = constituents(name)
            seen = sum(gene in singles for gene in genes)
            assert group == ("unseen_single" if len(genes) == 1 else f"combo_seen{seen}")
    assert sorted(n for names in split.subgroups.values() for n in names) == sorted(split.test)


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


def test_parts_are_disjoint_and_split_id_names_the_lists(tiny):
    one = draw(tiny, "simulation", 1)
    parts = [set(one.train), set(one.val), set(one.test), set(one.unused)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(tiny.conditions) - 1
    assert draw(tiny, "simulation", 1).split_id == one.split_id
    others = [draw(tiny, "simulation", 2), draw(tiny, "simulation", 1, control_fold=1), draw(tiny, "single", 1)]
    assert len({one.split_id, *(s.split_id for s in others)}) == 4


def test_control_fold_swaps_the_pools(tiny):
    a, b = draw(tiny, "simulation", 1, 0), draw(tiny, "simulation", 1, 1)
    assert a.input_controls == b.reference_controls
    assert a.reference_controls == b.input_controls


def test_spellings_in_different_parts_go_to_test_before_val_before_train():
    names = {"A+B": "A+B", "B+A": "A+B", "C+D": "C+D", "D+C": "C+D", "E+F": "E+F", "F+E": "E+F"}
    lists = {"train": ["A+B", "C+D", "E+F", "F+E"], "val": ["D+C"], "test": ["B+A"]}
    parts, moved = merge_parts(lists, names)
    assert parts == {"train": ["E+F"], "val": ["C+D"], "test": ["A+B"]}
    assert moved == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda p: p[0] != p[1]), min_size=1, max_size=20),
    st.randoms(use_true_random=False),
)
def test_no_identity_ends_in_two_parts(pairs, random):
    labels = sorted({f"G{a}+G{b}" for a, b in pairs})
    from bench.core.conditions import identity, merge_spellings

    lists = {"train": [], "val": [], "test": []}
    for label in labels:
        lists[random.choice(["train", "val", "test"])].append(label)
    parts, _ = merge_parts(lists, merge_spellings(labels))
    everything = [identity(n) for part in parts.values() for n in part]
    assert len(everything) == len(set(everything))
    assert set(everything) == {identity(label) for label in labels}
    for label in lists["test"]:
        assert identity(label) in {identity(n) for n in parts["test"]}


def test_simulation_single_leaves_doubles_unused(tiny):
    split = draw(tiny, "simulation_single", 1)
    assert all(len(constituents(n)) == 1 for n in (*split.train, *split.val, *split.test))
    assert {n for n in tiny.conditions if len(constituents(n)) == 2} <= set(split.unused)


def test_combo_split_without_doubles_is_an_error():
    counts, obs = screens.tiny_counts()
    keep = np.flatnonzero([len(constituents(c)) < 2 for c in obs["condition"]])
    data = screens.screen(counts[keep], obs.iloc[keep])
    with pytest.raises(BenchError, match="needs combinations"):
        draw(data, "combo_seen0", 1)


def relabelled(labels: dict[str, str]):
    """The tiny screen with some conditions named otherwise."""
    counts, obs = screens.tiny_counts()
    return screens.screen(counts, obs.assign(condition=obs["condition"].map(lambda c: labels.get(c, c))))


def test_doubles_learns_singles_and_tests_pairs_of_them(tiny):
    split = draw(tiny, "doubles", 1)
    assert set(split.train) == {single(g) for g in screens.SINGLES}
    assert set(split.test) == {f"{screens.SINGLES[a]}+{screens.SINGLES[b]}" for a, b in screens.DOUBLES}
    assert (split.val, split.unused, list(split.subgroups)) == ((), (), ["combo_seen2"])
    assert not any("left out" in note for note in split.notes)
    other = draw(tiny, "doubles", 2)  # the seed draws control pools, nothing else
    assert (other.train, other.test) == (split.train, split.test)
    assert other.input_controls != split.input_controls and other.split_id != split.split_id


def test_doubles_leaves_out_and_counts_what_has_no_single():
    # G00 has no single of its own; one double gains a third gene
    data = relabelled({"G00+ctrl": "X1+ctrl", "G10+G11": "G09+G10+G11"})
    split = draw(data, "doubles", 1)
    assert "G00+G01" not in split.test and len(split.test) == len(screens.DOUBLES) - 2
    assert set(split.unused) == {"G00+G01", "G09+G10+G11"}
    assert "1 doubles lack the single of a constituent: left out" in split.notes
    assert "1 combinations of more than two perturbations: left out" in split.notes
    assert {"X1+ctrl"} <= set(split.train)


def test_doubles_meets_both_spellings_of_a_pair():
    counts, obs = screens.tiny_counts()
    half = np.flatnonzero(obs["condition"] == "G00+G01")[::2]
    obs.loc[obs.index[half], "condition"] = "G01+G00"
    obs.loc[obs["condition"] == "G02+ctrl", "condition"] = "ctrl+G02"
    data = screens.screen(counts, obs)
    split = draw(data, "doubles", 1)
    assert [n for n in split.test if constituents(n) and set(constituents(n)) == {"G00", "G01"}] == ["G00+G01"]
    assert len(data.cells_of["G00+G01"]) == 30
    assert "ctrl+G02" in split.train and len(split.test) == len(screens.DOUBLES)
    assert not split.unused


def test_doubles_of_the_real_slice(norman):
    """Counted from the names, without our code."""
    split = draw(norman, "doubles", 1)
    pairs = [set(name.split("+")) for name in norman.conditions if "ctrl" not in name.split("+")]
    singles = {name.split("+")[0] for name in norman.conditions if name.endswith("+ctrl")}
    assert len(split.test) == sum(pair <= singles for pair in pairs) == 5
    assert f"{len(pairs) - 5} doubles lack the single of a constituent: left out" in split.notes


def test_doubles_without_any_or_without_their_singles_is_an_error():
    counts, obs = screens.tiny_counts()
    keep = np.flatnonzero([len(constituents(c)) < 2 for c in obs["condition"]])
    with pytest.raises(BenchError, match="'doubles' needs combinations of two.*'simulation'"):
        draw(screens.screen(counts[keep], obs.iloc[keep]), "doubles", 1)
    with pytest.raises(BenchError, match=r"of 10 doubles none has both \('G00\+G01' lacks 'G00\+ctrl'\)"):
        draw(relabelled({f"G{i:02d}+ctrl": f"X{i}+ctrl" for i in range(12)}), "doubles", 1)


def published(dataset):
    """(kind, seed, fold) and split_id of every committed record of a data set."""
    folder = Path(__file__).resolve().parents[2] / "leaderboards" / "records" / "response"
    specs = [
        json.loads(line)["spec"]
        for path in folder.glob(f"{dataset}__*/runs.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return {(spec["split"], spec["split_seed"], spec["control_fold"]): spec["split_id"] for spec in specs}


@pytest.mark.parametrize("name", ["simulated", "norman_slice"])
def test_split_ids_of_published_records_still_come_out(name, request):
    """Kinds are drawn as they were: the ids are those that committed records carry."""
    dataset = load(find_card(name)) if name == "simulated" else request.getfixturevalue("norman")
    ids = published(name)
    assert {("simulation", seed, fold) for seed in (1, 2, 3) for fold in (0, 1)} <= set(ids)
    assert ("doubles", 1, 0) in ids
    for (kind, seed, fold), split_id in ids.items():
        assert draw(dataset, kind, seed, fold).split_id == split_id, (kind, seed, fold)


def test_every_kind_is_found_by_its_file():
    assert set(kinds()) == {*GEARS_KINDS, "doubles", "custom"}
    assert all(kind.name == name for name, kind in kinds().items())


@pytest.fixture
def by_context(monkeypatch):
    """A kind whose parts are units: all conditions of the first line are learned from, two of the second are tested."""

    def parts(dataset, seed, file):
        seen = [unit for unit in dataset.units_of(dataset.conditions) if unit.context == "line0"]
        test = [Unit("G01+G00", "line1"), Unit("G03+ctrl", "line1")]  # a spelling that the data do not use
        return Drawn({"train": [u for u in seen if u.perturbation != CONTROL], "val": [], "test": test})

    found = {**kinds(), "by_context": SplitKind("by_context", parts)}
    monkeypatch.setattr(splits, "kinds", lambda: found)
    return screens.tiny_screen(contexts=2)


def test_a_kind_may_split_contexts(by_context):
    data = by_context
    task = Task(data, splits.draw(data, "by_context"))
    assert task.split.test == ("G00+G01", "G03+ctrl") and set(task.split.test) < set(task.split.train)
    assert task.units == (Unit("G00+G01", "line1"), Unit("G03+ctrl", "line1"))
    assert {unit.context for unit in task.units_of("train")} == {"line0"}
    context, names = data.context[task.rows("train")], data.condition[task.rows("train")]
    assert not context.any() and len(set(names.tolist())) == len(data.conditions) - 1
    np.testing.assert_array_equal(task.rows("test"), np.sort(np.concatenate([*map(data.unit_rows, task.units)])))
    without = task.split.model_copy(update={"units": None})
    assert without.split_id != task.split.split_id


def test_nothing_of_a_tested_unit_reaches_a_model(by_context):
    """Its condition is learned from in the other context."""
    data = by_context
    task = Task(data, splits.draw(data, "by_context"))
    module = PerturbationDataModule(task, seed=1)
    hidden = set(task.rows("test").tolist())
    assert not hidden & set(module.representation_rows("train").tolist())
    drawn = {int(row) for cells, _ in module.train_dataloader().sampler for row in cells}
    assert drawn == set(task.rows("train").tolist()) and not drawn & hidden
    bulk = module.pseudobulk("train")
    assert set(bulk.contexts) == {"line0"} and len(bulk.conditions) == len(data.conditions) - 1
    asked = [(int(batch.condition[0]), int(batch.context[0])) for batch in module.predict_dataloader()]
    assert asked == [(data.conditions.index(u.perturbation), 1) for u in task.units]
    assert truth.compute(task).units == task.units


def test_a_unit_in_two_parts_is_an_error(by_context, monkeypatch):
    twice = {"train": ["G00+ctrl"], "val": [], "test": [Unit("G00+ctrl", "line1"), "G01+ctrl"]}
    monkeypatch.setattr(splits, "kinds", lambda: {"k": SplitKind("k", lambda *_: Drawn(twice))})
    with pytest.raises(BenchError, match=r"'G00\+ctrl \| line1' is both in 'train' and in 'test'"):
        splits.draw(by_context, "k")


def test_unknown_kind_suggests_the_nearest(tiny):
    with pytest.raises(BenchError, match="Did you mean 'simulation'"):
        draw(tiny, "simulations", 1)


def test_custom_split_matches_conditions_as_sets(tiny, tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": ["ctrl+G00", "G01+G00"], "test": [single("G05")]}))
    split = draw(tiny, "custom", 1, custom=path)
    assert split.train == ("G00+G01", "G00+ctrl")
    assert split.test == ("G05+ctrl",)
    assert not split.val
    assert len(split.unused) == len(tiny.conditions) - 1 - 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": ["NOPE+ctrl"], "test": []}, "'NOPE.ctrl' in 'train' is not in the data"),
        ({"train": ["G00+G01"], "test": ["G01+G00"]}, "is both in"),
        ({"train": ["G00+ctrl"]}, "has no test conditions"),
        ([1], "not a custom split"),
        ({"train": "G00+ctrl"}, "expected lists of conditions"),
        ({"train": ["G00+ctrl"], "valid": ["G01+ctrl"]}, "unknown part 'valid'. Did you mean 'val'"),
        ({"train": ["G0+ctrl"]}, "Did you mean 'G.0.ctrl"),
    ],
)
def test_bad_custom_splits_name_the_culprit(content, message, tiny, tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BenchError, match=message):
        draw(tiny, "custom", 1, custom=path)


def test_custom_without_a_file(tiny, tmp_path):
    with pytest.raises(BenchError, match="--split-file"):
        draw(tiny, "custom", 1)
    with pytest.raises(BenchError, match="no such file"):
        read_custom(Path(tmp_path / "none.json"), tiny.file_conditions)


def test_a_damaged_cache_is_drawn_again(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(gears, "draw_with_gears", gears_lists.lists_of)
    first = draw(tiny, "simulation", 1)
    path = next((tmp_path / "splits").glob("*.json"))
    content = json.loads(path.read_text())
    content["lists"]["test"], content["lists"]["train"] = content["lists"]["train"], content["lists"]["test"]
    path.write_text(json.dumps(content))
    assert draw(tiny, "simulation", 1).split_id == first.split_id


def test_small_control_strata_are_pooled_and_halves_differ_by_one_at_most():
    counts, obs = screens.tiny_counts(controls=101)
    controls = np.flatnonzero(obs["condition"] == CONTROL)
    obs.loc[obs.index[controls[:5]], "batch"] = "rare"
    data = screens.screen(counts, obs)
    split = draw(data, "single", 3)
    sizes = [len(pool["line0"]) for pool in (split.input_controls, split.reference_controls)]
    assert sum(sizes) == 101
    assert abs(sizes[0] - sizes[1]) <= 1
    assert any("batches have under 20 controls" in note for note in split.notes)
    batch = np.array(data.batches)[data.batch]
    for name in ("b0", "b1"):
        halves = [
            sum(batch[data.barcode_index[b]] == name for b in pool["line0"])
            for pool in (split.input_controls, split.reference_controls)
        ]
        assert abs(halves[0] - halves[1]) <= 2  # stratified by batch


def test_a_context_without_enough_controls_borrows_those_of_all():
    counts, obs = screens.tiny_counts(contexts=2)
    drop = np.flatnonzero((obs["condition"] == CONTROL) & (obs["context"] == "line1"))[6:]
    keep = np.setdiff1d(np.arange(len(obs)), drop)
    data = screens.screen(counts[keep], obs.iloc[keep])
    split = draw(data, "single", 1)
    assert len(split.input_controls["line1"]) == len({*split.input_controls["line0"], *split.input_controls["line1"]})
    assert not set(split.input_controls["line1"]) & set(split.reference_controls["line1"])
    assert not set(split.input_controls["line1"]) & set(split.reference_controls["line0"])
