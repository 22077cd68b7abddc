"""Damaged and hostile files of every kind: read, or refused in one clear message; nothing else, and in time."""

import warnings

import h5py
import numpy as np
import pytest
from command import bench, furnish
from faults import mutations

from bench.core.door import limits


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv(limits.SECONDS, "0.3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about what is damaged
        yield


@pytest.mark.parametrize(("n", "seed"), [(84, 0), pytest.param(10_000, 1, marks=pytest.mark.slow)])
def test_mutated_files(tmp_path, n, seed):
    inputs = mutations.Inputs(tmp_path)
    for kind in inputs.kinds:
        inputs.undisturbed(kind)
    (tmp_path / "inputs").mkdir()
    found, wrong, slowest = mutations.outcomes(tmp_path / "inputs", n, seed, seconds=120)
    print(mutations.shown(found), "slowest", slowest)
    assert wrong == []
    assert sum(found.values()) == n
    for kind in inputs.kinds:  # the damage is neither always fatal nor always harmless
        assert found[kind, "refused"] > found[kind, "read"] * (n < 1000) / 10
    assert len({kind for (kind, what), times in found.items() if what == "read" and times}) > len(inputs.kinds) // (
        3 if n < 1000 else 2
    )


HOSTILE = ["\x1b[2J\x1b[31mG", "G\u202eevil", "[red]G", "a\nb", "G\x9b31m", "z" * 3000]


def test_hostile_names_on_the_terminal(capsys, tmp_path, monkeypatch):
    """What is printed of a file with hostile labels, genes and columns, by every verb that reads one."""
    import anndata

    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    table = anndata.read_h5ad("t.h5ad")
    odd = dict(zip(["G00", "G01", "G02", "G03", "G04", "G05"], HOSTILE))
    table.obs["condition"] = ["+".join(odd.get(p, p) for p in str(c).split("+")) for c in table.obs["condition"]]
    table.obs["context"] = "K562\x1b[5m\u2066"
    table.obs["batch\x1b[1m"] = "b"
    table.write_h5ad("h.h5ad")
    for argv in (
        ["data", "check", "h.h5ad"],
        ["data", "card", "h.h5ad"],
        ["data", "split", "h.h5ad", "--split", "doubles"],
    ):
        code, out, err = bench(capsys, *argv)
        assert code == 0, err
        for line in (out + err).split("\n"):
            assert not mutations.UNSEEN.search(line), ascii(line)
            assert len(line) <= 2000 or argv[0] != "check"
    code, out, err = bench(capsys, "data", "check", "no\x1b[31m\u202e.h5ad")
    assert (code, out) == (2, "") and "\\x1b[31m\\u202e" in err and "\x1b" not in err


@pytest.mark.ci
def test_a_heap_that_steps_on_by_nothing(tmp_path, capsys):
    """Bytes of a heap of texts set to zero: of these, HDF5 has looped for ever."""
    furnish(tmp_path)
    blob = (tmp_path / "t.h5ad").read_bytes()
    heaps = [i for i in range(len(blob)) if blob.startswith((b"GCOL", b"HEAP", b"TREE", b"SNOD"), i)]
    assert len(heaps) > 4
    for number, at in enumerate(heaps[:12]):
        path = tmp_path / f"z{number}.h5ad"
        path.write_bytes(blob[: at + 16] + bytes(200) + blob[at + 216 :])
        code, _, err = bench(capsys, "data", "check", path)
        assert code in (0, 2) and "Traceback" not in err


def test_figures_of_labels_with_controls():
    """A control character in a label ended the process that draws (SIGABRT)."""
    import altair as alt

    from bench.reports.figures.style import render

    rows = [{"label": name, "x": i} for i, name in enumerate(["\x1b[31mred", "a\x00b", "\x0bc", "d\nnext"])]
    chart = alt.Chart(alt.Data(values=rows)).mark_point().encode(x="x:Q", y="label:N")
    made = render(chart)
    assert made["png"].startswith(b"\x89PNG") and made["pdf"].startswith(b"%PDF")
    assert b"\\x1b[31mred" in made["svg"]


def test_a_child_is_not_asked_about_files_that_carry_a_digest(tmp_path, monkeypatch):
    from bench.core.door import hdf5, watched
    from bench.core.files import check_seal, seal

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.arange(3)
    seal(tmp_path / "x.h5")
    monkeypatch.setattr(watched._watcher, "ask", lambda *_: pytest.fail("asked"))
    hdf5.open_hdf5(tmp_path / "x.h5", "a test", vouched=check_seal(tmp_path / "x.h5")).close()
