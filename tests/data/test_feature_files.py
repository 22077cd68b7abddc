"""Files of features: every kind holds the same, and what is said about bad ones."""

import gzip

import numpy as np
import pandas as pd
import pytest
from bank_tests import refused

from bench.data.datamodule import PerturbationDataModule
from bench.data.features.resolve import load_banks
from bench.data.features.tables import read_table
from bench.data.task import Task


@pytest.fixture(scope="module")
def task(tiny, tiny_split):
    return PerturbationDataModule(Task(tiny, tiny_split))


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
