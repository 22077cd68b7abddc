"""Pretraining on more cells: in the ledger, in the record, in the checkpoint's identity; absent, nothing is changed."""

import numpy as np
import pytest
import screens
from harness import small
from test_more_cells import other_cells, write

import bench
from bench.core.errors import BenchError
from bench.data.task import Task
from bench.models import registry
from bench.models.pretrained import checkpoint_folder
from bench.training.fit import FitContext


@pytest.fixture
def file(tmp_path):
    x, genes, barcodes = other_cells(300)
    return write(tmp_path / "more.h5ad", x, genes, barcodes)


@pytest.mark.slow
def test_a_run_says_what_it_was_pretrained_on(tiny, tiny_split, file, tmp_path):
    task = Task(tiny, tiny_split)
    options = {**small("mae"), "progress": False, "out": tmp_path / "runs"}
    plain = bench.run("mae", task, **options).record
    more = bench.run("mae", task, pretrain_data=str(file), **options).record
    assert "pretrain_data" not in plain.spec.arguments and "pretrain_data" not in plain.hashes
    assert more.spec.arguments["pretrain_data"].startswith("more.h5ad@")
    assert "pretrain_data=more.h5ad@" in more.spec.label and str(tmp_path) not in more.model_dump_json()
    assert len(more.hashes["pretrain_data"]) == 64 and any("300 more cells" in line for line in more.warnings)
    n = 10 * 30 + 60  # train cells and input controls
    epochs, batch = small("mae")["epochs"], small("mae")["batch_size"]
    assert more.budget.cells_seen - plain.budget.cells_seen == epochs * batch * ((n + 300) // batch - n // batch)
    assert len(list((tmp_path / "runs/encoders").iterdir())) == 2
    # The same file elsewhere is the same run; another file of that name is another.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = file.rename(elsewhere / "more.h5ad")
    assert bench.run("mae", task, pretrain_data=str(moved), **options).record == more
    x, genes, barcodes = other_cells(300)
    write(file, np.roll(x, 1, axis=1), genes, barcodes)
    other = bench.run("mae", task, pretrain_data=str(file), **options).record
    assert other.run_id != more.run_id and other.hashes["pretrain_data"] != more.hashes["pretrain_data"]
    assert len(list((tmp_path / "runs/encoders").iterdir())) == 3


def test_a_file_that_is_not_given_is_no_part_of_a_checkpoints_identity(module, tmp_path):
    model = registry.load("jepa")()
    known = {name: each.default for name, each in registry.arguments(type(model)).items()}
    folders = []
    for arguments in (known, {name: value for name, value in known.items() if name != "pretrain_data"}):
        model.fit_context = FitContext(folder=tmp_path, arguments=arguments)
        folders.append(checkpoint_folder(model, module))
    assert folders[0] == folders[1]


def test_a_hidden_cell_is_refused_before_anything_is_trained(module, tmp_path):
    hidden = module.rows("test")[:1]
    x, genes, barcodes = other_cells(genes=screens.GENES)
    x[0] = screens.tiny_counts()[0].toarray()[hidden]
    path = write(tmp_path / "f.h5ad", x, genes, barcodes)
    for name in ("jepa", "vicreg", "supervised"):
        with pytest.raises(BenchError, match="hidden from models .*first 'more0'"):
            registry.load(name)(pretrain_data=str(path), **small(name)).freeze_encoder(module)
    with pytest.raises(BenchError, match="no such file"):
        bench.run("jepa", module.task, pretrain_data=str(tmp_path / "none.h5ad"), progress=False)
