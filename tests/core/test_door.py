"""The door for files: what is within bounds is read as its format's own library reads it, the rest is refused."""

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from bench.core.door import limits, look, watched
from bench.core.door.arrays import Pickled, read_npz
from bench.core.door.documents import parse_json, parse_yaml, read_json, read_yaml
from bench.core.door.hdf5 import check_size, open_hdf5
from bench.core.door.pickles import read_pickle
from bench.core.door.tables import read_csv, read_parquet
from bench.core.errors import BenchError, nearest, unknown
from bench.core.seeds import MOST, seeds
from bench.core.text import SCREEN, counted, escaped, json_text, listed, message

BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
CARD = "name: x\ncolumns: {condition: c, dose: null}\ncontrol: [a, 'b']\nsize: 3\nfilter: {x: 1.5, y: true}\n"


def test_plain_documents_are_those_of_the_libraries():
    assert parse_yaml(CARD) == yaml.safe_load(CARD)
    shared = "a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n"
    assert parse_yaml(shared) == yaml.safe_load(shared)
    content = {"a": [1, -2, 2**63, 1.5e-300, "\u65e5\U0001f9ec", None, True, {"b": []}]}
    assert parse_json(json.dumps(content)) == content == parse_json(json.dumps(content, ensure_ascii=False).encode())


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (BOMB, "aliases stand for"),
        ("<<: [" + ", ".join(["{a: 1}"] * 3) + "]\n" + BOMB, "aliases stand for"),
        ("[" * 70 + "]" * 70, "deep"),
        ("[" * 100_000, "deep"),
        ("a: &a [*a]", "holds itself"),
        ("a: " + "9" * 5000, "5,000 digits"),
        ("a: " + "9" * 200, "digits"),
        ("a: " + ":".join(["59"] * 2000), "digits"),
        ("a: 2020-13-45", "month"),
        ("!!python/object/apply:os.system ['true']", "constructor"),
        ('a: "\\ud800"', "half a character"),
        ("a: [", "flow"),
    ],
)
def test_yaml_out_of_bounds(text, word):
    begin = time.process_time()
    with pytest.raises(ValueError, match=word):
        parse_yaml(text)
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[" * 100_000, "deep"),
        ("[" * 70 + "]" * 70, "deep"),
        ('{"a":' * 500 + "1" + "}" * 500, "deep"),
        ("9" * 5000, "5,000 digits"),
        ("9" * 60, "60 digits"),
        ("1e999", "out of range"),
        ("NaN", "no JSON number"),
        ('["\\ud800"]', "half a character"),
        (b"\xff", "utf-8"),
        ("{", "property name"),
    ],
)
def test_json_out_of_bounds(text, word):
    with pytest.raises(ValueError, match=word):
        parse_json(text)


def test_what_is_no_file_or_too_large_is_not_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    for path, word in (("pipe", "a pipe"), (".", "a folder"), ("gone", "no such file"), ("/dev/zero", "a device")):
        for read in (read_json, read_yaml, read_npz):
            with pytest.raises(BenchError, match=word):
                read(tmp_path / path, "a test")
    (tmp_path / "large.yaml").write_text("a" * (limits.YAML_BYTES + 1))
    with pytest.raises(BenchError, match=r"large.yaml: 524.3 kB"):
        read_yaml(tmp_path / "large.yaml", "a test")
    monkeypatch.setenv(limits.GIGABYTES, "many")
    with pytest.raises(BenchError, match="BENCH_MAX_GB is 'many'"):
        limits.most_bytes()


def npy(header, data=b""):
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


