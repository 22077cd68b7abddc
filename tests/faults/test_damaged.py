"""Damaged files: an error that names the file, never a wrong number."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from harness import collect, made, made_record, scored
from members import put

from bench.core.errors import BenchError
from bench.core.files import sha256_json, write_json
from bench.data.splits import gears
from bench.data.splits import split as splits
from bench.data.task import Task
from bench.results import everything, predictions, records, store
from bench.tracks import registry
from bench.tracks.response.truth import truth

slow = pytest.mark.slow


def damage(rng, content):
    """Flip bits, overwrite, cut, lose or repeat bytes."""
    blob, n = bytearray(content), len(content)
    where = int(rng.integers(n))
    kind = rng.choice(["bit", "byte", "bytes", "cut", "lost", "zeros", "repeated"])
    if kind == "bit":
        blob[where] ^= 1 << int(rng.integers(8))
    elif kind in ("byte", "bytes"):
        for at in rng.integers(n, size=1 if kind == "byte" else 8).tolist():
            blob[at] = int(rng.integers(256))
    elif kind == "cut":
        del blob[where:]
    elif kind == "lost":
        del blob[where : where + int(rng.integers(1, 40))]
    elif kind == "zeros":
        blob[where : where + 64] = bytes(len(blob[where : where + 64]))
    else:
        blob[where:where] = blob[where : where + 16]
    return bytes(blob)


def damaged(path, seed, n):
    """Damage a file in n ways, one after the other; at the end it is as before."""
    original, rng = path.read_bytes(), np.random.default_rng(seed)
    for _ in range(n):
        blob = damage(rng, original)
        if blob != original:
            path.write_bytes(blob)
            yield blob
    path.write_bytes(original)


def error_of(work):
    """What a use of a file says; None = it went through."""
    try:
        work()
    except BenchError as error:
        return str(error)
    return None


few_and_many = pytest.mark.parametrize("n", [6, pytest.param(300, marks=slow)])


@pytest.mark.thinned(1)
@few_and_many
@pytest.mark.parametrize("name", [None, "runs.jsonl.gz", "values.parquet", "task.parquet", "values.draws.parquet"])
def test_damaged_stores(six, tmp_path, n, name):
    """Bytes of a board's file, or of a member of it, whose checksum is made anew."""
    folder = tmp_path / "boards"
    shutil.copytree(six / "runs" / "leaderboards", folder)
    (path,) = folder.rglob("*.zip")
    whole = path.read_bytes()
    part = path if name is None else tmp_path / name
    if name is not None:
        part.write_bytes(store.members(path)[name])
    wanted = everything.check(registry.tracks(), folder)
    told = 0
    for blob in damaged(part, n, n):
        path.write_bytes(whole if name else blob)
        if name is not None:
            put(path, name, blob)
        said = error_of(lambda: everything.check(registry.tracks(), folder))
        if said:
            told += 1
            assert "\n" not in said
            assert str(path) in said or "CSV" in said, blob[:200]
            assert name is None or name in said or "CSV" in said
        else:  # bytes that mean nothing: a parquet file's own padding or offsets, the date of a gzip file
            assert everything.check(registry.tracks(), folder) == wanted
    assert told >= n // 2
    path.write_bytes(whole)
    if name is not None:
        put(path, name, None)
        said = error_of(lambda: everything.check(registry.tracks(), folder)) or ""
        # Without draws the values are not those that the record names by hash.
        assert name in said or (name == "values.draws.parquet" and "are not those of its record" in said)


@few_and_many
@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_damaged_records_of_runs(tmp_path, n, suffix):
    record, table = made("a", {"pearson_delta": 0.5})
    path = tmp_path / "run" / "record.json"
    records.write(path, record, table)

    def read():
        found = records.read(path)
        return found, records.read_table(collect_track, path, found).hash

    collect_track = registry.get("response")
    assert read() == (record, table.hash)
    for _ in damaged(path.with_suffix(suffix), n, n):
        got = []
        said = error_of(lambda got=got: got.append(read()))
        assert (said and str(path.with_suffix("")) in said) or got == [(record, table.hash)]


def test_values_of_another_run_are_not_its_own(tmp_path):
    """Whole files that do not belong together: lines of one board, values of another."""
    for name, mean in (("one", 0.5), ("two", 0.6)):
        made_record(tmp_path / name, "a", {"pearson_delta": mean})
    (here,), (other,) = ((tmp_path / name).rglob("*.zip") for name in ("one", "two"))
    put(here, "values.parquet", store.members(other)["values.parquet"])
    said = error_of(lambda: [entry.table for entry in collect(tmp_path / "one")])
    assert str(here) in said and "not those of its record" in said


