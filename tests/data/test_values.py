"""Values that are no log1p of counts are refused or named; cells and conditions without counts are named."""

import anndata
import numpy as np
import own_files as own
import pytest
import scipy.sparse as sp
import screens

from bench.core.conditions import CONTROL
from bench.core.errors import BenchError
from bench.data.guess import guess_card
from bench.data.io.read import read_h5ad
from bench.data.load import load
from bench.data.task import load_task
from bench.data.values import check_values, looks_scaled, other_log

GENES = own.GENES


@pytest.mark.parametrize("base", [2, 10])
def test_another_log_is_named(base):
    other = own.LOG / np.log(base)
    assert other_log(other.tocsr()) == base and other_log(own.LOG) is None
    assert any(f"log{base}(x + 1)" in note for note in check_values(other.tocsr(), "log1p", GENES, "f"))
    assert check_values(own.LOG, "log1p", GENES, "f") == []


def with_largest(value):
    x = own.LOG.copy()
    x.data[7] = value
    return x


def test_the_largest_value_of_a_log(tmp_path):
    assert check_values(with_largest(9.2103), "log1p", GENES, "f") == []  # ln(10,001) = 9.21044
    (note,) = check_values(with_largest(9.2105), "log1p", GENES, "f")
    assert "cannot be log1p of counts normalised to 10000" in note
    assert check_values(with_largest(13.8155), "log1p", GENES, "f")  # ln(1,000,001) = 13.815512
    with pytest.raises(BenchError, match=r"largest value is 13\.82, above ln\(1e6 \+ 1\)"):
        check_values(with_largest(13.8156), "log1p", GENES, "f")


def test_scaled_values_are_named():
    dense = own.LOG.toarray().astype(np.float64)
    assert not looks_scaled(own.LOG)
    scaled = sp.csr_matrix(dense / dense.std(axis=0, ddof=1))
    assert looks_scaled(scaled)
    assert any("looks scaled" in note for note in check_values(scaled, "log1p", GENES, "f"))


def test_cells_and_conditions_without_counts(tmp_path):
    counts = own.COUNTS.tolil()
    counts[[0, 1]] = 0
    counts[np.flatnonzero(own.OBS["condition"] == "G00+G01")] = 0
    dataset = load(guess_card(own.write(tmp_path, own.obs(condition=own.labels()), counts.tocsr())))
    assert any("14 cells have no count at all (first 'cell00000')" in note for note in dataset.notes)
    assert any("1 conditions have only such cells (G00+G01)" in note for note in dataset.notes)


def test_gene_names_twice_are_named_with_their_column(tmp_path):
    path = own.write(tmp_path, own.obs(condition=own.labels()))
    adata = anndata.read_h5ad(path)
    adata.var["symbol"] = ["G01", *GENES[1:]]
    adata.var_names = [f"ENSG{i}" for i in range(60)]
    adata.write_h5ad(path)
    with pytest.raises(BenchError, match=r"1 duplicate gene names in var\['symbol'\] \(G01\)"):
        read_h5ad(path, guess_card(path))


def test_a_context_without_controls_of_its_own_is_not_evaluated(tmp_path):
    counts, obs = screens.tiny_counts(contexts=2)
    drop = np.flatnonzero((obs["condition"] == CONTROL) & (obs["context"] == "line1"))[19:]
    keep = np.setdiff1d(np.arange(len(obs)), drop)
    one_more = np.setdiff1d(np.arange(len(obs)), drop[1:])
    path = screens.write_h5ad(tmp_path / "t.h5ad", counts[keep], obs.iloc[keep])
    task = load_task(path, "doubles")
    assert {unit.context for unit in task.units} == {"line0"}
    assert {unit.context for unit in task.units_of("train")} == {"line0", "line1"}
    assert any("1 contexts have under 20 controls (line1)" in note for note in task.split.notes)
    whole = load_task(screens.write_h5ad(path, counts[one_more], obs.iloc[one_more]), "doubles")
    assert {unit.context for unit in whole.units} == {"line0", "line1"}


def test_values_that_are_too_large_are_not_blamed_on_a_card_that_nobody_wrote():
    """A card that was guessed says nothing that its user could change."""
    for guessed, words in ((False, "the card says expression: log1p"), (True, "Take the log, or give the counts.")):
        with pytest.raises(BenchError) as caught:
            check_values(with_largest(50.5), "log1p", GENES, "f", guessed)
        assert words in str(caught.value) and ("card" in str(caught.value)) is not guessed
