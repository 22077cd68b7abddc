"""What a predictions file calls conditions, contexts and genes, and which column it is in."""

import numpy as np
import pandas as pd
import pytest

from bench.core.errors import BenchError
from bench.data.cards import Card, Columns
from bench.data.naming import Naming, absent_genes, read_gene_names, rows_by_identity

WANTED = ("KLF1+ctrl", "SET+KLF1", "SET+ctrl")
#: What a card says of a file with guides and '_' between them.
OWN = Card(
    name="own",
    source="x.h5ad",
    control=("NT",),
    separator="_",
    strip=r"-\d+",
    columns=Columns(condition="guide", context="line"),
)


@pytest.mark.parametrize(
    ("naming", "labels"),
    [
        (Naming(), ["KLF1", "KLF1+SET", "ctrl+SET", "other"]),
        (Naming(control=("non-targeting",)), ["KLF1+non-targeting", "SET+KLF1", "SET", "x"]),
        (Naming(OWN), ["KLF1-2_NT", "SET-1_KLF1-9", "SET-3", "y_z"]),
        (Naming(OWN), ["KLF1+ctrl", "SET+KLF1", "SET-1", "NT"]),  # ours and theirs in one file
    ],
)
def test_labels_of_ours_and_of_the_card_mean_the_same_conditions(naming, labels):
    named = naming.names_of(labels, WANTED)
    assert [set(name.split("+")) - {"ctrl"} for name in named[:3]] == [{"KLF1"}, {"SET", "KLF1"}, {"SET"}]
    assert named[3] not in WANTED


def test_a_name_with_a_plus_inside_is_the_compound_and_not_a_pair():
    card = OWN.model_copy(update={"separator": "none", "strip": None})
    known = ("JQ1 (＋)+ctrl", "DMSO＋X+ctrl")
    assert Naming(card).names_of(["JQ1 (+)", "DMSO+X"], known) == list(known)


def test_the_column_that_names_the_most_conditions_is_taken(tmp_path):
    obs = pd.DataFrame(
        {
            "condition": ["stim", "stim", "KLF1"],  # names one of them
            "target_gene": pd.Categorical(["KLF1", "SET", "non-targeting"]),
            "number": [1, 2, 3],
        }
    )
    column, names = Naming().conditions(obs, WANTED, tmp_path)
    assert column == "target_gene" and names.tolist()[:2] == ["KLF1+ctrl", "SET+ctrl"]
    assert Naming(column="condition").conditions(obs, WANTED, tmp_path)[0] == "condition"
    with pytest.raises(BenchError, match=r"no obs column 'gone' \(there are: condition, target_gene, number\)"):
        Naming(column="gone").conditions(obs, WANTED, tmp_path)


def test_where_no_column_names_one_all_are_listed_with_what_is_in_them(tmp_path):
    obs = pd.DataFrame({"guide": ["A1", "A2", "B1"], "line": "K562"})
    with pytest.raises(BenchError) as caught:
        Naming(OWN).conditions(obs, WANTED, tmp_path / "p.h5ad")
    said = str(caught.value)
    for word in ("p.h5ad", "'guide' ('A1', 'A2', 'B1'; 3 labels)", "'line' ('K562'", "--column", "control: NT"):
        assert word in said, said


def test_contexts_are_in_our_column_the_cards_or_a_usual_one():
    obs = pd.DataFrame({"celltype": ["K562", "RPE1"], "line": ["a", "b"]})
    assert Naming(OWN).contexts(obs, ["a", "b"]).tolist() == ["a", "b"]
    assert Naming().contexts(obs, ["K562", "RPE1"]).tolist() == ["K562", "RPE1"]
    assert Naming().contexts(obs, ["HepG2"]) is None
    assert Naming(OWN).contexts(obs.assign(context="b"), ["a", "b"]).tolist() == ["b", "b"]


def test_genes_are_named_by_the_index_or_by_what_names_more_of_them(tmp_path):
    var = pd.DataFrame({"symbol": ["A", "B", "C"], "length": [1, 2, 3]}, index=["E1", "E2", "E3"])
    assert Naming().genes(var, ["A", "B"], tmp_path) == ["A", "B", "C"]
    assert Naming().genes(var, ["E1", "C"], tmp_path) == ["E1", "E2", "E3"]  # of equals the index
    assert Naming(gene_names=("X", "Y", "Z")).genes(var, ["X"], tmp_path) == ["X", "Y", "Z"]
    with pytest.raises(BenchError, match="3 columns, but 2 gene names"):
        Naming(gene_names=("X", "Y")).genes(var, ["X"], tmp_path)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["0", "1"], ("2 of 2 genes", "--gene-names")),
        (["A", "x"], ("1 of 2 genes are missing from var_names (B)", "--genes subset")),
        (["x", "y"], ("name them as the data do",)),
    ],
)
def test_what_to_do_about_missing_genes(names, words, tmp_path):
    said = str(absent_genes(names, ["A", "B"], tmp_path))
    assert all(word in said for word in words), said
    assert absent_genes(["B", "A", "C"], ["A", "B"], tmp_path) is None


def test_gene_names_are_the_first_column_of_a_list(tmp_path):
    path = tmp_path / "genes.csv"
    path.write_text('"A",ENSG1\nB\tx\n\nC\n')
    assert read_gene_names(path) == ("A", "B", "C")
    path.write_text("\n")
    with pytest.raises(BenchError, match="no names of genes"):
        read_gene_names(path)


def test_rows_of_two_spellings_are_one_condition():
    rows = rows_by_identity(pd.Series(["A+B", "C+ctrl", "B+A", "ctrl+C"]))
    assert {key: value.tolist() for key, value in rows.items()} == {
        frozenset({"A", "B"}): [0, 2],
        frozenset({"C"}): [1, 3],
    }
    assert all(value.dtype == np.int64 for value in rows.values())
