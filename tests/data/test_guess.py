"""First cards of files as they come: whose columns, whose control, which separator, counts or logs."""

import anndata
import numpy as np
import pandas as pd
import pytest
from screens import GENES, tiny_counts, write_h5ad

from bench.core.conditions import constituents, identity
from bench.core.errors import BenchError
from bench.data.cards import read_card
from bench.data.describe import describe
from bench.data.guess import guess_card, to_yaml
from bench.data.load import load
from bench.data.values import normalise

COUNTS, OBS = tiny_counts(cells=5, controls=40)
LOG = normalise(COUNTS)
NAMES = OBS["condition"].tolist()


def relabel(control, separator, filler=None):
    def label(name):
        genes = constituents(name)
        if not genes:
            return control
        return separator.join([*genes, filler] if filler and len(genes) == 1 else genes)

    return [label(name) for name in NAMES]


def obs(labels, column="condition", **more):
    return pd.DataFrame({column: labels, **more}, index=OBS.index)


def reread(card, folder):
    """The card after a round trip through its YAML."""
    (folder / "again.yaml").write_text(to_yaml(card), encoding="utf-8")
    return read_card(folder / "again.yaml")


@pytest.mark.thinned(14)
@pytest.mark.parametrize("separator", ["+", "_", "|", ",", ";"])
@pytest.mark.parametrize("control", ["ctrl", "control", "non-targeting", "NT", "DMSO", "Control"])
@pytest.mark.parametrize("filled", [False, True])
def test_labels_of_any_house(tmp_path, separator, control, filled):
    labels = relabel(control, separator, control if filled else None)
    path = write_h5ad(tmp_path / "t.h5ad", LOG, obs(labels, "perturbation"))
    card = guess_card(path)
    assert card.columns.condition == "perturbation" and card.control == (control,) and card.separator == separator
    dataset = load(reread(card, tmp_path))
    assert {identity(c) for c in dataset.conditions} == {identity(c) for c in NAMES}
    assert dataset.hash == load(card).hash


def test_a_control_written_twice_fills_singles_too(tmp_path):
    path = write_h5ad(tmp_path / "t.h5ad", LOG, obs(relabel("NT_NT", "_", "NT")))
    assert guess_card(path).control == ("NT", "NT_NT")
    assert {identity(c) for c in load(guess_card(path)).conditions} == {identity(c) for c in NAMES}


@pytest.mark.thinned(2)
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
def test_counts_are_told_from_logs(tmp_path, dense, dtype):
    def guessed(x):
        x = x.toarray() if dense else x
        return guess_card(write_h5ad(tmp_path / "t.h5ad", x.astype(dtype), OBS)).expression

    assert guessed(COUNTS) == "counts"
    assert guessed(COUNTS.minimum(3)) == "counts"
    if dtype != np.int64:
        assert guessed(LOG) == "log1p"


@pytest.mark.parametrize(
    ("var", "expected"),
    [
        (pd.DataFrame(index=GENES), None),
        (pd.DataFrame({"gene_name": GENES}, index=[f"ENSG{i}" for i in range(60)]), "gene_name"),
        (pd.DataFrame({"symbol": GENES}, index=[f"ENSG{i}" for i in range(60)]), "symbol"),
        (pd.DataFrame({"gene_name": [f"ENSG{i}" for i in range(60)]}, index=GENES), None),
        (pd.DataFrame({"gene_name": GENES}, index=GENES), None),
    ],
)
def test_the_gene_names_that_the_labels_use(tmp_path, var, expected):
    anndata.AnnData(LOG, obs=OBS, var=var).write_h5ad(tmp_path / "t.h5ad")
    card = guess_card(tmp_path / "t.h5ad")
    assert card.columns.gene == expected
    assert load(reread(card, tmp_path)).genes.tolist() == GENES.tolist()


def test_files_of_known_houses(tmp_path):
    gem = [1 + i % 3 for i in range(len(NAMES))]
    singles = [constituents(name)[0] if constituents(name) else "non-targeting" for name in NAMES]
    replogle = guess_card(write_h5ad(tmp_path / "a.h5ad", COUNTS, obs(singles, "gene", gem_group=gem)))
    assert replogle.columns.model_dump(exclude_none=True) == {"condition": "gene", "batch": "gem_group"}
    assert (replogle.control, replogle.expression) == (("non-targeting",), "counts")
    table = obs(relabel("control", "_"), "perturbation", cell_line="K562", nperts=1)
    scperturb = guess_card(write_h5ad(tmp_path / "b.h5ad", COUNTS, table))
    assert scperturb.columns.model_dump(exclude_none=True) == {"condition": "perturbation", "context": "cell_line"}
    assert (scperturb.control, scperturb.separator) == (("control",), "_")


@pytest.mark.parametrize("stem", ["my data (v2)", "..hidden", "ä" * 80, "K562-essential_raw.singlecell"])
def test_any_file_name_makes_a_name(tmp_path, stem):
    card = guess_card(write_h5ad(tmp_path / f"{stem}.h5ad", LOG, OBS))
    assert reread(card, tmp_path) == card


def test_what_cannot_be_guessed_says_which_card_to_write(tmp_path):
    path = write_h5ad(tmp_path / "t.h5ad", LOG, OBS.assign(condition="0").rename(columns={"condition": "leiden"}))
    with pytest.raises(BenchError, match=r"no obs column.*there are leiden, context, batch.*condition: COLUMN"):
        guess_card(path)
    path = write_h5ad(tmp_path / "t.h5ad", LOG, OBS.assign(condition=OBS["condition"].replace("ctrl", "clone7")))
    with pytest.raises(BenchError, match=r"looks like a control.*most common 'clone7' .*control: LABEL") as caught:
        guess_card(path)
    line = str(caught.value).split("one line: ")[1].split(", and give")[0].replace("LABEL", "clone7")
    (tmp_path / "t.yaml").write_text(line)
    assert len(load(read_card(tmp_path / "t.yaml")).conditions) == 23


def test_a_description_holds_what_was_found_and_guessed(tmp_path):
    path = write_h5ad(tmp_path / "t.h5ad", COUNTS, OBS)
    text = "\n".join(describe(str(path)))
    for part in (
        "expression: counts",
        "150 cells x 60 genes" if len(NAMES) == 150 else f"{len(NAMES)} cells x 60 genes",
        "12 single, 10 double; cells each: 5 to 5",
        "controls: 40 cells",
        "contexts: 1 (line0); batches: 2",
        "note: counts were normalised",
        "note: 22 conditions have under 10 cells",
        "note: control-limited",
    ):
        assert part in text
    lines = describe(str(write_h5ad(path, -LOG, OBS)))
    assert "guessed" in next(lines)  # the guess is shown although reading fails
    with pytest.raises(BenchError, match="negative"):
        list(lines)
