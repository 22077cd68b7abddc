"""Shifts by state through a file: what a model does to each cell is what comes back, and bad tables are refused."""

from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest

from bench.core.errors import BenchError
from bench.core.units import Unit
from bench.data import cell_states
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models.base import PerturbationModel
from bench.results import predictions
from bench.runner import fit
from bench.runner.export import export
from bench.tracks.response.run import check_states
from bench.tracks.response.truth import truth

GENES = ["a", "b", "c"]
UNITS = (Unit("KLF1+ctrl", "x"), Unit("SET+KLF1", "x"))
SHIFTS = {unit: np.arange(6.0).reshape(2, 3) + i for i, unit in enumerate(UNITS)}


class Selective(PerturbationModel):
    """Doubles the first gene of each cell: it moves cells of one state more than others, and all conditions alike."""

    emits_cells = False

    def fit(self, datamodule):
        """Nothing is learned."""

    def predict_step(self, batch, batch_idx=0):
        out = batch.controls.double()
        out[:, 0] *= 2
        return out


def write(path, uns_states=None, **changes):
    obs = pd.DataFrame({"condition": ["KLF1", "KLF1+SET"], "context": "x"})
    predictions.write(path, np.ones((2, 3)), obs, GENES, {"controls_used": "input"}, SHIFTS)
    if changes or uns_states is not None:
        table = anndata.read_h5ad(path)
        table.uns["states"] = uns_states if uns_states is not None else {**table.uns["states"], **changes}
        table.write_h5ad(path)
    return path


def test_what_is_written_is_read_in_any_order_of_units_and_genes(tmp_path):
    path = write(tmp_path / "p.h5ad")
    found = predictions.read(path, UNITS[::-1], ["c", "a"], {}).states
    np.testing.assert_array_equal(found, np.stack([SHIFTS[unit][:, [2, 0]] for unit in UNITS[::-1]]))
    obs = pd.DataFrame({"condition": ["KLF1", "SET+KLF1"], "context": "x"})
    predictions.write(tmp_path / "q.h5ad", np.ones((2, 3)), obs, GENES, {})
    assert predictions.read(tmp_path / "q.h5ad", UNITS, GENES, {}).states is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shift": np.full((4, 3), np.nan)}, "NaN or infinite"),
        ({"shift": np.ones((4, 2))}, "a shift per gene"),
        ({"state": np.array([0, 1, 0])}, "3 states"),
        ({"state": np.array([0, 1, 0, -1])}, "outside 0..99"),
        ({"state": np.array([0.0, 1.0, 0.0, 1.0])}, "whole numbers"),
        ({"uns_states": {"state": np.array([0])}}, "has no 'condition'"),
        ({"uns_states": "none"}, "is no table"),
        ({"shift": np.array([["x"] * 3] * 4, dtype=object)}, "cannot be read"),
        ({"condition": 3.0}, "cannot be read"),
    ],
)
def test_tables_that_are_no_shifts_by_state_are_refused(tmp_path, changes, said):
    path = write(tmp_path / "p.h5ad", **changes)
    with pytest.raises(BenchError, match=said):
        predictions.read(path, UNITS, GENES, {})


def test_a_models_cells_are_averaged_by_the_states_of_its_input_cells(tiny, tiny_split, tmp_path):
    task = Task(tiny, tiny_split)
    module = PerturbationDataModule(task)
    spec = type("Spec", (), dict.fromkeys(
        ("run_id", "model", "data_hash", "split_id", "split_seed", "pretrain_seed", "head_seed"), "s"))()  # fmt: skip
    fit.predict(Selective(), module, tmp_path / "p.h5ad", spec)
    facts = truth.compute(task)
    read = predictions.read(tmp_path / "p.h5ad", facts.units, facts.genes, {})
    export(task, tmp_path / "task")
    cells = anndata.read_h5ad(tmp_path / "task" / "train.h5ad")
    cells = cells[cells.obs["input"].to_numpy(dtype=bool)]
    state = cells.obs["state"].to_numpy()
    assert (np.bincount(state) >= cell_states.MIN_CELLS).all()
    expected = [np.asarray(cells[state == k].X.todense())[:, 0].astype(np.float64).mean() for k in range(3)]
    np.testing.assert_allclose(read.states[:, :, 0], np.tile(expected, (len(facts.units), 1)), atol=1e-5)
    assert not read.states[:, :, 1:].any()
    assert check_states(tmp_path / "p.h5ad", read.states, facts) is read.states
    with pytest.raises(BenchError, match="holds 2 states, but the task has 3"):
        check_states(tmp_path / "p.h5ad", read.states[:, :2], facts)
    known = np.flatnonzero(np.isfinite(facts.state_shift).all(axis=(1, 2)))
    read.states[known[0], 1] = np.nan
    with pytest.raises(BenchError, match="lacks a state of"):
        check_states(tmp_path / "p.h5ad", read.states, facts)
    nothing = replace(facts, state_shift=facts.state_shift[:, :0])
    assert check_states(tmp_path / "p.h5ad", read.states, nothing) is None
