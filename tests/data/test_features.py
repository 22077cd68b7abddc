"""Feature banks: embeddings against sklearn and numpy, what they may see, and what is said about bad files."""

import gzip
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import screens
from sklearn.decomposition import PCA
from sklearn.manifold import spectral_embedding as sklearn_embedding

from bench.cli import main
from bench.conditions import CONTROL
from bench.data import load as data_load
from bench.data.cards import Card, find_card
from bench.data.coverage import coverage
from bench.data.datamodule import PerturbationDataModule
from bench.data.feature_bank import LIMIT, FeatureBank
from bench.data.feature_tables import read_table
from bench.data.features import load_banks, targets
from bench.data.gene_embedding import correlation, gene_scores, largest_component, leading, spectral_embedding
from bench.data.gene_pairs import read_pairs
from bench.data.simulate import SIMULATED, simulate
from bench.errors import BenchError


@pytest.fixture(scope="module")
def task(tiny, tiny_split):
    return PerturbationDataModule(tiny, tiny_split)


def refused(call, *words):
    with pytest.raises(BenchError) as caught:
        call()
    for word in words:
        assert str(word) in str(caught.value), caught.value


def equal_up_to_sign(ours, theirs, **tolerance):
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours * np.sign((ours * theirs).sum(axis=0)), theirs, **tolerance)


# Embeddings


def test_pca_is_sklearns_up_to_sign():
    means = np.random.default_rng(0).gamma(1.0, 1.0, (9, 40))
    equal_up_to_sign(gene_scores(means, 5), PCA(5, svd_solver="full").fit_transform(means.T), atol=1e-9)
    assert gene_scores(means, 50).shape == (40, 9)
    assert gene_scores(np.ones((3, 4))).shape == (4, 0)


def test_correlation_is_numpys_over_the_chosen_cells_and_leaves_out_silent_genes(monkeypatch):
    monkeypatch.setattr("bench.data.gene_embedding._BLOCK_ROWS", 7)
    rng = np.random.default_rng(1)
    dense = (rng.gamma(1.0, 1.0, (50, 12)) * (rng.random((50, 12)) < 0.4)).astype(np.float32)
    rows = np.arange(3, 33)
    dense[rows, 4] = 0.0
    dense[rows, 7] = 1.25  # as silent as zeros: it goes with nothing
    matrix, varying = correlation(sp.csr_matrix(dense), rows)
    assert varying.tolist() == [0, 1, 2, 3, 5, 6, 8, 9, 10, 11]
    np.testing.assert_allclose(matrix, np.corrcoef(dense[rows][:, varying].astype(float).T), atol=1e-12)


def test_reduction_is_the_truncated_svd():
    matrix = np.corrcoef(np.random.default_rng(2).normal(size=(20, 30)))
    u, s, _ = np.linalg.svd(matrix)
    equal_up_to_sign(leading(matrix, 6), u[:, :6] * s[:6], atol=1e-10)
    assert leading(np.ones((4, 4)), 6).shape == (4, 1)


def ring_of_cliques(n=6, size=5):
    """Cliques that hang together in a ring; unlike sizes, so that no eigenvalue is double."""
    sizes = [size + i for i in range(n)]
    a = sp.block_diag([np.ones((k, k)) - np.eye(k) for k in sizes]).tolil()
    starts = np.cumsum([0, *sizes[:-1]])
    for i in range(n):
        a[starts[i], starts[(i + 1) % n] + 1] = a[starts[(i + 1) % n] + 1, starts[i]] = 1
    return sp.csr_matrix(a), np.repeat(np.arange(n), sizes)


