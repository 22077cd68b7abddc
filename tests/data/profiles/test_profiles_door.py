"""Cards, tables and embeddings that nobody vouches for: read within bounds, or refused in one message."""

from __future__ import annotations

import gzip
import time
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from command import bench as cli
from faults.mutations import HDF5_DAMAGE, TEXT_DAMAGE, UNSEEN, mutate
from plates import frame_of, small, write_embeddings, write_experiment

from bench.core.door import limits
from bench.core.errors import BenchError
from bench.data.profiles.card import find_card
from bench.data.profiles.load import Asked, load_wells

BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))


@pytest.fixture(scope="module")
def wells():
    return small(compounds=6, guides=1, targets=3, features=6, controls=4, plates=1)


@pytest.fixture
def card(tmp_path, wells):
    path = write_experiment(tmp_path / "screen", wells)
    write_embeddings(tmp_path / "screen", wells, width=3)
    return path


EMBEDDED = Asked(features="embedding")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "aliases stand for"),
        ("source: " + "[" * 100 + "]" * 100, "deep"),
        ("source: !!python/object/apply:os.system ['true']", "constructor"),
        ("source: x\nprofiles: '../{plate}.csv'", "leads out of the experiment's folder"),
        ("source: x\nexperiment: /etc/*", "leads out of the experiment's folder"),
        ("source: x\nannotations: ['a.csv', '**/../b']", "leads out of the experiment's folder"),
        ("source: x\nembeddings: '{plate.__class__}.h5'", "is no pattern of files"),
        ("source: x\nprofiles: '{0}.csv'", "is no pattern of files"),
        ("source: x\nprofiles: '**x/{plate}.csv'", "stands for folders"),
        ("source: x\nprofiles: ''", "is no pattern of files"),
        ("1: x", "a card is a YAML mapping"),
        ("source: x\nname: ../../x", "name"),
        ("source: " + "x" * 600_000, "at most"),
    ],
)
def test_cards_that_are_refused(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    begin = time.process_time()
    with pytest.raises(BenchError, match=message) as caught:
        find_card(str(path))
    assert time.process_time() - begin < 2 and len(str(caught.value)) <= 2000


def test_parameters_of_the_generator_are_plain_values():
    for given in ("[" * 100, "*a", "!!python/name:os.system"):
        with pytest.raises(BenchError, match="parameter 'seed'|seed is"):
            load_wells(f"simulated_profiles:seed={given}")


@pytest.mark.parametrize("name", ["../../../x", "a/b", "x" * 400, ".."])
def test_plates_whose_names_lead_elsewhere(card, name):
    path = card.parent / "screen" / "benchmark" / "experiment-metadata.tsv"
    path.write_text(path.read_text().replace("P1CO1", name))
    with pytest.raises(BenchError, match="plate") as caught:
        load_wells(str(card))
    assert len(str(caught.value)) <= 2000 and not UNSEEN.search(str(caught.value))


def _external(handle, path):
    with h5py.File(path, "w") as other:
        other["x"] = np.zeros((10, 1, 3))
    del handle["embeddings"]
    handle["embeddings"] = h5py.ExternalLink(str(path), "/x")


def _put(handle, name, *what, **how):
    del handle[name]
    handle.create_dataset(name, *what, **how)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda h, p: _external(h, p), "link"),
        (lambda h, p: _put(h, "embeddings", (10, 3), "f8", external=[(str(p), 0, 240)]), "raw|other file|outside"),
        (lambda h, p: _put(h, "embeddings", (2**42, 2), "f8", chunks=(1024, 2)), "memory|allowed|claims"),
        (lambda h, p: _put(h, "embeddings", data=np.array([["a", "b"]] * 10, dtype="S1")), "expected numbers"),
        (lambda h, p: _put(h, "embeddings", data=1.0), "embeddings have shape"),
        (lambda h, p: _put(h, "embeddings", (10, 0), "f8"), "embeddings have shape"),
        (lambda h, p: _put(h, "well_position", data=np.array([b"\xff\xfe"] * 10)), "expected numbers|UTF-8"),
        (lambda h, p: h.move("embeddings", "group/x") or h.move("group", "embeddings"), "is a group"),
        *((lambda h, p, key=key: h.__delitem__(key), f"has no '{key}'") for key in ("embeddings", "broad_sample")),
    ],
)
def test_embeddings_that_are_refused(card, tmp_path, spoil, message):
    with h5py.File(tmp_path / "screen" / "P1CO1.h5", "r+") as handle:
        spoil(handle, tmp_path / "other.h5")
    with pytest.raises(BenchError, match=message) as caught:
        load_wells(str(card), EMBEDDED)
    assert "P1CO1.h5" in str(caught.value) and len(str(caught.value)) <= 2000


