"""The gene2go file: what is read, and that nothing in a hostile one is executed."""

import collections
import json
import os
import pickle

import pytest

from bench.core.errors import BenchError
from bench.data.features.gene2go import find_gene2go, read_gene2go

TERMS = {"KLF1": {"GO:1", "GO:2"}, "SET": {"GO:2"}}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol(tmp_path, protocol):
    (tmp_path / "go.pkl").write_bytes(pickle.dumps({**TERMS, "BARE": set()}, protocol=protocol))
    assert read_gene2go(tmp_path / "go.pkl") == {gene: frozenset(terms) for gene, terms in TERMS.items()}


def test_json_and_lists(tmp_path):
    lists = {gene: sorted(terms) for gene, terms in TERMS.items()}
    (tmp_path / "go.json").write_text(json.dumps(lists))
    (tmp_path / "go.pkl").write_bytes(pickle.dumps(lists))
    assert read_gene2go(tmp_path / "go.json") == read_gene2go(tmp_path / "go.pkl")


class Hostile:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_is_refused_and_not_executed(tmp_path, protocol):
    planted, path = tmp_path / "planted", tmp_path / "go.pkl"
    path.write_bytes(pickle.dumps({"KLF1": Hostile(planted)}, protocol=protocol))
    with pytest.raises(BenchError, match=r"system'.*nothing in it was executed"):
        read_gene2go(path)
    assert not planted.exists()
    pickle.loads(path.read_bytes())  # the attack is a real one
    assert planted.exists()


def test_harmless_classes_are_refused_too(tmp_path):
    (tmp_path / "go.pkl").write_bytes(pickle.dumps(collections.OrderedDict(TERMS)))
    with pytest.raises(BenchError, match="collections.OrderedDict"):
        read_gene2go(tmp_path / "go.pkl")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html><body>Access denied</body></html>", "web page"),
        (b"  \n<html>", "web page"),
        (b"", "empty file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        (pickle.dumps(TERMS)[:-9], "not a readable gene2go file"),
        (b"KLF1\tGO:1\n", "not a readable gene2go file"),
        (pickle.dumps([("KLF1", "GO:1")]), "holds a list"),
        (pickle.dumps({1: {"GO:1"}}), "key 1 is no gene name"),
        (pickle.dumps({"KLF1": {1}}), "terms of 'KLF1'"),
        (pickle.dumps({"KLF1": "GO:1"}), "terms of 'KLF1'"),
        (pickle.dumps({"KLF1": set()}), "no gene has a GO term"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_other_files_are_refused_by_name(tmp_path, content, words):
    (tmp_path / "go.pkl").write_bytes(content)
    with pytest.raises(BenchError, match=words) as caught:
        read_gene2go(tmp_path / "go.pkl")
    assert "go.pkl" in str(caught.value)


def test_where_it_is_looked_for(tmp_path, monkeypatch):
    (tmp_path / "go.pkl").write_bytes(pickle.dumps(TERMS))
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    monkeypatch.chdir("/")
    assert find_gene2go("go.pkl", None, "mine") == tmp_path / "go.pkl"
    with pytest.raises(BenchError, match=r"'mine': no file other.pkl"):
        find_gene2go("other.pkl", None, "mine")
    with pytest.raises(BenchError, match="a folder"):
        find_gene2go(str(tmp_path), None, "mine")