def unit_rows(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_without_regularisation_the_spectrum_is_sklearns():
    graph, _ = ring_of_cliques()
    theirs = sklearn_embedding(graph, n_components=4, drop_first=False, random_state=0)
    equal_up_to_sign(spectral_embedding(graph, 4, 0.0), unit_rows(theirs), atol=1e-6)


@pytest.mark.parametrize("cliques", [6, 24])  # solved dense, and by Lanczos iteration
def test_the_spectrum_is_that_of_the_dense_regularised_laplacian(cliques):
    graph, clique = ring_of_cliques(cliques)
    dense = graph.toarray()
    scale = np.diag((dense.sum(axis=0) + dense.sum() / len(dense)) ** -0.5)
    values, vectors = np.linalg.eigh(np.eye(len(dense)) - scale @ dense @ scale)
    assert np.diff(values[:6]).min() > 1e-4
    ours = spectral_embedding(graph, 5)
    length = np.linalg.norm(vectors[:, :5], axis=1)
    near = length > 1e-9
    equal_up_to_sign(ours[near], unit_rows(vectors[near, :5]), atol=1e-5)
    assert near.all() == (cliques == 6) and not ours[length < 1e-10].any()  # far cliques: rounding errors, not features
    assert (spectral_embedding(graph, 5) == ours).all()
    np.testing.assert_allclose(np.linalg.norm(ours[near], axis=1), 1)
    if cliques == 6:
        full = spectral_embedding(graph, 6)
        centres = np.array([full[clique == i].mean(axis=0) for i in range(cliques)])
        nearest = ((full[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        assert (nearest == clique).all()


def test_a_graph_of_one_eigenvalue_gives_the_same_bits_twice():
    graph = sp.csr_matrix(np.ones((300, 300)) - np.eye(300))
    assert (spectral_embedding(graph) == spectral_embedding(graph)).all()


def test_the_largest_component():
    graph = sp.block_diag([np.ones((2, 2)), np.ones((3, 3)), np.ones((3, 3)), [[0.0]]]).tocsr()
    nodes, count = largest_component(graph)
    assert (nodes.tolist(), count) == ([2, 3, 4], 4)


# Banks


BANK = FeatureBank("b", ("A", "B", "C", "D"), np.array([[1, 5], [3, 5], [5, 5], [9, 6.0]]), "here")


def test_lookup_says_what_it_does_not_know():
    values, known = BANK.lookup(["C", "X", "A", "C"])
    assert values.dtype == np.float32 and values.tolist() == [[5, 5], [0, 0], [1, 5], [5, 5]]
    assert known.tolist() == [True, False, True, True]
    assert BANK.missing(["X", "A", "W", "X"]) == ("W", "X")
    assert BANK.lookup([])[0].shape == (0, 2)


def test_standardised_on_the_train_targets_by_hand():
    got = BANK.standardised(["A", "B", "A", "X"])
    np.testing.assert_allclose(got.values, [[-1, 0], [1, 0], [3, 0], [7, 0]])  # column 2 is constant on A and B
    assert got.notes == () and BANK.values[0, 0] == 1


def test_a_column_that_hardly_varies_on_the_targets_does_not_explode():
    values = np.array([[1.0], [1.001], [0.0], [5.0]])
    got = FeatureBank("b", ("A", "B", "C", "D"), values, "here").standardised(["A", "B"]).values
    scale = 0.1 * values.std()
    np.testing.assert_allclose(got[:3, 0], (values[:3, 0] - 1.0005) / scale, rtol=1e-4)
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
    spoilt = PerturbationDataModule(replace(tiny, x=sp.csr_matrix(x)), tiny_split)
    before, after = load_banks(spec, task)[0], load_banks(spec, spoilt)[0]
    assert before.genes == after.genes and (before.values == after.values).all()
    assert before.content_hash == after.content_hash
    x[tiny.rows(tiny_split.train[:1])] = 9.0  # and the train cells do
    changed = load_banks(spec, PerturbationDataModule(replace(tiny, x=sp.csr_matrix(x)), tiny_split))[0]
    assert changed.content_hash != before.content_hash


@pytest.mark.parametrize("spec", ["pca", "coexpression"])
def test_genes_silent_in_training_are_not_described(spec, tiny, tiny_split):
    x = tiny.x.tolil()
    x[np.setdiff1d(np.arange(len(tiny.barcodes)), tiny.rows(tiny_split.test)), 3] = 0.0
    (bank,) = load_banks(spec, PerturbationDataModule(replace(tiny, x=sp.csr_matrix(x)), tiny_split))
    assert bank.missing(tiny.genes) == ("G03",) and "1 of 60 genes are silent" in bank.notes[0]


# Specifications


def test_simulated_data_ship_their_tables():
    card = find_card("simulated_hard")
    data = data_load.load(card)
    conditions = [c for c in data.conditions if c != CONTROL]
    half = len(conditions) // 2
    split = screens.hand_split(screens.tiny_screen())
    task = PerturbationDataModule(data, split.model_copy(update={"train": tuple(conditions[:half])}))
    banks = load_banks("card", task)
    truth = simulate(replace(SIMULATED, **card.parameters))
    assert [bank.name for bank in banks] == ["view_a", "view_b"] == list(truth.feature_tables)
    for bank in banks:
        assert bank.genes == tuple(truth.genes) and not bank.missing(targets(conditions))
        np.testing.assert_allclose(bank.values, truth.feature_tables[bank.name], rtol=1e-6)
    assert load_banks("view_b", task)[0].content_hash == banks[1].content_hash


def test_the_card_is_the_one_that_the_cells_came_from(tmp_path, monkeypatch, tiny, tiny_split, task):
    assert data_load.card_of(tiny) is None and [bank.name for bank in load_banks("card", task)] == ["pca"]
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
    mine = PerturbationDataModule(data_load.load(card), tiny_split)
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
        ("table.tsv", ["'table.tsv'", ".parquet, .csv, .csv.gz, .npz"]),
        ("pairs:x.parquet", ["'pairs:x.parquet'", ".csv, .csv.gz"]),
        ("pairs:", ["pairs:", ".csv"]),
        ("/gone/x.npz", ["data set 'tiny': no file /gone/x.npz", "put it there"]),
    ],
)
def test_a_wrong_specification(spec, words, task, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    refused(lambda: load_banks(spec, task), *words)


# Files


def test_every_kind_of_table_holds_the_same(tmp_path):
    genes, values = ["KLF1", "SET", "NAN"], np.array([[1, 2.5], [3, 4], [5, 6]])
    frame = pd.DataFrame(values, columns=["a", "b"])
    frame.insert(0, "gene", genes)
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_csv(tmp_path / "y.csv.gz", index=False)
    frame.set_index("gene").to_parquet(tmp_path / "indexed.parquet")
    frame.to_parquet(tmp_path / "plain.parquet", index=False)
    np.savez(tmp_path / "x.npz", genes=np.array(genes), values=values)
    np.savez_compressed(tmp_path / "bytes.npz", genes=np.array(genes, dtype="S"), values=values.astype(np.float32))
    (tmp_path / "r.csv").write_text('"a","b"\n"KLF1",1,2.5\n"SET",3,4\n"NAN",5,6\n')  # R: no name over the row names
    banks = [read_table(path, "x") for path in sorted(tmp_path.iterdir())]
    assert len(banks) == 7 and {bank.content_hash for bank in banks} == {banks[0].content_hash}
    assert banks[0].genes == tuple(genes) and banks[0].notes == ()


def test_columns_of_text_are_left_out_and_named(tmp_path):
    (tmp_path / "x.csv").write_text("gene,symbol,f\nA,alpha,1\nB,,2\n")
    bank = read_table(tmp_path / "x.csv", "x")
    assert bank.width == 1 and bank.notes == ("left out, as they hold no numbers: symbol",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty file"]),
        ("gene,f\n", ["no rows", "one row per gene"]),
        ("gene\nA\nB\n", ["no numeric column", "other columns: none"]),
        ("gene,what\nA,b\nB,c\n", ["no numeric column", "what"]),
        ("gene,f\nA,1\nB,\n", ["gene 'B'", "'f' (missing)"]),
        ("gene,f\nA,1\nB,-inf\n", ["gene 'B'", "'f' (infinite)"]),
        ("gene,f\nA,1\nB,2x\nC,3\n", ["column 'f'", "gene 'B'", "'2x'"]),
        ("gene,f\nA,1\nA,2\n", ["several rows (A)"]),
        ("gene,f,g\nA,1,2\nB,1\n", ["gene 'B'", "'g' (missing)", "too short"]),
        ("gene,f\nA,1\nB,1,2,3\n", ["line 3", "as many columns"]),
        ("gene,f\nA,1\n,2\n", ["no gene name", "data row 2"]),
        (",gene,f\n0,A,1\n1,B,2\n", ["holds numbers (0, ...)", "index=False"]),
        ("gene\tf\nA\t1\n", ["tabs", "commas"]),
        ("A,0.5,1.5\nB,2.5,1.0\n", ["first line holds the number 0.5", "column names"]),
        ("<!DOCTYPE html>\n<html>not found</html>", ["web page"]),
        ("  <html><a,b></html>", ["web page"]),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ["Git LFS"]),
    ],
)
def test_a_wrong_csv(text, words, tmp_path):
    for path, write in ((tmp_path / "x.csv", open), (tmp_path / "x.csv.gz", gzip.open)):
        with write(path, "wt") as handle:
            handle.write(text)
        refused(lambda path=path: read_table(path, "x"), path, *words)


def test_files_that_are_not_what_their_names_say(tmp_path):
    for name in ("x.csv.gz", "x.parquet", "x.npz"):
        (tmp_path / name).write_bytes(b"not what it says, by far")
        refused(lambda name=name: read_table(tmp_path / name, "x"), tmp_path / name)
    whole = gzip.compress(b"gene,f\n" + b"".join(b"G%d,%d\n" % (i, i * i) for i in range(4000)))
    (tmp_path / "cut.csv.gz").write_bytes(whole[: len(whole) // 2])
    refused(lambda: read_table(tmp_path / "cut.csv.gz", "x"), "cut.csv.gz", "again")
    (tmp_path / "latin.csv").write_bytes(b"gene,f\nA\xe9,1\n")
    refused(lambda: read_table(tmp_path / "latin.csv", "x"), "latin.csv", "utf-8")
    (tmp_path / "folder.csv").mkdir()
    refused(lambda: read_table(tmp_path / "folder.csv", "x"), "folder.csv")


def test_parquet_of_many_kinds(tmp_path):
    genes, values = ["A", "B"], [1.0, 2.0]
    for index in (pd.CategoricalIndex(genes), pd.Index(genes, dtype="string"), pd.Index([b"A", b"B"])):
        pd.DataFrame({"f": values}, index=index).to_parquet(tmp_path / "x.parquet")
        assert read_table(tmp_path / "x.parquet", "x").genes == ("A", "B")
    for columns, words in (
        ({"gene": genes, "e": [[1.0, 2.0], [3.0, 4.0]], "f": values}, ["column 'e' holds lists"]),
        ({"gene": genes, "f": pd.array([1, None], dtype="Int64")}, ["gene 'B'", "'f' (missing)"]),
        ({"gene": genes, "f": ["1", "2"]}, ["column 'f'", "stored as text"]),
        ({"gene": [None, "B"], "f": values}, ["no gene name", "data row 1"]),
    ):
        pd.DataFrame(columns).to_parquet(tmp_path / "x.parquet")
        refused(lambda: read_table(tmp_path / "x.parquet", "x"), "x.parquet", *words)
    pd.DataFrame({"f": values}, index=[genes, genes]).to_parquet(tmp_path / "x.parquet")
    refused(lambda: read_table(tmp_path / "x.parquet", "x"), "2 levels")


class Planted:
    def __reduce__(self):
        return print, ("executed",)


def test_npz(tmp_path, capsys):
    path, numbers = tmp_path / "x.npz", np.ones((2, 3))
    for arrays, words in (
        ({"genes": np.array([Planted(), "B"], dtype=object), "values": numbers}, ["pickled", "dtype=str"]),
        ({"genes": np.array(["A", "B"]), "values": np.array([[Planted()]] * 2, dtype=object)}, ["pickled"]),
        ({"genes": np.array(["A", "B"])}, ["no array 'values'", "only genes"]),
        ({"names": np.array(["A", "B"]), "values": numbers}, ["no array 'genes'"]),
        ({"genes": np.array(["A", "B"]), "values": np.ones(2)}, ["'values'", "(2,)"]),
        ({"genes": np.array(["A", "B"]), "values": np.array([["a"], ["b"]])}, ["'values'", "<U1"]),
        ({"genes": np.array([1, 2]), "values": numbers}, ["'genes'", "int64"]),
        ({"genes": np.array(["A", "B", "C"]), "values": numbers}, ["(2, 3)", "3 genes"]),
        ({"genes": np.array(["A", "A"]), "values": numbers}, ["several rows (A)"]),
        ({"genes": np.array(["A", "B"]), "values": numbers * np.nan}, ["missing, infinite"]),
    ):
        np.savez(path, **arrays)
        refused(lambda: read_table(path, "x"), path, *words)
    assert "executed" not in capsys.readouterr().out
    np.save(tmp_path / "y.npy", numbers)
    (tmp_path / "y.npy").rename(tmp_path / "y.npz")
    refused(lambda: read_table(tmp_path / "y.npz", "x"), "not a readable npz")


def test_a_file_that_describes_no_perturbed_gene(tmp_path, task):
    def table(*genes):
        pd.DataFrame({"gene": genes, "f": np.arange(len(genes))}).to_csv(tmp_path / "x.csv", index=False)
        return str(tmp_path / "x.csv")

    refused(lambda: load_banks(table("g00", "g01", "X"), task), "none of the 12", "2 agree ('g00' there, 'G00' in")
    refused(lambda: load_banks(table("ENSG0001", "ENSG0002"), task), "Ensembl")
    refused(lambda: load_banks(table("X", "Y"), task), "x.csv", "(G00, G01, G02 and 9 more)", "X, Y")
    assert load_banks(table("G00", "Y"), task)[0].missing(["G00", "G01"]) == ("G01",)


# Pair tables


def pairs(path, rows, header="entity1,entity2"):
    path.write_text("\n".join([header, *(f"{a},{b}" for a, b in rows)]) + "\n")
    return path


def test_pairs_have_no_direction_no_repeats_no_selves_and_no_order(tmp_path):
    graph, _ = ring_of_cliques(4)
    rows = [(f"G{i:02d}", f"G{j:02d}") for i, j in zip(*sp.triu(graph).nonzero(), strict=True)]
    bank = read_pairs(pairs(tmp_path / "a.csv", rows), "a")
    np.testing.assert_allclose(bank.values, spectral_embedding(graph), atol=1e-6)
    assert bank.genes == tuple(f"G{i:02d}" for i in range(graph.shape[0]))
    assert bank.notes == (f"{len(rows)} pairs of {graph.shape[0]} genes",)
    messy = [(b, a) for a, b in rows[::-1]] + rows[:9] + [("G00", "G00"), (" G01 ", "G00")]
    again = read_pairs(pairs(tmp_path / "b.csv", messy), "b")
    assert again.content_hash == bank.content_hash
    extra = [*rows, ("X", "Y"), ("Y", "Z"), ("V", "W"), ("ALONE", "ALONE")]
    more = read_pairs(pairs(tmp_path / "c.csv", extra), "c")
    assert more.content_hash == bank.content_hash  # small parts take no dimension, and are counted
    assert f"described ({graph.shape[0]} genes)" in more.notes[0] and "the 6 genes in 3 separate parts" in more.notes[0]


def test_two_genes_are_a_graph(tmp_path):
    bank = read_pairs(pairs(tmp_path / "a.csv", [("NA", "null")]), "a")  # and gene names, not missing values
    assert bank.genes == ("NA", "null") and bank.values.shape == (2, 2)


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        ([("A", "B")], "gene1,gene2", ["no column 'entity1'", "gene1, gene2"]),
        ([("A", "B")], "entity1,target", ["no column 'entity2'"]),
        ([("A", "A")], "entity1,entity2", ["no pair of two different genes in 1 rows"]),
        ([], "entity1,entity2", ["no pair of two different genes in 0 rows"]),
        ([("A", "B"), ("C", "")], "entity1,entity2", ["1 pairs lack a gene name", "data row 2"]),
        ([("A", "B"), ("C", "D,E,F")], "entity1,entity2", ["line 3"]),
        ([], "<html>,", ["web page"]),
    ],
)
def test_a_wrong_pair_table(rows, header, words, tmp_path):
    path = pairs(tmp_path / "p.csv", rows, header)
    refused(lambda: read_pairs(path, "p"), path, *words)


@pytest.mark.parametrize("table", ["CORUM", "HuMAP", "Reactome", "SIGNOR", "StringDB"])
def test_real_pair_tables(table, real_data, norman):
    path = real_data / "gene_pairs" / f"{table}.csv.gz"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    bank = read_pairs(path, table)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert bank.width == 32 and set(bank.genes) < {*frame["entity1"], *frame["entity2"]}
    found = len(targets(norman.conditions)) - len(bank.missing(targets(norman.conditions)))
    assert 7 <= found <= 23 and (found == 23) == (table == "SIGNOR")
    # Partners lie closer than genes at random do.
    a, known_a = bank.lookup(frame["entity1"].tolist())
    b, known_b = bank.lookup(frame["entity2"].tolist())
    both = known_a & known_b
    chance = (a[both] * np.roll(b[both], 1, axis=0)).sum(axis=1).mean()
    assert (a[both] * b[both]).sum(axis=1).mean() > chance + 0.3


# Coverage


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
