"""The shipped cards of data that can be fetched: they read files with the columns and labels of the published ones."""

import re
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import screens

from bench.core.conditions import CONTROL, bare, treatment_of, written
from bench.core.text import amount
from bench.data.cards import find_card, names
from bench.data.load import load

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
FETCHED = [name for name in names() if find_card(name).address]
COMPOUNDS = ["(+)-JQ1", "Tanespimycin (17-AAG)", "Belinostat", "SRT1720 HCl"]

#: What is in the published files: labels (the control first, None = a cell without one), and the other columns. Labels
#: and columns were taken from code that reads the files, of the packagers and of others.
PUBLISHED = {
    "kang18": (["ctrl", "stim"], "label", {"cell_type": ["B cells", "NK cells"], "replicate": ["patient_101", "x"]}),
    "sciplex3": (
        ["control", *COMPOUNDS, None],
        "perturbation",
        {"cell_line": ["A549", "K562"], "replicate": ["rep1", "rep2"], "dose_value": [10.0, 100.0], "time": [24, 72]},
    ),
    "frangieh21": (["control", "HLA-B", "G01", "G02"], "perturbation", {"perturbation_2": ["Control", "IFNγ"]}),
    "papalexi21": (["control", "G01g1", "G01g2", "G02g1"], "perturbation", {"hto": ["rep1-tx", "rep3-tx"]}),
    "openproblems23_pbmc": (
        ["Dimethyl Sulfoxide", *COMPOUNDS],
        "sm_name",
        {
            "cell_type": ["B cells", "NK cells"],
            "plate_name": ["plate_1", "plate_2"],
            "donor_id": ["donor_0", "donor_1"],
            "dose_uM": [1.0, 14.1],
            "timepoint_hr": [24.0, 24.0],
        },
    ),
}
#: Dose and time of their conditions.
TREATMENTS = {"sciplex3": {"0.01 uM 24 h", "0.1 uM 72 h"}, "openproblems23_pbmc": {"1 uM", "14.1 uM"}}
FOUND = {
    "kang18": {"stim"},
    "sciplex3": set(COMPOUNDS),
    "frangieh21": {"HLA-B", "G01", "G02"},
    "papalexi21": {"G01", "G02"},
    "openproblems23_pbmc": set(COMPOUNDS),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_file_as_it_is_published_is_read(name, tmp_path):
    labels, column, others = PUBLISHED[name]
    card = find_card(name)
    counts, _ = screens.tiny_counts()
    n = 40 * len(labels)
    obs = pd.DataFrame({column: pd.Categorical(np.repeat(labels, 40))}, index=[f"c{i}" for i in range(n)])
    for other, values in others.items():
        obs[other] = [values[(i // 2) % len(values)] for i in range(n)]
    matrix = counts[:n].astype(np.float32)
    adata = anndata.AnnData(matrix, obs=obs, var=pd.DataFrame(index=screens.GENES))
    if card.layer:
        adata.layers[card.layer], adata.X = adata.X, adata.X.log1p()
    (tmp_path / card.source).parent.mkdir()
    adata.write_h5ad(tmp_path / card.source)
    dataset = load(card.model_copy(update={"folder": tmp_path}))
    perturbed = [c for c in dataset.conditions if c != CONTROL]
    assert {written(bare(c)).removesuffix(f"+{CONTROL}") for c in perturbed} == FOUND[name]
    assert {treatment_of(c) for c in perturbed} == TREATMENTS.get(name, {""})
    assert len(dataset.barcodes) == 40 * len([label for label in labels if label is not None])
    assert len(dataset.contexts) == (len(others[card.columns.context]) if card.columns.context else 1)
    assert len(dataset.batches) == (len(others[card.columns.batch]) if card.columns.batch else 1)
    assert np.allclose(np.expm1(dataset.x.toarray()).sum(1), 1e4, rtol=1e-4)  # counts, normalised once


@pytest.mark.parametrize("name", FETCHED)
def test_the_table_of_the_docs_says_what_the_card_says(name):
    card = find_card(name)
    (row,) = re.findall(rf"^\| `{name}` \|.*$", DOCS, re.M)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    checked = card.checksum.partition(":")[0] if card.checksum else "first fetch"
    assert cells[2:] == [amount(card.size) if card.size else "not known", checked, card.licence or "not known"]
    assert card.citation and card.address.startswith("https://")


def test_the_table_has_no_other_rows():
    section = DOCS.partition("## Data that can be fetched")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.M) == FETCHED
