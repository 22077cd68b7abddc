"""One way to a task: from a name, a path, a card or an object in memory, which stays as it is."""

import dataclasses

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import screens

from bench.core.errors import BenchError
from bench.data.cards import read_card
from bench.data.task import load_task

KIND = "doubles"


def an_object(x, obs):
    return anndata.AnnData(x, obs=obs.rename(columns={"context": "cell_type"}), var=pd.DataFrame(index=screens.GENES))


@pytest.fixture(scope="module")
def counts():
    return screens.tiny_counts(contexts=2)


def forms(counts):
    yield "csr", sp.csr_matrix(counts)
    yield "csc", sp.csc_matrix(counts)
    yield "array", sp.csr_array(counts)
    yield "float32", sp.csr_matrix(counts.astype(np.float32))
    yield "dense", counts.toarray()
    yield "half", counts.toarray().astype(np.float16)


def test_an_object_is_read_as_its_file_and_left_alone(counts, tmp_path):
    x, obs = counts
    path = screens.write_h5ad(tmp_path / "adata.h5ad", x, obs.rename(columns={"context": "cell_type"}))
    expected = load_task(path, KIND)
    assert load_task(str(path), KIND).dataset == expected.dataset
    for name, form in forms(x):
        adata = an_object(form, obs)
        before = adata.copy()
        task = load_task(adata, KIND)
        assert task.dataset == expected.dataset and hash(task.dataset) == hash(expected.dataset), name
        assert task.split == expected.split and task.dataset.name == "adata"
        assert task.dataset.card is not None and task.dataset.card.expression == "counts"
        assert type(adata.X) is type(before.X) and adata.X.dtype == before.X.dtype
        dense = [m.toarray() if sp.issparse(m) else np.asarray(m) for m in (adata.X, before.X)]
        np.testing.assert_array_equal(*dense)
        pd.testing.assert_frame_equal(adata.obs, before.obs)
    view = an_object(sp.csr_matrix(x), obs)[::2]
    assert len(load_task(view, KIND).dataset.barcodes) == len(obs) // 2 and view.is_view


def test_unsorted_float_rows_of_an_object_are_not_sorted_in_place(counts):
    x, obs = counts
    log1p = screens.screen(x, obs).x
    unsorted = sp.csr_matrix((log1p.data.copy(), log1p.indices.copy(), log1p.indptr.copy()), shape=log1p.shape)
    for row in range(unsorted.shape[0]):
        mine = slice(unsorted.indptr[row], unsorted.indptr[row + 1])
        unsorted.indices[mine], unsorted.data[mine] = unsorted.indices[mine][::-1], unsorted.data[mine][::-1].copy()
    adata = an_object(unsorted, obs)
    indices, values = adata.X.indices.copy(), adata.X.data.copy()
    task = load_task(adata, KIND)
    np.testing.assert_array_equal(task.dataset.x.toarray(), log1p.toarray())
    np.testing.assert_array_equal(adata.X.indices, indices)
    np.testing.assert_array_equal(adata.X.data, values)


def test_a_card_in_hand(counts, tmp_path):
    x, obs = counts
    screens.write_h5ad(tmp_path / "t.h5ad", x, obs)
    (tmp_path / "t.yaml").write_text(
        "source: t.h5ad\nexpression: counts\ncolumns: {context: context}\nsplit: doubles\n"
    )
    card = read_card(tmp_path / "t.yaml")
    task = load_task(card)
    guessed = card.columns.model_copy(update={"batch": "batch"})
    assert (
        task.dataset.card == card.model_copy(update={"columns": guessed})
        and task.split.kind == "doubles"
        and task.dataset.contexts == ("line0", "line1")
    )
    assert task.dataset == load_task(tmp_path / "t.yaml").dataset


def test_what_is_wrong_with_an_object_is_told_as_of_a_file(counts):
    x, obs = counts
    with pytest.raises(BenchError, match=r"adata: no obs column looks like a perturbation label.* Rename it"):
        load_task(an_object(x, obs.drop(columns="condition")))
    with pytest.raises(BenchError, match=r"adata: no label in obs\['condition'\] looks like a control"):
        load_task(an_object(x, obs[["context"]].assign(condition="A+B")))
    bad = x.toarray().astype(float)
    bad[3, 4] = np.nan
    with pytest.raises(BenchError, match="adata: 1 NaN or infinite values in X"):
        load_task(an_object(bad, obs))
    with pytest.raises(BenchError, match="adata: no X"):
        load_task(anndata.AnnData(obs=obs, var=pd.DataFrame(index=screens.GENES)))
    with pytest.raises(BenchError, match="data of type DataFrame: expected a shipped name"):
        load_task(obs)


def test_data_sets_are_equal_by_content(tiny):
    again = screens.tiny_screen()
    assert tiny == again and hash(tiny) == hash(again)
    assert dataclasses.replace(tiny, name="other", card=None) == tiny
    assert screens.tiny_screen(seed=1) != tiny and tiny != "tiny"
