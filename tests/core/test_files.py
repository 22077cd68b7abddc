"""Files are written whole or not at all, and hashes tell contents apart."""

import json
import os
import re
import stat

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.core.files import (
    atomic,
    cache_dir,
    canonical_json,
    file_part,
    sha256_arrays,
    sha256_file,
    sha256_json,
    write_json,
    write_text,
)


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, stop):
    def write_half(path):
        with atomic(path) as temporary:
            temporary.write_text("ne")
            raise stop

    path = tmp_path / "record.json"
    write_text(path, "old")
    with pytest.raises(stop):
        write_half(path)
    assert path.read_text() == "old"
    with pytest.raises(stop):
        write_half(tmp_path / "fresh.json")
    assert os.listdir(tmp_path) == ["record.json"]


def test_a_write_replaces_the_file_and_makes_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    for text in ("one\n", "zwei ü\n"):
        write_text(path, text)
        assert path.read_bytes() == text.encode()
    assert os.listdir(path.parent) == ["c.txt"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_a_long_name_can_be_written(tmp_path):
    write_text(tmp_path / ("x" * 250), "y")
    assert len(os.listdir(tmp_path)) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": -float("inf")}]])
def test_json_refuses_what_is_no_number(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(value)
    write_json(tmp_path / "x.json", {"old": None})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": None}


def test_json_hashes_ignore_the_order_of_keys_only():
    assert canonical_json({"b": 1, "a": [1.5, None]}) == '{"a":[1.5,null],"b":1}'
    assert sha256_json({"b": 1, "a": 2}) == sha256_json({"a": 2, "b": 1})
    assert sha256_json([1, 2]) != sha256_json([2, 1])


def test_a_folder_that_cannot_be_written_is_the_users_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BenchError, match=r"cannot write .*file/runs/x\.json.*--out"):
        write_text(tmp_path / "file" / "runs" / "x.json", "y")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_the_users_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(BenchError, match="cannot write"):
            write_text(tmp_path / "x", "y")
    finally:
        tmp_path.chmod(0o700)


DIFFERENT = [
    [np.array(["a", "bc"])],
    [np.array(["ab", "c"])],
    [np.array(["a", "b", "c"])],
    [np.array(["a"]), np.array(["bc"])],
    [np.array([["a", "bc"]])],
    [np.array([1, 2])],
    [np.array([1, 2], dtype=np.int32)],
    [np.array([1.0, 2.0])],
    [np.array([[1, 2]])],
    [np.array([1]), np.array([2])],
    [np.array([1, 2]), np.array([], dtype=int)],
    [np.array(["1", "2"])],
    [],
]


def test_no_two_lists_of_arrays_collide():
    assert len({sha256_arrays(*arrays) for arrays in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.array(["a", "bc"], dtype="U2"), np.array(["a", "bc"], dtype="U30")),
        (np.array(["a", "bc"]), np.array(["a", "bc"], dtype=object)),
        (np.arange(6), np.arange(12)[::2] // 2),
        (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3))),
        (np.array([1, 2], dtype="<i4"), np.array([1, 2], dtype=">i4")),
    ],
    ids=["padded width", "objects", "strides", "memory order", "byte order"],
)
def test_a_hash_is_of_values_not_of_memory(one, other):
    assert sha256_arrays(one) == sha256_arrays(other)


def test_a_files_hash_is_that_of_its_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.delenv("BENCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "perturb-ssl-bench"
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"


def test_a_cell_type_is_a_part_of_a_file_name_and_no_path():
    assert file_part("K562") == "K562"
    names = ["CD4 T cells", "CD4_T_cells", "../../x", "a/b", "a\\b", "Ü", "", "x" * 200, "."]
    parts = [file_part(name) for name in names]
    assert len(set(parts)) == len(names)
    for part in parts:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", part), part
