"""Candidates of a plan: compounds at doses that were measured and at others, what is avoided, and what is refused."""

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import screens
from harness import small, spec_of

from bench.core.conditions import CONTROL, single, treated
from bench.core.errors import BenchError
from bench.data.datamodule import PerturbationDataModule
from bench.data.task import load_task
from bench.models import registry
from bench.runner import fit, planner
from bench.runner.saved import Fitted

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """Two saved models of compounds at 0.1, 1 and 10 uM, the state of one of them at 10 uM, and vehicles."""
    here = tmp_path_factory.mktemp("doses")
    path = screens.chemical_file(here, cells=10, controls=40)
    names = [f"{group}-{ring}" for ring in screens.RINGS for group in screens.GROUPS]
    lists = {"train": names[2:], "val": names[1:2], "test": names[:1]}
    (here / "lists.json").write_text(json.dumps(lists))
    task = load_task(str(path), "custom", split_file=here / "lists.json")
    for name in ("identity", "train_mean"):
        arguments = {**small(name), **({"features": "fingerprints"} if name == "identity" else {})}
        model = registry.load(name)(**arguments)
        fit.fit(model, PerturbationDataModule(task, seed=1), 1)
        Fitted(name, model, arguments, task, spec_of(name, task)).save(here / name)
    data = task.dataset
    line = data.context == 0
    for name, condition in {"goal": treated(single(names[0]), "10 uM"), "start": CONTROL}.items():
        rows = np.flatnonzero(line & (data.condition == data.conditions.index(condition)))
        obs, var = pd.DataFrame(index=data.barcodes[rows]), pd.DataFrame(index=data.genes)
        anndata.AnnData(data.x[rows], obs=obs, var=var).write_h5ad(here / f"{name}.h5ad")
    return here


def asked(here, name="identity", **options):
    return planner.solve(here / name, here / "goal.h5ad", here / "start.h5ad", **options)


def test_candidates_are_compounds_at_the_doses_of_the_screen(screen):
    found = asked(screen, top=200)
    table = found.table
    assert list(table)[:3] == ["rank", "perturbation", "dose"] and len(table) == found.considered == 35 * 3
    assert set(table["dose"]) == {"0.1 uM", "1 uM", "10 uM"} and table["perturbation"].nunique() == 35
    known = table.set_index("perturbation")["known"]
    assert set(known["hydroxy-benzene"]) == {"features only"} and set(known["amino-pyridine"]) == {"train"}


def test_other_doses_are_asked_for_where_the_dose_enters_the_action(screen):
    found = asked(screen, doses="3,100 nM", top=200)
    assert set(found.table["dose"]) == {"3 uM", "0.1 uM"} and found.considered == 70
    assert any("not measured in the screen: 3 uM" in note for note in found.notes)
    after = found.table.set_index(["dose", "perturbation"])["after"]
    between = asked(screen, doses=[1, 3, 10], candidates=["amino-pyridine"]).table.set_index("dose")["after"]
    assert between["3 uM"] == pytest.approx(after["3 uM", "amino-pyridine"])
    assert min(between["1 uM"], between["10 uM"]) < between["3 uM"] < max(between["1 uM"], between["10 uM"])


def test_a_compound_with_its_dose_is_one_candidate_and_either_may_be_avoided(screen):
    names = ["amino-pyridine @ 2 uM", "cyano-benzene"]
    assert asked(screen, candidates=names).considered == 1 + 3
    assert asked(screen, candidates=names, avoid="cyano-benzene @ 10 uM").considered == 3
    found = asked(screen, candidates=names, avoid="amino-pyridine,nobody at all")
    assert found.considered == 3 and any("in no candidate: nobody at all" in note for note in found.notes)


def test_a_closed_form_has_the_doses_that_it_keeps(screen):
    found = asked(screen, "train_mean", doses="10", top=50)
    assert set(found.table["dose"]) == {"10 uM"} and found.considered
    with pytest.raises(BenchError, match="the dose enters no action of this model.* cannot be asked for 3 uM"):
        asked(screen, "train_mean", doses="3")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"doses": "much"}, "'much' is no dose"),
        ({"doses": "-1"}, "'-1' is no dose"),
        ({"candidates": "pairs"}, "single compounds only"),
        ({"candidates": ["amino-pyridine"], "avoid": ["amino-pyridine"]}, "no candidates left after --avoid"),
    ],
)
def test_what_is_refused(screen, options, words):
    with pytest.raises(BenchError, match=words):
        asked(screen, **options)