def test_a_digit_of_a_record_cannot_be_changed(tmp_path):
    record, table = made("a", {"pearson_delta": 0.5})
    path = tmp_path / "run" / "record.json"
    records.write(path, record, table)
    text = path.read_text()
    for changed in (text.replace('"fit_s": 1.0', '"fit_s": 2.0'), text.replace('"split_seed": 1', '"split_seed": 2')):
        assert changed != text
        path.write_text(changed)
        with pytest.raises(BenchError, match="checksum") as error:
            records.read(path)
        assert str(path) in str(error.value)
    for other in ([], None, 3, "x", {}, {"checksum": sha256_json({})}, {**json.loads(text), "checksum": None}):
        path.write_text(json.dumps(other))
        with pytest.raises(BenchError, match="not a valid record") as error:
            records.read(path)
        assert str(path) in str(error.value)
    path.write_text("[" * 200_000)
    with pytest.raises(BenchError, match="not a valid record"):
        records.read(path)
    path.write_bytes(text.encode().replace(b"\n", b"\r\n"))  # as git checks it out on Windows
    assert records.read(path) == record


@few_and_many
@pytest.mark.parametrize("layout", ["written by bench run", "cells"])
def test_damaged_predictions(tiny, tiny_split, tmp_path, n, layout):
    facts = truth.load(Task(tiny, tiny_split))
    path = tmp_path / "p.h5ad"
    if layout == "written by bench run":
        scored("additive", tiny, tiny_split, tmp_path)
    else:
        import pandas as pd

        names = [name for name in facts.conditions for _ in range(12)]
        cells = np.random.default_rng(0).poisson(1.0, (len(names), len(facts.genes))).astype(np.float32)
        obs = pd.DataFrame({"condition": names})
        predictions.write(path, cells, obs, facts.genes, {"model": "x", "controls_used": "input"})

    def read():
        got = predictions.read(path, facts.units, facts.genes, {})
        cells = [got.cells[i] for i in range(len(got.cells))] if got.cells is not None else []
        return got.y_hat, got.fallbacks, cells, got.uns["controls_used"]

    wanted = read()
    for _ in damaged(path, n, n):
        got = []
        said = error_of(lambda got=got: got.extend(read()))
        if said:
            assert str(path) in said
        else:
            np.testing.assert_array_equal(got[0], wanted[0])
            np.testing.assert_array_equal(got[1], wanted[1])
            assert len(got[2]) == len(wanted[2]) and got[3] == wanted[3]
            for one, other in zip(got[2], wanted[2]):
                np.testing.assert_array_equal(one, other)


@few_and_many
def test_damaged_cached_splits(tiny, tmp_path, monkeypatch, n):
    lists = {"train": ["G00+ctrl", "G01+ctrl"], "val": ["G02+ctrl"], "test": ["G03+ctrl", "G00+G01"]}
    drawn = []
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(gears, "draw_with_gears", lambda *_: drawn.append(1) or lists)
    wanted = splits.draw(tiny)
    (path,) = tmp_path.rglob("splits/*.json")
    assert splits.draw(tiny) == wanted and len(drawn) == 1
    for blob in damaged(path, n, n):
        assert splits.draw(tiny).split_id == wanted.split_id
        assert path.read_bytes() != blob or len(drawn) == 1 or json.loads(blob)["lists"] == lists
    for content in ([], None, 3, "x", {}, {"hash": 1}, {"lists": 3, "hash": sha256_json(3)}):
        write_json(path, content)
        assert splits.draw(tiny).split_id == wanted.split_id
    path.write_text("[" * 200_000)
    assert splits.draw(tiny).split_id == wanted.split_id


def same_truth(a, b):
    def same(x, y):
        return np.array_equal(x, y, equal_nan=x.dtype.kind == "f")

    return all(same(*(np.asarray(getattr(t, name)) for t in (a, b))) for name in a.__dataclass_fields__)


@few_and_many
def test_damaged_cached_truths(tiny, tiny_split, tmp_path, monkeypatch, n):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    wanted = truth.load(Task(tiny, tiny_split))
    monkeypatch.setattr(truth, "compute", lambda *_: wanted)
    (path,) = tmp_path.rglob("truth/*.npz")
    for _ in damaged(path, n, n):
        assert same_truth(truth.load(Task(tiny, tiny_split)), wanted)
    with zipfile.ZipFile(path) as archive:
        starts = [info.header_offset for info in archive.infolist()]
    original = path.read_bytes()
    rng = np.random.default_rng(n)
    # The headers are where a reader that only looks at checksums at the end can be misled.
    for start in (*starts[: 2 * n], original.index(b"PK\x01\x02")):
        for at in (start + rng.integers(0, 160, 2 if n < 40 else 12)).tolist():
            blob = bytearray(original)
            blob[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(blob)
            assert same_truth(truth.load(Task(tiny, tiny_split)), wanted)
