"""Predictions as cell-eval, STATE and users of a card hand them in: the same numbers as under our names."""

import io
import json
import tarfile

import anndata
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import screens

import bench
from bench.cli.main import main
from bench.core.conditions import constituents
from bench.core.errors import BenchError
from bench.data.naming import Naming
from bench.runner import handed_in


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A real file and what is predicted for all of it, labelled as cell-eval wants it: target_gene, non-targeting."""
    folder = tmp_path_factory.mktemp("cell_eval")
    counts, obs = screens.tiny_counts(cells=20, controls=60)
    labels = ["-".join(constituents(name)) or "non-targeting" for name in obs["condition"]]
    real = pd.DataFrame({"target_gene": pd.Categorical(labels), "celltype": obs["context"]}, index=obs.index)
    x = screens.screen(counts, obs).x
    screens.write_h5ad(folder / "adata_real.h5ad", x, real)
    (folder / "real.yaml").write_text(
        "source: adata_real.h5ad\nexpression: log1p\ncontrol: non-targeting\nseparator: '-'\n"
        "columns: {condition: target_gene, context: celltype, batch: null}\n"
    )
    names, rng = sorted(set(labels)), np.random.default_rng(0)
    means = np.array([np.asarray(x[np.array(labels) == name].mean(axis=0)).ravel() for name in names])
    cells = np.repeat(0.5 * (means + means[names.index("non-targeting")]), 12, axis=0)
    predicted = pd.DataFrame({"target_gene": np.repeat(names, 12), "celltype": "line0"})
    predicted.index = predicted.index.astype(str)
    cells = np.clip(cells + rng.normal(0, 0.05, cells.shape), 0, 14).astype(np.float32)
    screens.write_h5ad(folder / "adata_pred.h5ad", cells, predicted)
    ours = predicted.assign(condition=[name.replace("-", "+") for name in predicted["target_gene"]])
    screens.write_h5ad(folder / "ours.h5ad", cells, ours[["condition"]])
    return folder


@pytest.fixture(scope="module")
def task(files):
    members = sorted(set(anndata.read_h5ad(files / "ours.h5ad").obs["condition"]) - {"non+targeting"})
    lists = files / "split.json"
    named = [name if "+" in name else f"{name}+ctrl" for name in members]
    lists.write_text(json.dumps({"train": named[:11], "test": named[11:]}))
    return bench.load_task(files / "real.yaml", split_file=lists)


@pytest.fixture(scope="module")
def ours(files, task):
    return bench.score(files / "ours.h5ad", task, progress=False)


def same(a, b):
    assert len(a.metrics) == len(b.metrics) > 20
    for name, level in a.metrics.items():
        other = b.metrics[name].mean
        assert level.mean == other or level.mean == pytest.approx(other, rel=1e-9, abs=1e-9), name


def test_a_tools_own_labels_give_the_numbers_of_ours(files, task, ours):
    theirs = bench.score(files / "adata_pred.h5ad", task, progress=False)
    same(ours, theirs)
    assert "its conditions were read from obs['target_gene']" in theirs.record.warnings
    assert not any("read from" in line for line in ours.record.warnings)


def test_state_leaves_the_genes_unnamed_and_a_list_names_them(files, task, ours):
    cells = anndata.read_h5ad(files / "adata_pred.h5ad")
    bare = anndata.AnnData(cells.X, obs=cells.obs)
    with pytest.raises(BenchError, match="numbers for names, as in files of STATE"):
        bench.score(bare, task, progress=False)
    same(ours, bench.score(bare, task, gene_names=list(cells.var_names), column="target_gene", progress=False))


def test_an_archive_of_cell_evals_prep_is_opened(files, tmp_path):
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        stream.write((files / "adata_pred.h5ad").read_bytes())
    blob = packed.getvalue().to_pybytes()
    archive = tmp_path / "adata_pred.prep.vcc"
    with tarfile.open(archive, "w") as tape:
        for name, content in (("watermark.txt", b"vcc-prep"), ("pred.h5ad.zst", blob)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tape.addfile(entry, io.BytesIO(content))
    with handed_in.opened(archive) as path:
        assert path.read_bytes() == (files / "adata_pred.h5ad").read_bytes()
        inside = path
    assert not inside.exists()
    archive.write_bytes(b"PK no tar")
    with pytest.raises(BenchError, match=r"prep\.vcc: no archive of cell-eval's prep"), handed_in.opened(archive):
        pass


def test_what_a_file_predicts_is_test_and_all_else_train(files, task, tmp_path):
    some = anndata.read_h5ad(files / "adata_pred.h5ad")
    chosen = ["G00", "G02-G03", "G05"]
    path = tmp_path / "some.h5ad"
    some[some.obs["target_gene"].isin([*chosen, "non-targeting"])].copy().write_h5ad(path)
    found = handed_in.task_of(path, files / "real.yaml", Naming(), "predicted", 1, 0, None)
    assert {frozenset(constituents(name)) for name in found.split.test} == {
        frozenset(name.split("-")) for name in chosen
    }
    assert len(found.split.train) == len(found.dataset.conditions) - 1 - len(chosen)
    with pytest.raises(BenchError, match=r"predicts all 22 conditions.*--split simulation"):
        handed_in.task_of(files / "adata_pred.h5ad", files / "real.yaml", Naming(), "predicted", 1, 0, None)


def test_some_genes_are_scored_on_a_board_of_their_own(files, task, ours):
    cells = anndata.read_h5ad(files / "adata_pred.h5ad")[:, :52].copy()
    with pytest.raises(BenchError, match=r"8 of 60 genes are missing.*genes='subset'"):
        bench.score(cells, task, progress=False)
    with pytest.raises(BenchError, match=r"only 40 of the 60 genes.*at least 50"):
        bench.score(cells[:, :40].copy(), task, genes="subset", progress=False)
    part = bench.score(cells, task, genes="subset", progress=False)
    assert part.record.spec.label == "mine[genes=52 of 60]"
    assert part.record.spec.dataset != ours.record.spec.dataset and part.record.task != ours.record.task
    # The shifts of these genes alone, by hand.
    from bench.tracks.response.truth import truth

    facts = truth.load(task)
    y_hat = np.array(
        [
            cells.X[(cells.obs["target_gene"] == "-".join(constituents(name))).to_numpy()].mean(axis=0, dtype=float)
            for name in facts.conditions
        ]
    )
    expected = []
    for t in range(len(facts.conditions)):
        genes = np.flatnonzero(facts.scored[t])
        genes = genes[genes < 52]
        expected.append(np.corrcoef((y_hat[t] - facts.c_in[t, :52])[genes], (facts.y - facts.c_ref)[t, genes])[0, 1])
    assert part.metrics["pearson_delta"].mean == pytest.approx(np.mean(expected), rel=1e-6, abs=1e-6)


def test_a_pair_of_files_is_scored_in_one_command(files, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pair = [str(files / "adata_pred.h5ad"), "--data", str(files / "adata_real.h5ad")]
    given = ["--column", "target_gene", "--control", "non-targeting", "--split-file", str(files / "split.json")]
    assert main(["score", *pair, *given]) == 2  # without the card nobody knows that '-' parts two genes
    assert "is not in the data" in capsys.readouterr().err
    assert main(["score", pair[0], "--data", str(files / "real.yaml"), *given, "--published", "no"]) == 0
    assert "adata_pred" in capsys.readouterr().out
