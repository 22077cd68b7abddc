"""Splits from a file of lists, and lists that are kept in the cache."""

import json
from pathlib import Path

import gears_lists
import pytest

from bench.core.conditions import single
from bench.core.errors import BenchError
from bench.data.splits import gears
from bench.data.splits.custom import read_custom
from bench.data.splits.split import draw


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