@pytest.mark.parametrize(
    ("member", "word"),
    [
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9895604649984,)}", bytes(80)), "not its size"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-10,)}", bytes(80)), "below 0"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", pickle.dumps([1])), "pickled"),
        (npy("{'descr': '<U2', 'fortran_order': False, 'shape': (1,)}", b"\xff\xff\xff\x7f" * 2), "not a test"),
        (npy("(" * 400), "not a test"),
        (b"", "not a test"),
    ],
)
def test_npz_out_of_bounds(tmp_path, member, word):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", member)
    with pytest.raises(BenchError, match=word) as error:
        read_npz(tmp_path / "x.npz", "a test")
    assert isinstance(error.value, Pickled) == (word == "pickled") and str(tmp_path) in str(error.value)


def test_what_unpacks_to_far_more_is_not_unpacked_unless_that_is_allowed(tmp_path, monkeypatch):
    """Zeros pack to a thousandth; the limits are made small, so that the test is quick."""
    monkeypatch.setattr(limits, "ALWAYS_ALLOWED", 1 << 20)
    zeros = np.zeros((1 << 18, 2))
    np.savez_compressed(tmp_path / "a.npz", a=zeros)
    frame = pd.DataFrame({"gene": ["A"] * (1 << 17), "x": 1.0})
    frame.to_parquet(tmp_path / "a.parquet")
    with gzip.open(tmp_path / "a.csv.gz", "wt") as handle:
        handle.write("gene,x\n" + "A,1\n" * (1 << 19))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=zeros, compression="gzip", chunks=(1 << 12, 2))
        file.create_dataset("claims", (2**42, 4), "f8", chunks=(1024, 4))

    def hdf5(path):
        with open_hdf5(path, "a test") as file:
            check_size(file)

    reads = {"a.npz": lambda p: read_npz(p, "a test"), "a.parquet": read_parquet, "a.csv.gz": read_csv, "a.h5": hdf5}
    for name, read in reads.items():
        with pytest.raises(BenchError, match=rf"{name}.*of memory from .* set BENCH_MAX_GB=\d"):
            read(tmp_path / name)
    monkeypatch.setenv(limits.GIGABYTES, "1")
    np.testing.assert_array_equal(reads["a.npz"](tmp_path / "a.npz")["a"], zeros)
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "a.parquet"), frame)
    assert len(read_csv(tmp_path / "a.csv.gz")) == 1 << 19
    with pytest.raises(BenchError, match="'claims': it would take 140.7 TB"):
        hdf5(tmp_path / "a.h5")


HARM = {
    "a link to another file": lambda file: file.__setitem__("g/x", h5py.ExternalLink("/etc/passwd", "/x")),
    "'g/x' lie in another file": lambda file: file.create_dataset("g/x", (9,), "u1", external=[("/etc/passwd", 0, 9)]),
    "'g/x' leads back to a group that it is in": lambda file: file.__setitem__("g/x", file["g"]),
    "'g/soft' leads back": lambda file: file.__setitem__("g/soft", h5py.SoftLink("/")),
    "'g/a' is a link that leads round": lambda file: file["g"].update(a=h5py.SoftLink("/g/b"), b=h5py.SoftLink("/g/a")),
    "'x' is a link that leads round and round": lambda file: file.__setitem__("x", h5py.SoftLink("/x")),
    "deep": lambda file: file.create_group("/".join(["d"] * 80)),
    "filter scaleoffset": lambda file: file.create_dataset("g/x", data=np.arange(100), scaleoffset=0, chunks=(10,)),
}


@pytest.mark.parametrize("word", HARM)
@pytest.mark.parametrize("vouched", [False, True])
def test_hdf5_that_could_harm(tmp_path, word, vouched):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("g")
        HARM[word](file)
    with pytest.raises(BenchError, match=word):
        open_hdf5(tmp_path / "x.h5", "a test", vouched)


