"""Feature banks: what they hold, what they may see, and what a specification means."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import screens
from bank_tests import equal_up_to_sign, refused
from sklearn.decomposition import PCA

from bench.cli.main import main
from bench.core.conditions import CONTROL
from bench.data import load as data_load
from bench.data.cards import Card, find_card
from bench.data.coverage import coverage
from bench.data.datamodule import PerturbationDataModule
from bench.data.features.bank import LIMIT, FeatureBank
from bench.data.features.resolve import load_banks, targets
from bench.data.simulate.screens import SIMULATED, simulate
from bench.data.task import Task


@pytest.fixture(scope="module")
def task(tiny, tiny_split):
    return PerturbationDataModule(Task(tiny, tiny_split))


BANK = FeatureBank("b", ("A", "B", "C", "D"), np.array([[1, 5], [3, 5], [5, 5], [9, 6.0]]), "here")


def test_lookup_says_what_it_does_not_know():
    values, known = BANK.lookup(["C", "X", "A", "C"])
    assert values.dtype == np.float32 and values.tolist() == [[5, 5], [0, 0], [1, 5], [5, 5]]
    assert known.tolist() == [True, False, True, True]
    assert BANK.missing(["X", "A", "W", "X"]) == ("W", "X")
    assert BANK.lookup([])[0].shape == (0, 2)


def test_standardised_on_the_train_targets_by_hand():
    got = BANK.standardised(["A", "B", "A", "X"])
    np.testing.assert_allclose(
        got.values, [[-1, 0], [1, 0], [3, 0], [7, 0]], atol=1e-6
    )  # column 2 is constant on A and B
    assert got.notes == () and BANK.values[0, 0] == 1


def test_a_column_that_hardly_varies_on_the_targets_does_not_explode():
    values = np.array([[1.0], [1.001], [0.0], [5.0]])
    got = FeatureBank("b", ("A", "B", "C", "D"), values, "here").standardised(["A", "B"]).values
    scale = 0.1 * values.std()
    np.testing.assert_allclose(got[:3, 0], (values[:3, 0] - 1.0005) / scale, rtol=1e-4, atol=1e-5)
    assert got[3, 0] == LIMIT


def test_fewer_than_two_targets_with_features_say_so():
    got = BANK.standardised(["D", "X"])
    assert "only 1 train targets" in got.notes[0]
    np.testing.assert_allclose(got.values.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(got.values.std(axis=0), 1, atol=1e-6)


def test_the_hash_is_of_genes_and_values_alone():
    turned = FeatureBank("other", BANK.genes[::-1], BANK.values[::-1], "there")
    assert turned.content_hash == BANK.content_hash and len(BANK.content_hash) == 64
    assert replace(BANK, genes=("A", "B", "C", "E")).content_hash != BANK.content_hash
    assert replace(BANK, values=BANK.values + np.float32(1e-6)).content_hash != BANK.content_hash
    with pytest.raises(ValueError):
        BANK.values[0, 0] = 2


@pytest.mark.parametrize(
    ("genes", "values", "words"),
    [
        (("A", "A", "B"), np.ones((3, 2)), ["1 genes have several rows (A)", "one row per gene"]),
        (("A", "B"), np.ones((3, 2)), ["(3, 2)", "2 genes"]),
        (("A", "B"), np.ones(2), ["(2,)"]),
        ((), np.ones((0, 2)), ["nothing in it"]),
        (("A",), np.ones((1, 0)), ["nothing in it"]),
        (("A", "B"), np.array([[1, 2], [np.nan, 3]]), ["gene 'B'", "feature 1 of 2"]),
        (("A", "B"), np.array([[1, np.inf], [0, 3]]), ["gene 'A'", "feature 2 of 2"]),
        (("A",), np.array([[1e300]]), ["beyond float32"]),
    ],
)
def test_a_bank_refuses_what_it_cannot_hold(genes, values, words):
    refused(lambda: FeatureBank("b", genes, values, "my.npz"), "my.npz", *words)


# Banks made from expression


def test_pca_embeds_as_the_linear_baseline_does(tiny, task):
    (bank,) = load_banks("pca", task)
    means = np.vstack([task.pseudobulk("train").means, task.input_means.mean(axis=0)])
    truth = PCA(bank.width, svd_solver="full").fit_transform(means.T)
    assert bank.genes == tuple(tiny.genes) and bank.name == "pca" and bank.notes == ()
    equal_up_to_sign(bank.values, truth[:, : bank.width], atol=1e-4)


def test_coexpression_is_that_of_train_cells_and_input_controls(tiny, tiny_split, task):
    (bank,) = load_banks("coexpression", task)
    controls = {b for pool in tiny_split.input_controls.values() for b in pool}
    may = np.array([b in controls for b in tiny.barcodes]) | np.isin(
        np.array(tiny.conditions)[tiny.condition], tiny_split.train
    )
    u, s, _ = np.linalg.svd(np.corrcoef(tiny.x[may].toarray().astype(float).T))
    assert bank.values.shape == (60, 32)
    equal_up_to_sign(bank.values, u[:, :32] * s[:32], atol=1e-4)


@pytest.mark.parametrize("spec", ["pca", "coexpression"])
def test_unseen_cells_change_nothing_bit_for_bit(spec, tiny, tiny_split, task):
    unseen = tiny.rows([*tiny_split.test, *tiny_split.val])
    index = tiny.barcode_index
    reference = np.array([index[b] for pool in tiny_split.reference_controls.values() for b in pool])
    x = tiny.x.tolil()
    x[np.concatenate([unseen, reference])] = 9.0
    spoilt = PerturbationDataModule(Task(replace(tiny, x=sp.csr_matrix(x)), tiny_split))
    before, after = load_banks(spec, task)[0], load_banks(spec, spoilt)[0]
    assert before.genes == after.genes and (before.values == after.values).all()
    assert before.content_hash == after.content_hash
    x[tiny.rows(tiny_split.train[:1])] = 9.0  # and the train cells do
    changed = load_banks(spec, PerturbationDataModule(Task(replace(tiny, x=sp.csr_matrix(x)), tiny_split)))[0]
    assert changed.content_hash != before.content_hash


@pytest.mark.parametrize("spec", ["pca", "coexpression"])
def test_genes_silent_in_training_are_not_described(spec, tiny, tiny_split):
    x = tiny.x.tolil()
    x[np.setdiff1d(np.arange(len(tiny.barcodes)), tiny.rows(tiny_split.test)), 3] = 0.0
    (bank,) = load_banks(spec, PerturbationDataModule(Task(replace(tiny, x=sp.csr_matrix(x)), tiny_split)))
    assert bank.missing(tiny.genes) == ("G03",) and "1 of 60 genes are silent" in bank.notes[0]


# Specifications


@pytest.mark.ci
def test_simulated_data_ship_their_tables():
    card = find_card("simulated_hard")
    dataset = data_load.load(card)
    conditions = [c for c in dataset.conditions if c != CONTROL]
    half = len(conditions) // 2
    split = screens.hand_split(screens.tiny_screen())
    task = PerturbationDataModule(Task(dataset, split.model_copy(update={"train": tuple(conditions[:half])})))
    banks = load_banks("card", task)
    truth = simulate(replace(SIMULATED, **card.parameters))
    assert [bank.name for bank in banks] == ["view_a", "view_b"] == list(truth.feature_tables)
    for bank in banks:
        assert bank.genes == tuple(truth.genes) and not bank.missing(targets(conditions))
        np.testing.assert_allclose(bank.values, truth.feature_tables[bank.name], rtol=1e-6, atol=1e-6)
    assert load_banks("view_b", task)[0].content_hash == banks[1].content_hash


def test_the_card_is_the_one_that_the_cells_came_from(tmp_path, monkeypatch, tiny, tiny_split, task):
    assert tiny.card is None and [bank.name for bank in load_banks("card", task)] == ["pca"]
    table = pd.DataFrame({"gene": screens.SINGLES, "f": np.arange(12.0)})
    table.to_csv(tmp_path / "beside.csv", index=False)
    (tmp_path / "data").mkdir()
    table.to_csv(tmp_path / "data" / "far.away.csv.gz", index=False)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    counts, obs = screens.tiny_counts()
    screens.write_h5ad(tmp_path / "t.h5ad", counts, obs)
    (tmp_path / "t.yaml").write_text(
        "source: t.h5ad\nexpression: counts\ncolumns: {context: context}\n"
        "features: [beside.csv, pca, far.away.csv.gz]\n"
    )
    card, _ = data_load.resolve(str(tmp_path / "t.yaml"))
    mine = PerturbationDataModule(Task(data_load.load(card), tiny_split))
    assert [bank.name for bank in load_banks("card+coexpression", mine)] == [
        "table_beside",
        "pca",
        "table_far_away",
        "coexpression",
    ]
    refused(lambda: load_banks("card+pca", mine), "two banks are named 'pca'")
    refused(lambda: load_banks("gone.csv", mine), "'t'", "no file gone.csv", tmp_path / "data" / "gone.csv")
    monkeypatch.chdir(tmp_path / "data")  # the user's own files are looked for where the user is
    table.rename(columns={"f": "g"}).to_parquet("here.parquet", index=False)
    assert load_banks(" here.parquet", mine)[0].source == "here.parquet"
    monkeypatch.delenv("BENCH_DATA")
    refused(lambda: load_banks("card", mine), "far.away.csv.gz", "set BENCH_DATA")  # the card's own are not


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("pcs", ["unknown features 'pcs'", "Did you mean 'pca'?", "coexpression"]),
        ("view_a", ["unknown features 'view_a'", "pairs:FILE"]),
        ("", ["unknown features ''"]),
        ("pca+", ["unknown features ''"]),
        ("pca+pca", ["two banks are named 'pca'"]),
        ("pair:x.csv", [".csv"]),
        ("table.xls", ["'table.xls'", ".parquet, .csv, .csv.gz, .tsv, .tsv.gz, .npz"]),
        ("pairs:x.parquet", ["'pairs:x.parquet'", ".csv, .csv.gz"]),
        ("pairs:", ["pairs:", ".csv"]),
        ("/gone/x.npz", ["data set 'tiny': no file /gone/x.npz", "put it there"]),
    ],
)
def test_a_wrong_specification(spec, words, task, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    refused(lambda: load_banks(spec, task), *words)


def test_coverage_by_hand():
    conditions = ("A+ctrl", "B+A", "X+ctrl", "C+W", "ctrl")
    assert targets(conditions) == ("A", "B", "C", "W", "X")
    got = coverage(BANK, conditions)
    assert (got.genes, got.missing, str(got)) == (5, ("W", "X"), "3/5")
    assert str(coverage(BANK, ("ctrl",))) == "0/0"


def test_bench_data_features(tmp_path, capsys):
    from command import furnish

    furnish(tmp_path)
    (tmp_path / "x.csv").write_text("gene,f\n" + "".join(f"G{i:02d},{i}\n" for i in range(7)))
    argv = ["data", "features", str(tmp_path / "t.yaml"), "--split-file", str(tmp_path / "split.json")]
    assert main([*argv, "--features", f"card+{tmp_path / 'x.csv'}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {
        line.split()[0]: line.split()[1:] for line in lines if line[:7] in ("pca    ", "table_x") and ":" not in line
    }
    # train: G00-G06; val: G09; test: G07, G08, G06, G09, G00, G01
    assert rows["pca"][-4:] == ["12/12", "7/7", "1/1", "6/6"] and rows["pca"][1] == "60"
    assert rows["table_x"] == ["1", "7", "7/12", "7/7", "0/1", "3/6"]
    assert "  without features: G07, G08, G09, G10, G11" in lines
    assert "  every perturbed gene has features" in lines
    assert all(len(line) <= 100 for line in lines if "/" not in line)
    assert main([*argv, "--features", "pcaa"]) == 2
    assert "Did you mean 'pca'?" in capsys.readouterr().err
    assert main(["data", "featurs", "simulated"]) == 2
    assert "Did you mean 'features'?" in capsys.readouterr().err


def test_a_card_in_hand_wins(task):
    card = Card(name="c", source="simulated", features=("view_a",), parameters={"n_controls": 20})
    (bank,) = load_banks("card", task, card)
    assert bank.name == "view_a" and bank.width == SIMULATED.view_width