def test_tables_that_are_refused(tmp_path, wells, monkeypatch):
    whole = tmp_path / "t.csv"
    frame_of(wells, "P1CO1").to_csv(whole, index=False)
    assert len(load_wells(str(whole))) == 10
    for name, blob, message in (
        ("page.csv", b"<!DOCTYPE html><p>log in</p>", "a web page"),
        ("lfs.csv", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("t.parquet", b"PAR1" + b"\0" * 100, "not a readable parquet"),
        ("cut.csv.gz", gzip.compress(whole.read_bytes())[:-200], "cannot be read|not a readable"),
        ("wide.csv", b"," * 300_000 + b"\n", "columns, and at most"),
        ("folder.csv", None, "a folder"),
    ):
        path = tmp_path / name
        path.mkdir() if blob is None else path.write_bytes(blob)
        with pytest.raises(BenchError, match=message) as caught:
            load_wells(str(path))
        assert name in str(caught.value) and len(str(caught.value)) <= 2000
    bomb = tmp_path / "bomb.csv.gz"
    bomb.write_bytes(gzip.compress(whole.read_bytes() + b"\n" * 3_000_000))
    monkeypatch.setenv(limits.GIGABYTES, "0.001")
    with pytest.raises(BenchError, match=r"bomb.csv.gz: it would take"):
        load_wells(str(bomb))


def test_a_file_may_have_any_name(tmp_path, wells):
    path = tmp_path / "my plate (1).csv"
    frame_of(wells, "P1CO1").to_csv(path, index=False)
    assert load_wells(str(path)).name.startswith("my_plate")


def test_tables_with_tabs(tmp_path, wells):
    for name in ("t.tsv", "t.txt", "t.tsv.gz"):
        frame_of(wells, "P1CO1").to_csv(tmp_path / name, index=False, sep="\t")
        text = f"source: {name}\nname: t\n"
        (tmp_path / "t.yaml").write_text(text)
        assert len(load_wells(str(tmp_path / "t.yaml"))) == 10


@pytest.mark.ci
def test_hostile_labels_on_the_terminal(tmp_path, capsys, wells, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = {"BRD000": "\x1b[2Jred", "BRD001": "a\u202eb", "BRD002": "[red]x", "BRD003": "=1+1", "BRD004": "x" * 3000}
    frame = frame_of(small(compounds=6, targets=3, features=6, controls=4), "P1CO1")
    twice = pd.concat([frame, frame.assign(Metadata_Plate="\x1b[31mP2")])
    twice["Metadata_broad_sample"] = twice["Metadata_broad_sample"].replace(odd)
    twice.to_csv(tmp_path / "odd.csv", index=False)
    code, out, err = cli(capsys, "profiles", "--data", "odd.csv", "--null-size", "100", "--no-figures")
    assert code == 0, err
    for text in (out, err):
        assert not UNSEEN.search(text.replace("\n", ""))


def _said(card, asked):
    """What is said of files that are refused; empty where they are read."""
    try:
        load_wells(card, asked)
    except BenchError as error:
        return str(error)
    return ""


@pytest.mark.ci
@pytest.mark.parametrize("kind", ["card", "metadata", "table", "embedding"])
def test_mutated_files_are_read_or_refused(card, tmp_path, kind, monkeypatch):
    monkeypatch.setenv(limits.SECONDS, "0.3")
    screen = tmp_path / "screen"
    path = {
        "card": card,
        "metadata": screen / "benchmark" / "experiment-metadata.tsv",
        "table": next(screen.rglob("P1CO1_*.csv.gz")),
        "embedding": screen / "P1CO1.h5",
    }[kind]
    whole = path.read_bytes()
    plain = gzip.decompress(whole) if kind == "table" else whole
    outcomes = {"read": 0, "refused": 0}
    for seed in range(15):
        rng = np.random.default_rng([7, seed])
        blob = mutate(rng, plain, HDF5_DAMAGE if kind == "embedding" else TEXT_DAMAGE)
        path.write_bytes(gzip.compress(blob) if kind == "table" else blob)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of libraries, about what is damaged
            said = _said(str(card), EMBEDDED if kind == "embedding" else Asked())
        assert len(said) <= 2000 and not UNSEEN.search(said)
        outcomes["refused" if said else "read"] += 1
    assert outcomes["refused"] and sum(outcomes.values()) == 15