def test_links_inside_a_file_are_followed_and_counted(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a/x"] = np.arange(3)
        file["b"], file["c"], file["gone"] = file["a"], h5py.SoftLink("/a"), h5py.SoftLink("/nowhere")
    with open_hdf5(tmp_path / "x.h5", "a test") as file:
        assert file["c/x"][:].tolist() == file["b/x"][:].tolist() == [0, 1, 2]
    with h5py.File(tmp_path / "y.h5", "w") as file:  # 2^40 ways to the last one
        group = file.create_group("g0")
        for _ in range(40):
            below = group.create_group("l")
            group["r"] = below
            group = below
    with pytest.raises(BenchError, match="more than 200,000"):
        open_hdf5(tmp_path / "y.h5", "a test")


def test_arrays_whose_names_are_no_utf8_are_sized_as_others_are(tmp_path, monkeypatch):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["group/named"] = np.arange(300)
    path.write_bytes(path.read_bytes().replace(b"named", b"nam\xff\xfe"))
    with open_hdf5(path, "a test") as file:
        assert isinstance(file["group"].visititems(lambda _, item: item.name), bytes)
        check_size(file)
        monkeypatch.setenv(limits.GIGABYTES, "1e-6")
        with pytest.raises(BenchError, match=r"'group/nam\\xff\\xfe': it would take 2.4 kB"):
            check_size(file)


def test_a_look_that_never_ends_or_dies_is_a_refusal_and_the_next_file_is_read(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file["x"] = np.arange(3)
    open_hdf5(tmp_path / "good.h5", "a test").close()
    monkeypatch.setenv(limits.SECONDS, "0.1")
    stopped = watched._watcher._process.pid
    os.kill(stopped, 19)  # SIGSTOP: to whom waits it is a process that loops
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(4)
    with pytest.raises(BenchError, match="more than 0.1 s.*BENCH_OPEN_SECONDS=1"):
        open_hdf5(tmp_path / "other.h5", "a test")
    monkeypatch.delenv(limits.SECONDS)
    with open_hdf5(tmp_path / "other.h5", "a test") as file:
        assert file["x"][:].tolist() == [0, 1, 2, 3]
    assert watched._watcher._process.pid != stopped
    watched._watcher._process.kill()
    with h5py.File(tmp_path / "third.h5", "w") as file:
        file["x"] = np.arange(5)
    watched.check(tmp_path / "third.h5", "hdf5")


def test_a_file_is_looked_at_once_in_a_state(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(watched._watcher, "ask", lambda *what: asked.append(what))
    path = tmp_path / "x.h5"
    for size in (3, 4):
        with h5py.File(path, "w") as file:
            file["x"] = np.arange(size)
        os.utime(path, ns=(size, size))
        for _ in range(2):
            watched.check(path, "hdf5")
    assert len(asked) == 2


def test_the_process_that_looks_knows_nothing_of_bench():
    code = "import sys; sys.argv = ['look']; import runpy; runpy.run_path(sys.argv[0] + '.py', run_name='x')\n"
    code += "print([name for name in sys.modules if name.split('.')[0] in ('bench', 'torch', 'pandas', 'anndata')])"
    folder = os.path.dirname(look.__file__)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Evil:
    def __reduce__(self):
        return (os.system, ("true",))


def test_pickles_of_anything_but_containers(tmp_path):
    plain = {"A": {"x", "y"}, "B": ["z"]}
    for content, word in (({"A": Evil()}, "asks for 'posix.system'"), (plain, None)):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
        os.utime(tmp_path / "x.pkl", ns=(len(str(word)), 1))
        if word is None:
            assert read_pickle(tmp_path / "x.pkl", "a test", "") == plain
        else:
            with pytest.raises(BenchError, match=word):
                read_pickle(tmp_path / "x.pkl", "a test", "")
    (tmp_path / "y.pkl").write_bytes(b"\x80\x03Nr\xff\xff\xff\x7f.")  # its memo of two thousand million entries
    with pytest.raises(BenchError, match=r"4 GiB of memory|ends the process"):
        read_pickle(tmp_path / "y.pkl", "a test", "")


def test_seeds_that_are_too_many_or_too_long():
    assert len(seeds(f"1-{MOST}")) == MOST
    for text in ("1-20000000", f"1-{MOST + 1}", ",".join(["1-900"] * 2)):
        with pytest.raises(BenchError, match="more than 1,000 seeds"):
            seeds(text)
    with pytest.raises(BenchError, match="expected a number"):
        seeds("9" * 5000)


def test_messages_move_no_cursor_and_fit_a_screen():
    hostile = "a\x1b[31mb\u202ec\x9bd\ud800e\u2066f\x00g\rh"
    assert escaped(hostile) == "a\\x1b[31mb\\u202ec\\x9bd\\ud800e\\u2066f\\x00g\\rh"
    for name in ("na\u00efve \u65e5\u672c \U0001f9ec", "\U0001f468\u200d\U0001f469", "tab\tb"):
        assert escaped(name) == name
    assert str(BenchError(hostile)) == "a\\x1b[31mb\\u202ec\\x9bd\\ud800e\\u2066f\\x00g h"
    long = str(BenchError(f"file: {'x' * 10**6}. Do this."))
    assert len(long) <= SCREEN and long.startswith("file: xxx") and long.endswith("xx. Do this.")
    assert message(long) == long  # an error in an error is not shortened twice
    found = json_text({"a": "\u202e\x7f\U000e0001\u65e5"})
    assert json.loads(found) == {"a": "\u202e\x7f\U000e0001\u65e5"} and found.isprintable() is False
    assert "\u202e" not in found and "\u65e5" in found
    assert listed([f"g{i}" for i in range(100_000)], 3) == "g0, g1, g2, ... and 99,997 more"
    assert listed(["x" * 500]) == "x" * 80 + "..."


def test_a_misspelt_name_among_very_many_or_very_long_ones():
    begin = time.process_time()
    said = str(unknown("thing", "y" * 10**6, [f"{'y' * 50}{i}" for i in range(30_000)]))
    assert time.process_time() - begin < 5 and len(said) <= SCREEN and "... and 29,940 more" in said
    assert nearest("linaer", ["linear"]) == " Did you mean 'linear'?"


def test_what_rich_prints_is_escaped_and_keeps_its_own_styles():
    from rich.table import Table
    from rich.text import Text

    from bench.core import console

    out = io.StringIO()
    terminal = console.Console(file=out, force_terminal=True, color_system="standard", width=80)
    terminal.push_render_hook(console._Escapes())
    view = Table("name")
    view.add_row(Text("a\x1b[2Jb\u202ec", style="red"))
    terminal.print(view)
    terminal.print("plain\x07 \x1b]0;title")
    printed = out.getvalue()
    assert "\x1b[31m" in printed and "a\\x1b[2Jb\\u202ec" in printed
    assert "\x1b[2J" not in printed and "\u202e" not in printed and "\x1b]0" not in printed


@pytest.mark.parametrize("packed", [False, True])
def test_numbers_whose_exponent_ends_the_process_elsewhere(tmp_path, packed):
    """pandas' quick reader of numbers ends the process at this one."""
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    blob = b"a,b\n" + b"1.25,x\n" * 1_000_000 + b"-0.891e99903973877515601,1.5e-07\n"
    path.write_bytes(gzip.compress(blob, 1) if packed else blob)
    found = read_csv(path)
    assert (found["a"].iloc[:-1] == 1.25).all() and found["a"].iloc[-1] == -np.inf


def test_a_name_that_two_lists_hold_is_listed_once():
    assert str(unknown("row", "zzz", ["vae", "jepa", "vae"])) == "unknown row 'zzz'. Known: jepa, vae."


@pytest.mark.parametrize(
    ("n", "what", "said"), [(1, "candidate", "1 candidate"), (0, "cell", "0 cells"), (1200, "cell", "1,200 cells")]
)
def test_one_of_a_thing_is_not_several(n, what, said):
    assert counted(n, what) == said
