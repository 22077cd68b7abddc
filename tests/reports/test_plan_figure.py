"""The picture of a plan: names cover no other name and no point that is named, however near candidates are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from bench.reports.figures import plan as picture
from bench.reports.figures.labels import place, size_of, tie
from bench.reports.figures.style import render


def drawn(*best, others=()):
    """Start, goal, the best candidates and others, where they are told to be."""
    rows = [(0.0, 0.0, "start", "start"), (1.0, 0.0, "goal", "goal")]
    rows += [(*at, "best", f"GENE{i}+OTHER{i}") for i, at in enumerate(best)]
    rows += [(*at, "other", "") for at in others]
    return pd.DataFrame(rows, columns=["x", "y", "kind", "name"])


def boxes(names):
    """Left, right, low and high end of each name, in units of the axes."""
    x, y, w, h = (names[column].to_numpy() for column in ("label_x", "label_y", "width", "height"))
    return np.stack([x - w / 2, x + w / 2, y - h / 2, y + h / 2], axis=1)


def cover(a, b):
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


CLOSE = {
    "two that are close": [(0.5, 0.3), (0.503, 0.302)],
    "two in one place": [(0.5, 0.3), (0.5, 0.3)],
    "five in one place": [(0.5, 0.3)] * 5,
    "at the goal": [(1.0, 0.0), (0.99, 0.01), (0.98, 0.0)],
    "at the start": [(0.0, 0.0), (0.01, 0.0), (-0.2, 0.5)],
    "one on the way": [(0.4, 0.0)],
}


@pytest.mark.parametrize("best", CLOSE.values(), ids=CLOSE)
def test_names_of_close_candidates_lie_apart(best):
    table = drawn(*best, others=np.random.default_rng(0).normal((0.4, 0.2), 0.05, (200, 2)))
    names = picture.labels(table)
    assert names["name"].tolist() == ["start", "goal", *(f"GENE{i}+OTHER{i}" for i in range(len(best)))]
    ends = boxes(names)
    assert not [pair for pair in combinations(range(len(ends)), 2) if cover(ends[pair[0]], ends[pair[1]])]
    across, up = picture.bounds(table)
    assert (ends[:, 0] >= across[0]).all() and (ends[:, 1] <= across[1]).all()
    assert (ends[:, 2] >= up[0]).all() and (ends[:, 3] <= up[1]).all()
    inside = [cover(box, (x, x, y, y)) for box in ends for x, y in names[["x", "y"]].to_numpy()]
    assert not any(inside)


def test_names_side_by_side_as_they_were_would_cover_each_other():
    """What the picture did before: every name to the upper right of its point."""
    names = picture.labels(drawn(*CLOSE["two that are close"]))
    beside = names.assign(label_x=names["x"] + names["width"] / 2, label_y=names["y"] + names["height"])
    assert cover(*boxes(beside)[2:])


def test_a_name_alone_is_beside_its_point_and_one_far_off_is_tied_to_it():
    size = np.array([size_of("KLF1", 12)])
    point, nothing = np.array([[100.0, 100.0]]), np.zeros((0, 2))
    (centre,) = place(point, size, point, 6.0, (200, 200), nothing)
    gap = np.maximum(np.abs(centre - point[0]) - size[0] / 2, 0)
    assert 6 <= gap.max() <= 11
    assert np.allclose(tie(point, centre[None], size)[0], point[0] + np.sign(centre - point[0]) * gap)
    crowded = picture.labels(drawn(*CLOSE["five in one place"]))
    moved = (crowded[["tie_x", "tie_y"]].to_numpy() != crowded[["x", "y"]].to_numpy()).any(axis=1)
    assert 1 <= moved.sum() < len(moved)


def test_names_have_doses_and_are_cut_where_they_are_long():
    ranked = pd.DataFrame({"perturbation": ["JQ1", "JQ1", "x" * 90], "dose": ["1 uM", "10 uM", None]})
    table = picture.table(np.zeros(3), np.ones(3), np.eye(3), np.zeros((0, 3)), ranked)
    names = picture.labels(table)["name"].tolist()
    assert names[2:4] == ["JQ1 1 uM", "JQ1 10 uM"] and len(names[4]) == picture.LONGEST
    svg = render(picture.chart(table), ["svg"])["svg"].decode()
    assert all(name in svg for name in names)
    # A point's place along the way is no column of the table: its 'share' counts what is beside the way too.
    assert "along the way: start 0, goal 1" in svg and "share" not in svg
