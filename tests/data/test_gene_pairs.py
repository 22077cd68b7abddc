"""Pair tables as features."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from bank_tests import refused, ring_of_cliques

from bench.data.datamodule import PerturbationDataModule
from bench.data.features.gene_embedding import spectral_embedding
from bench.data.features.gene_pairs import read_pairs
from bench.data.features.resolve import targets
from bench.data.task import Task


@pytest.fixture(scope="module")
def task(tiny, tiny_split):
    return PerturbationDataModule(Task(tiny, tiny_split))


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


@pytest.mark.thinned(1)
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
