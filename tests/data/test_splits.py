"""What we promise of every kind of split, and the kinds of our own."""

from pathlib import Path

import gears_lists
import numpy as np
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
from bench.data.splits import kinds as split_kinds
from bench.data.splits.kinds import Drawn, SplitKind, kind_of, kinds
from bench.data.splits.split import draw, merge_parts
from bench.data.task import Task
from bench.results import store
from bench.tracks import registry
from bench.tracks.response.truth import truth


def test_subgroups_are_those_of_the_final_train_set(tiny):
    split = draw(tiny, "simulation", 1)
    singles = {constituents(name)[0] for name in split.train if len(constituents(name)) == 1}
    for group, names in split.subgroups.items():
        for name in names:
            genes = constituents(name)
            seen = sum(gene in singles for gene in genes)
            assert group == ("unseen_single" if len(genes) == 1 else f"combo_seen{seen}")
    assert sorted(n for names in split.subgroups.values() for n in names) == sorted(split.test)


def test_parts_are_disjoint_and_split_id_names_the_lists(tiny):
    one = draw(tiny, "simulation", 1)
    parts = [set(one.train), set(one.val), set(one.test), set(one.unused)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(tiny.conditions) - 1
    assert draw(tiny, "simulation", 1).split_id == one.split_id
    others = [draw(tiny, "simulation", 2), draw(tiny, "simulation", 1, control_fold=1), draw(tiny, "single", 1)]
    assert len({one.split_id, *(s.split_id for s in others)}) == 4


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
    folder = Path(__file__).resolve().parents[2] / "leaderboards"
    boards = store.boards(folder, registry.by_verb("run"), dataset)
    specs = [record.spec for board in boards for record in board.records.values()]
    return {(spec.split, spec.split_seed, spec.control_fold): spec.split_id for spec in specs}


@pytest.mark.parametrize("name", ["simulated", "norman_slice"])
def test_split_ids_of_published_records_still_come_out(name, request):
    """Kinds are drawn as they were: the ids are those that committed records carry."""
    dataset = load(find_card(name)) if name == "simulated" else request.getfixturevalue("norman")
    ids = published(name)
    assert {("simulation", seed, fold) for seed in (1, 2, 3) for fold in (0, 1)} <= set(ids)
    assert ("doubles", 1, 0) in ids
    for (kind, seed, fold), split_id in ids.items():
        assert draw(dataset, kind_of(kind), seed, fold).split_id == split_id, (kind, seed, fold)


def test_every_kind_is_found_by_its_file():
    assert set(kinds()) == {
        *gears_lists.KINDS, "doubles", "custom", "unseen_context", "few_shot_context", "double_holdout",
    }  # fmt: skip
    assert all(kind.name == name for name, kind in kinds().items())


@pytest.fixture
def by_context(monkeypatch):
    """A kind whose parts are units: all conditions of the first line are learned from, two of the second are tested."""

    def parts(dataset, seed, file):
        seen = [unit for unit in dataset.units_of(dataset.conditions) if unit.context == "line0"]
        test = [Unit("G01+G00", "line1"), Unit("G03+ctrl", "line1")]  # a spelling that the data do not use
        return Drawn({"train": [u for u in seen if u.perturbation != CONTROL], "val": [], "test": test})

    found = {**kinds(), "by_context": SplitKind("by_context", parts)}
    monkeypatch.setattr(split_kinds, "kinds", lambda: found)
    return screens.tiny_screen(contexts=2)


def test_a_kind_may_split_contexts(by_context):
    data = by_context
    task = Task(data, draw(data, "by_context"))
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
    task = Task(data, draw(data, "by_context"))
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
    monkeypatch.setattr(split_kinds, "kinds", lambda: {"k": SplitKind("k", lambda *_: Drawn(twice))})
    with pytest.raises(BenchError, match=r"'G00\+ctrl \| line1' is both in 'train' and in 'test'"):
        draw(by_context, "k")


def test_unknown_kind_suggests_the_nearest(tiny):
    with pytest.raises(BenchError, match="Did you mean 'simulation'"):
        draw(tiny, "simulations", 1)
