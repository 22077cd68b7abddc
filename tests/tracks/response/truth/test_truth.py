"""The truth: against scanpy, scipy and plain numpy, and never from cells that a model saw."""

import ast
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import screens
from scipy import stats
from screens import dense, rows_of

from bench.core.conditions import CONTROL
from bench.data.task import Task
from bench.stats.differential import benjamini_hochberg
from bench.tracks.response.truth import truth


def test_means_are_those_of_the_right_cells(tiny, tiny_split, facts):
    context = tiny.contexts[0]
    for i, name in enumerate(facts.conditions):
        np.testing.assert_allclose(facts.y[i], dense(tiny, tiny.cells_of[name]).mean(0), rtol=1e-12, atol=1e-12)
    c_in = dense(tiny, rows_of(tiny, tiny_split.input_cells[context])).mean(0)
    c_ref = dense(tiny, rows_of(tiny, tiny_split.reference_controls[context])).mean(0)
    np.testing.assert_allclose(facts.c_in, np.tile(c_in, (len(facts.conditions), 1)), atol=1e-12)
    np.testing.assert_allclose(facts.c_ref, np.tile(c_ref, (len(facts.conditions), 1)), atol=1e-12)
    shifts = [dense(tiny, tiny.cells_of[name]).mean(0) - c_in for name in tiny_split.train]
    np.testing.assert_allclose(facts.train_delta, np.mean(shifts, axis=0), atol=1e-12)
    seen = dense(tiny, rows_of(tiny, tiny_split.input_controls[context]))
    np.testing.assert_allclose(facts.control_sd, seen.std(0, ddof=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(facts.gears_control, [dense(tiny, tiny.cells_of[CONTROL]).mean(0)], atol=1e-12)
    assert facts.context.tolist() == [0] * len(facts.conditions) and facts.contexts == ("line0",)


def test_no_cell_is_both_input_and_reference(tiny_split):
    for context, inputs in tiny_split.input_controls.items():
        assert not set(inputs) & set(tiny_split.reference_controls[context])
        assert set(tiny_split.input_cells[context]) <= set(inputs)


@pytest.mark.ci
def test_wilcoxon_equals_scanpy_with_tie_correction(tiny, tiny_split, facts):
    import anndata
    import pandas as pd
    import scanpy as sc

    reference = rows_of(tiny, tiny_split.reference_controls[tiny.contexts[0]])
    for name in facts.conditions[:4]:
        cells = tiny.cells_of[name]
        obs = pd.DataFrame({"g": ["p"] * len(cells) + ["r"] * len(reference)}, dtype="category")
        table = anndata.AnnData(tiny.x[[*cells, *reference]], obs=obs.set_index(obs.index.astype(str)))
        table.var_names = tiny.genes
        table.uns["log1p"] = {"base": None}
        sc.tl.rank_genes_groups(table, "g", reference="r", groups=["p"], method="wilcoxon", tie_correct=True)
        found = sc.get.rank_genes_groups_df(table, "p").set_index("names").loc[tiny.genes]
        i = facts.conditions.index(name)
        np.testing.assert_allclose(facts.de_z[i], found["scores"], rtol=1e-4, atol=1e-5)
        # scanpy ranks by z; by absolute z our order is its order
        ours = tiny.genes[np.argsort(-np.abs(facts.de_z[i]), kind="stable")]
        theirs = found["scores"].abs().sort_values(ascending=False, kind="stable")
        np.testing.assert_allclose(np.sort(np.abs(facts.de_z[i]))[::-1], theirs, rtol=1e-4, atol=1e-5)
        assert set(ours[:10]) == set(theirs.index[:10])


def test_wilcoxon_equals_scipy_on_halves(tiny, tiny_split, facts):
    reference = dense(tiny, rows_of(tiny, tiny_split.reference_controls[tiny.contexts[0]]))
    i, name = 0, facts.conditions[0]
    cells = np.random.default_rng([tiny_split.seed, 0, 0x4A1F]).permutation(tiny.cells_of[name])
    half = dense(tiny, cells[0::2])
    np.testing.assert_allclose(facts.half_y[0, i], half.mean(0), atol=1e-12)
    p = stats.mannwhitneyu(half, reference, axis=0, method="asymptotic", use_continuity=False).pvalue
    np.testing.assert_allclose(2 * stats.norm.sf(np.abs(facts.half_de_z[0, i])), np.nan_to_num(p, nan=1.0), rtol=1e-6)


def test_halves_are_disjoint_and_make_the_whole(tiny, facts):
    for i, name in enumerate(facts.conditions):
        n = len(tiny.cells_of[name])
        for h in range(0, 2 * truth.HALVINGS, 2):
            both = (facts.half_y[h, i] * -(-n // 2) + facts.half_y[h + 1, i] * (n // 2)) / n
            np.testing.assert_allclose(both, facts.y[i], rtol=1e-10, atol=1e-12)
    assert not np.allclose(facts.half_y[0], facts.half_y[2])  # each halving is another draw


def test_benjamini_hochberg_equals_scipy():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 1, (6, 80)) + 4 * (rng.random((6, 80)) < 0.15)
    tested = rng.random(80) < 0.8
    ours = benjamini_hochberg(z, tested)
    for row, found in zip(z, ours, strict=True):
        q = stats.false_discovery_control(2 * stats.norm.sf(np.abs(row[tested])))
        np.testing.assert_array_equal(found[tested], q <= 0.05)
        assert not found[~tested].any()
    assert 0 < ours.sum() < ours.size


def test_expressed_genes_come_from_train_cells_alone(tiny, tiny_split):
    import scipy.sparse as sp

    x = tiny.x.toarray()
    seen = np.concatenate([tiny.rows(tiny_split.train), rows_of(tiny, tiny_split.input_controls[tiny.contexts[0]])])
    hidden = np.setdiff1d(np.arange(len(x)), seen)
    x[seen, 5] = 0
    x[seen[:9], 5] = 1.0  # nine train cells, and every other cell
    x[hidden, 5] = 3.0
    changed = screens.build(**_fields(tiny, sp.csr_matrix(x)))
    assert not truth.compute(Task(changed, tiny_split)).expressed[5]


def _fields(data, x):
    return {
        "name": data.name,
        "x": x,
        "genes": data.genes,
        "barcodes": data.barcodes,
        "condition": np.array(data.conditions)[data.condition],
        "context": np.array(data.contexts)[data.context],
        "batch": np.array(data.batches)[data.batch],
        "source": "test",
    }


def test_order_of_cells_does_not_matter(tiny, tiny_split, facts):
    order = np.random.default_rng(1).permutation(len(tiny.barcodes))
    fields = _fields(tiny, tiny.x[order])
    for key in ("barcodes", "condition", "context", "batch"):
        fields[key] = fields[key][order]
    shuffled = screens.build(**fields)
    split = screens.hand_split(shuffled)
    assert split.split_id == tiny_split.split_id
    again = truth.compute(Task(shuffled, split))
    for name in ("y", "c_in", "c_ref", "train_delta", "half_y", "de_z", "half_de_z"):
        np.testing.assert_allclose(getattr(again, name), getattr(facts, name), rtol=1e-9, atol=1e-9)


def test_cache_is_used_and_a_damaged_one_is_not(tiny, tiny_split, facts, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    first = truth.load(Task(tiny, tiny_split))
    path = next((tmp_path / "truth").glob("*.npz"))
    monkeypatch.setattr(truth, "compute", lambda *_: pytest.fail("computed again"))
    again = truth.load(Task(tiny, tiny_split))
    for name in ("conditions", "genes", "de_z", "gears_de", "n_controls"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    monkeypatch.undo()
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    content = bytearray(path.read_bytes())
    for i in range(2000, len(content), 5000):  # flip bits all over the archive
        content[i] ^= 0xFF
    path.write_bytes(content)
    mended = truth.load(Task(tiny, tiny_split))
    np.testing.assert_array_equal(mended.y, facts.y)
    np.testing.assert_array_equal(mended.half_de_z, facts.half_de_z)


PACKAGES = ("bench.tracks.response.truth", "bench.tracks.response.metrics", "bench.stats")
#: What of the data is computed, not read.
OF_DATA = "bench.data.cell_states"


def imported(module):
    """Modules of the truth and of the statistics that a module imports."""
    for node in ast.walk(ast.parse(Path(find_spec(module).origin).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module in PACKAGES:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module.startswith((*(f"{name}." for name in PACKAGES), OF_DATA)):
            yield node.module


def test_a_cache_is_named_after_all_code_that_makes_it():
    needed, ahead = set(), ["bench.tracks.response.truth.truth"]
    while ahead:
        needed.add(module := ahead.pop())
        ahead += set(imported(module)) - needed
    assert {
        f"bench.{package.replace('/', '.')}.{name}" for package, names in truth.CODE.items() for name in names
    } == needed


@pytest.mark.ci
def test_gears_de_genes_are_scanpys_t_test(tiny, tiny_split, facts):
    import anndata
    import pandas as pd
    import scanpy as sc

    obs = pd.DataFrame({"g": np.array(tiny.conditions)[tiny.condition]}, index=tiny.barcodes).astype("category")
    table = anndata.AnnData(tiny.x, obs=obs)
    table.var_names = tiny.genes
    table.uns["log1p"] = {"base": None}
    sc.tl.rank_genes_groups(table, "g", reference=CONTROL, rankby_abs=True, method="t-test", n_genes=len(tiny.genes))
    for i, name in enumerate(facts.conditions):
        theirs = list(table.uns["rank_genes_groups"]["names"][name][:20])
        assert set(tiny.genes[facts.gears_de[i]]) == set(theirs)
