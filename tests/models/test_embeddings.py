"""Latents of a file under the shared response: the numbers of the encoder that made them, and every file refused."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import screens
from harness import small

from bench.core.conditions import CONTROL
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.training.embedding import embed_rows
from bench.training.fit import FitContext


def write(path, barcodes, z, key="X_mine", x=None):
    """A file as another tool would write it."""
    obs = pd.DataFrame(index=pd.Index(list(barcodes)))
    table = (
        anndata.AnnData(x, obs=obs, obsm={key: z} if key != "X" else None) if key != "X" else anndata.AnnData(z, obs)
    )
    table.write_h5ad(path)
    return path


def encoder_of(module, path, key="X_mine", evaluates=False):
    model = registry.load("embeddings")(encoder_embeddings=str(path), key=key, **small("embeddings"))
    model.fit_context = FitContext(evaluates_encoder=evaluates)
    model.freeze_encoder(module)
    return model


def visible_rows(module):
    return np.union1d(module.representation_rows("train"), module.rows("val"))


@pytest.fixture
def latents(tiny):
    return np.random.default_rng(5).normal(size=(len(tiny.barcodes), 6)).astype(np.float32)


@pytest.mark.parametrize("form", ["obsm", "X", "sparse", "shuffled", "with others", "visible alone"])
def test_each_cell_has_the_latent_of_its_barcode(module, latents, tmp_path, form):
    data, rows = module.dataset, visible_rows(module)
    barcodes, z, key, x = data.barcodes, latents, "X_mine", None
    if form == "X":
        key = "X"
    elif form == "sparse":
        z = sp.csr_matrix(latents)
    elif form == "shuffled":
        order = np.random.default_rng(0).permutation(len(barcodes))
        barcodes, z = barcodes[order], latents[order].astype(np.float64)
    elif form == "with others":
        barcodes, z = [*barcodes, "stranger"], np.vstack([latents, np.full((1, 6), np.nan, np.float32)])
    elif form == "visible alone":
        barcodes, z = barcodes[rows], latents[rows]
    model = encoder_of(module, write(tmp_path / "f.h5ad", barcodes, z, key, x), key)
    np.testing.assert_array_equal(embed_rows(model.embed, data.x, rows[::-1]), latents[rows[::-1]])
    assert model.fit_report.parameters["encoder"] == 0 and len(model.inputs["embeddings"]) == 64
    assert any("pretrained on: not said" in line for line in model.warnings)


def test_cells_of_one_expression_share_the_mean_and_hidden_ones_move_no_visible_one(tmp_path):
    counts, obs = screens.tiny_counts()
    data = screens.screen(counts, obs)
    split = screens.hand_split(data)
    train, test = data.rows(split.train)[:3], data.rows(split.test)[:2]
    dense = counts.toarray()
    dense[train[1]] = dense[train[2]] = dense[test[0]] = dense[train[0]]
    data = screens.screen(sp.csr_matrix(dense), obs)
    z = np.arange(len(obs), dtype=np.float32)[:, None] ** 2
    module = PerturbationDataModule(Task(data, split))
    model = encoder_of(module, write(tmp_path / "f.h5ad", data.barcodes, z), evaluates=True)
    shared = np.square(train, dtype=float).mean()
    got = embed_rows(model.embed, data.x, np.concatenate([train, test]))[:, 0]
    np.testing.assert_allclose(got, [shared, shared, shared, shared, float(test[1]) ** 2], rtol=1e-6)
    assert any("3 cells have the expression of another cell" in line for line in model.warnings)
    z[test[0]] = -7e6
    other = encoder_of(module, write(tmp_path / "g.h5ad", data.barcodes, z), evaluates=True)
    np.testing.assert_array_equal(embed_rows(other.embed, data.x, train)[:, 0], got[:3])


def test_what_is_asked_for_beyond_the_file_is_refused(module, latents, tmp_path):
    data, rows = module.dataset, visible_rows(module)
    model = encoder_of(module, write(tmp_path / "f.h5ad", data.barcodes[rows], latents[rows]))
    hidden = module.rows("test")
    with pytest.raises(BenchError, match=f"none of 2 of 2 cells .first '{data.barcodes[hidden[0]]}'"):
        embed_rows(model.embed, data.x, hidden[:2])
    other = data.x[rows[:1]].copy()
    other.data = other.data + np.float32(0.5)
    with pytest.raises(BenchError, match="1 of 1 cells are none of the data set's"):
        embed_rows(model.embed, other, np.array([0]))


def test_an_encoder_that_is_evaluated_needs_hidden_cells_too(module, latents, tmp_path):
    data, rows = module.dataset, visible_rows(module)
    path = write(tmp_path / "f.h5ad", data.barcodes[rows], latents[rows])
    needed = np.union1d(rows, np.union1d(module.rows("test"), data.cells_of[CONTROL]))
    first = data.barcodes[np.setdiff1d(needed, rows)[0]]
    with pytest.raises(BenchError, match=f"{len(needed) - len(rows)} of the {len(needed)} cells.*first '{first}'"):
        encoder_of(module, path, evaluates=True)


def test_files_that_are_refused(module, latents, tmp_path):
    data, path = module.dataset, tmp_path / "f.h5ad"
    names, n = data.barcodes, len(data.barcodes)

    def refused(words, key="X_mine"):
        with pytest.raises(BenchError) as raised:
            encoder_of(module, path, key)
        for word in (str(path), *words):
            assert word in str(raised.value), raised.value
        assert "\n" not in str(raised.value)

    write(path, [f"other{i}" for i in range(n)], latents)
    refused(["cells that are needed have no row", "'cell", "barcodes", "['other0', 'other1']"])
    write(path, [names[0], names[0], *names[2:]], latents)
    refused(["1 barcodes stand twice", f"'{names[0]}'"])
    write(path, names, np.where(np.arange(n)[:, None] == 7, np.inf, latents))
    refused(["obsm['X_mine'] of 1 cells are not finite", f"'{names[7]}'"])
    write(path, names, latents, x=latents)
    refused(["there is no obsm['X_mime']", "Did you mean 'X_mine'", "X, X_mine"], "X_mime")
    refused(["--key", "X, X_mine"], "")
    write(path, names, pd.DataFrame(latents, index=names, columns=list("abcdef")))
    refused(["a table", "to_numpy"])
    write(path, names, latents)
    refused(["there is no X", "X_mine"], "X")
    for stored, words in (
        (latents[:-1], [f"({n - 1}, 6)", f"each of the {n} cells"]),
        (latents[:, 0], [f"({n},)", "one row"]),
        (latents.astype("S4"), ["holds |S4", "numbers"]),
        (np.zeros((n, 20_000), "u1"), ["20000 numbers", "16384"]),
    ):
        with h5py.File(path, "r+") as handle:
            del handle["obsm/X_mine"]
            handle["obsm"].create_dataset("X_mine", data=stored)
        refused(words)
    with h5py.File(tmp_path / "outside.h5", "w") as handle:
        handle["z"] = latents
    for make, words in (
        (lambda obsm: obsm.__setitem__("X_mine", h5py.ExternalLink("outside.h5", "z")), "a link to another file"),
        (
            lambda obsm: obsm.create_dataset("X_mine", (n, 6), "f4", external=[("raw.bin", 0, h5py.h5f.UNLIMITED)]),
            "lie in another file",
        ),
    ):
        with h5py.File(path, "r+") as handle:
            del handle["obsm/X_mine"]
            make(handle["obsm"])
        refused(["obsm/X_mine", words])
    with pytest.raises(BenchError, match="--encoder-embeddings"):
        registry.load("embeddings")().freeze_encoder(module)
