"""Average precision against explicit loops, against all orders of ties, and against copairs' own four calls."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from plates import small

from bench.tracks.matching.consensus import consensus
from bench.tracks.matching.pairs import LABELS, multi_label, single_label
from bench.tracks.matching.precision import cosines, expected, rank, tied_average_precision


def plain(flags):
    """Average precision of one order, by its definition."""
    hits, total = 0, 0.0
    for place, right in enumerate(flags, 1):
        if right:
            hits += 1
            total += hits / place
    return total / hits


@pytest.mark.parametrize(
    ("similarity", "right"),
    [
        ([0.9, 0.5, 0.5, 0.5, 0.1], [0, 1, 0, 1, 1]),
        ([1, 1, 1, 1], [1, 0, 0, 1]),
        ([3, 2, 2, 1, 1, 1], [1, 1, 0, 0, 1, 0]),
    ],
)
def test_ties_count_by_their_mean_over_all_orders(similarity, right):
    orders = []
    for order in itertools.permutations(range(len(right))):
        if all(similarity[a] >= similarity[b] for a, b in itertools.pairwise(order)):
            orders.append(plain([right[i] for i in order]))
    found = tied_average_precision(
        np.zeros(len(right), np.int64), np.array(similarity, np.float32), np.array(right, np.bool_)
    )
    assert found[1][0] == pytest.approx(np.mean(orders), abs=1e-12)
    assert (found[2][0], found[3][0]) == (sum(right), len(right))


def test_chance_is_the_mean_over_all_orders():
    for n_pos, total in ((1, 4), (2, 5), (3, 6), (2, 2)):
        flags = [1] * n_pos + [0] * (total - n_pos)
        mean = np.mean([plain(order) for order in itertools.permutations(flags)])
        assert expected(np.array([n_pos]), np.array([total]))[0] == pytest.approx(mean, abs=1e-12)


def test_replicability_by_an_explicit_loop():
    wells = small()
    wells = wells.take(np.flatnonzero(wells.modality == "compound"))
    meta = pd.DataFrame({"s": wells.perturbation, "p": wells.plate, "c": wells.control.astype(int)})
    paired = single_label(meta, ["s"], ["p"], ["c"], asked=np.flatnonzero(~wells.control).tolist())
    found = rank(wells.x, paired.positives, paired.negatives)
    unit = wells.x / np.linalg.norm(wells.x, axis=1, keepdims=True)
    seen = 0
    for i in range(len(wells)):
        if wells.control[i]:
            continue
        entries = []
        for j in range(len(wells)):
            if j != i and wells.perturbation[j] == wells.perturbation[i]:
                entries.append((float(unit[i] @ unit[j]), 1))
            if wells.control[j] and wells.plate[j] == wells.plate[i]:
                entries.append((float(unit[i] @ unit[j]), 0))
        entries.sort(key=lambda entry: -entry[0])
        if sum(right for _, right in entries):
            place = int(np.flatnonzero(found.query == i)[0])
            assert found.ap[place] == pytest.approx(plain([right for _, right in entries]), abs=1e-9)
            seen += 1
    assert seen == len(found.query) == 48


def test_a_constant_embedding_is_at_chance_and_not_perfect():
    wells = small()
    meta = pd.DataFrame({"s": wells.perturbation, "p": wells.plate, "c": wells.control.astype(int)})
    paired = single_label(meta, ["s"], ["p"], ["c"], asked=np.flatnonzero(~wells.control).tolist())
    for x in (np.zeros((len(wells), 3)), np.ones((len(wells), 3))):
        found = rank(x, paired.positives, paired.negatives)
        assert np.abs(found.normalised).max() < 1e-12
    from copairs.map import average_precision

    theirs = average_precision(meta, np.ones((len(wells), 3)), ["s"], [], ["p"], ["c"], progress_bar=False)
    assert (theirs.loc[theirs["c"] == 0, "average_precision"] == 1).all()  # what they would be without this


@pytest.fixture(scope="module")
def both():
    wells = small()
    compounds, guides = (
        consensus(wells.take(np.flatnonzero(wells.modality == name))) for name in ("compound", "crispr")
    )
    return wells, compounds, guides


@pytest.mark.ci
def test_the_four_calls_are_those_of_copairs(both):
    from copairs.map import average_precision, multilabel

    wells, compounds, guides = both
    wells = wells.take(np.flatnonzero(wells.modality == "compound"))
    meta = pd.DataFrame({"s": wells.perturbation, "p": wells.plate, "c": wells.control.astype(int)})
    theirs = average_precision(meta, wells.x, ["s"], [], ["p"], ["c"], progress_bar=False)
    theirs = theirs[theirs["c"] == 0]["average_precision"].to_numpy()
    paired = single_label(meta, ["s"], ["p"], ["c"], asked=np.flatnonzero(~wells.control).tolist())
    assert np.abs(rank(wells.x, paired.positives, paired.negatives).ap - theirs).max() < 1e-9

    meta = pd.DataFrame({LABELS: [list(names) for names in compounds.targets], "row": np.arange(len(compounds))})
    theirs = multilabel.average_precision(
        meta, compounds.x, [LABELS], [], [], [LABELS], LABELS, distance="abs_cosine", progress_bar=False
    )
    paired = multi_label(meta)
    ours = rank(compounds.x, paired.positives, paired.negatives, absolute=True)
    _same(ours, paired, theirs)

    meta = pd.DataFrame({"gene": [names[0] for names in guides.targets]})
    theirs = average_precision(meta, guides.x, ["gene"], [], [], ["gene"], progress_bar=False)
    paired = single_label(meta, ["gene"], [], ["gene"])
    ours = rank(guides.x, paired.positives, paired.negatives).ap
    assert np.abs(ours - theirs["average_precision"].to_numpy()).max() < 1e-9

    x = np.concatenate([compounds.x, guides.x])
    lists = [list(names) for names in (*compounds.targets, *guides.targets)]
    kinds = ["compound"] * len(compounds) + ["crispr"] * len(guides)
    meta = pd.DataFrame({LABELS: lists, "modality": kinds, "row": np.arange(len(x))})
    theirs = multilabel.average_precision(
        meta, x, [LABELS], ["modality"], [], [LABELS, "modality"], LABELS, distance="abs_cosine", progress_bar=False
    )
    paired = multi_label(meta, ["modality"], ["modality"])
    _same(rank(x, paired.positives, paired.negatives, absolute=True), paired, theirs)


def _same(ours, paired, theirs):
    frame = ours.frame(np.array([paired.labels[i] for i in ours.group], dtype=object)).set_index(["row", "label"])
    theirs = theirs.rename(columns={LABELS: "label"}).set_index(["row", "label"])
    assert len(frame) == len(theirs)
    both = frame.join(theirs, rsuffix="_theirs")
    for name in ("average_precision", "n_pos_pairs", "n_total_pairs", "normalized_average_precision"):
        assert np.abs(both[name] - both[f"{name}_theirs"].astype(float)).max() < 1e-9


def test_cosines_do_not_depend_on_the_size_of_blocks(monkeypatch):
    x = np.random.default_rng(0).normal(size=(20, 7))
    pairs = np.stack(np.triu_indices(20, 1), axis=1)
    whole = cosines(x, pairs)
    monkeypatch.setattr("bench.tracks.matching.precision._BLOCK", 30)
    assert np.array_equal(cosines(x, pairs), whole)
    a, b = x[pairs[:, 0]], x[pairs[:, 1]]
    by_hand = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    assert np.abs(whole - by_hand).max() < 1e-6
