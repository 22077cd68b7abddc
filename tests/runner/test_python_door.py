"""What users of the Python API see: objects on one line, and errors that speak of arguments and of what they gave."""

import anndata
import numpy as np
import pandas as pd
import pytest

import bench
from bench.core.errors import BenchError
from bench.core.python_door import in_python


def test_objects_are_shown_on_one_line(tiny, tiny_split, here):
    task = bench.Task(tiny, tiny_split)
    n = len(task.units)
    shown = f"<Task {tiny.name}, split {tiny_split.name}, seed 1: {len(tiny.barcodes):,} cells, {n} test units>"
    assert repr(task) == shown
    result = bench.run("train_mean", task, progress=False)
    named = f"<Result train_mean on {tiny.name}, split {tiny_split.name}, seed 1: run {result.record.run_id}>"
    assert repr(result) == str(result) == named
    assert all(len(repr(each)) < 150 and "\n" not in repr(each) for each in (tiny, tiny_split))


def test_what_a_folder_of_boards_does_not_hold_is_refused_and_an_empty_folder_is_empty(here, adata):
    task = bench.load_task(adata, split="doubles")
    assert bench.board("nope").empty and bench.board(task).empty
    kept = bench.run("train_mean", task, out="runs", progress=False)
    name = kept.record.spec.dataset
    (one,) = (bench.board(name, models="train_mean")["model"].iloc[:1]).tolist()
    assert one == "train_mean"
    with pytest.raises(BenchError, match=f"unknown data set with a board 'adat'. Did you mean '{name}'"):
        bench.board("adat")
    with pytest.raises(BenchError, match="unknown split with a board 'double'. Did you mean 'doubles'"):
        bench.board(name, split="double")


def test_an_object_without_labels_is_named_as_its_user_knows_it(tiny, tiny_split):
    task = bench.Task(tiny, tiny_split)
    given = anndata.AnnData(np.zeros((3, len(tiny.genes))), obs=pd.DataFrame({"lab": list("abc")}, index=list("xyz")))
    with pytest.raises(BenchError) as caught:
        bench.score(given, task, progress=False)
    said = str(caught.value)
    assert said.startswith("the AnnData: no obs column 'condition'") and "--" not in said and "h5ad" not in said
    assert "by the argument 'column'" in said and "by the argument 'control'" in said
    with pytest.raises(BenchError, match="^the AnnData: no obs column 'gene'"):
        bench.score(given, task, column="gene", progress=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("say by --column, or by --gene-names FILE.", "say by the argument 'column', or by the argument 'gene_names'."),
        ("To score them: --genes subset.", "To score them: genes='subset'."),
        ("--debug shows it; a--column", "--debug shows it; a--column"),  # no argument, no flag
        ("--column goes with it", "the argument 'column' goes with it"),
    ],
)
def test_flags_in_messages_are_arguments_in_python(text, said):
    assert in_python(text, {"column", "genes", "gene_names"}) == said
