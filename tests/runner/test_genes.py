"""A run gene by gene, against shifts and tests that are worked out here from the cells."""

import numpy as np
import pandas as pd
import pytest
import screens
from command import bench as cli
from command import last, refuse
from scipy.stats import mannwhitneyu

import bench
from bench.core.errors import BenchError
from bench.data.task import Task


@pytest.fixture(scope="module")
def ran(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("genes")
    task = Task(tiny, screens.hand_split(tiny))
    return task, bench.run("additive", task, out=folder / "runs", progress=False), folder


def test_rows_are_the_shifts_of_the_cells(ran):
    task, result, _ = ran
    data, table = task.dataset, result.genes(top=5)
    assert (table.groupby("condition").size() == 5).all()
    assert set(table["condition"]) == set(task.split.test)
    mine = table[table["condition"] == "G11+ctrl"]
    cells = screens.dense(data, data.cells_of["G11+ctrl"])
    reference = screens.dense(data, screens.rows_of(data, task.split.reference_controls["line0"]))
    inputs = screens.dense(data, screens.rows_of(data, task.split.input_cells["line0"]))
    predicted = np.asarray(result.predictions[result.predictions.obs["condition"] == "G11+ctrl"].X).mean(axis=0)
    columns = [data.gene_index[gene] for gene in mine["gene"]]
    np.testing.assert_allclose(mine["observed"], (cells.mean(axis=0) - reference.mean(axis=0))[columns], atol=1e-6)
    np.testing.assert_allclose(mine["predicted"], (predicted - inputs.mean(axis=0))[columns], atol=1e-6)
    assert mine["sign_right"].tolist() == (np.sign(mine["predicted"]) == np.sign(mine["observed"])).tolist()
    u = mannwhitneyu(cells, reference, axis=0, method="asymptotic", use_continuity=False)
    p = np.where(np.arange(len(data.genes)) == data.gene_index["G11"], 1, u.pvalue)
    assert set(mine["gene"]) == set(data.genes[np.argsort(p, kind="stable")[:5]])
    assert (mine["z"].abs().diff().dropna() <= 1e-9).all()
    everything = result.genes(top=None)
    assert len(everything[everything["condition"] == "G11+ctrl"]) <= len(data.genes) - 1
    assert everything["de"].any()
    with pytest.raises(BenchError, match="top 0"):
        result.genes(top=0)


@pytest.mark.ci
def test_the_command_line_writes_them(ran, tmp_path, capsys):
    task, result, folder = ran
    data = task.dataset
    obs = pd.DataFrame({"condition": np.array(data.conditions)[data.condition]}, index=data.barcodes)
    obs["context"], obs["batch"] = "line0", np.array(data.batches)[data.batch]
    file = screens.write_h5ad(tmp_path / "tiny.h5ad", data.x, obs)
    run_id, runs = result.record.run_id, folder / "runs"
    code, out, err = cli(capsys, "genes", run_id, "--top", 3, "--out", runs, "--data", file)
    assert code == 0, err
    assert last(out) == str(runs / run_id / "genes.csv")
    written, expected = pd.read_csv(last(out)), result.genes(top=3)
    assert written["gene"].tolist() == expected["gene"].tolist()
    np.testing.assert_allclose(written["predicted"], expected["predicted"], rtol=1e-5, atol=1e-6)
    refuse(capsys, ["genes", run_id, "--out", runs], "unknown data set 'tiny'", "--data")
    refuse(capsys, ["genes", "nothing", "--out", runs], "no run 'nothing'")
