"""``bench plan --model``: one fit, predictions of all candidates, a record and a board."""

import json

import numpy as np
import pandas as pd
import pytest
import screens
import torch
from command import bench, furnish, last, refuse
from harness import small

from bench.core.conditions import constituents
from bench.data.datamodule import InputBatch, PerturbationDataModule
from bench.data.task import Task
from bench.models import registry
from bench.results import everything
from bench.results import records as kept
from bench.runner import by_track, fit
from bench.runner.candidates import predict
from bench.runner.config import make_config
from bench.runner.model_choice import choose
from bench.sweep.suite import kind
from bench.tracks import registry as tracks
from bench.tracks.planning import run as evaluation

#: Closed forms, encoders with the shared response, and networks of their own.
KINDS = ["additive", "nearest_context", "latent_additive"]
KINDS += [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("ridge", "random_encoder", "vicreg", "supervised", "perturbed_vae")
]
PLAN = ["plan", "--data", "t.yaml", "--split", "custom", "--split-file", "split.json"]


@pytest.fixture(scope="module")
def asked():
    data = screens.tiny_screen()
    task = Task(data, screens.hand_split(data))
    return task, *evaluation.asked(task)


def fitted(name, asked):
    task, whole, units = asked
    model = registry.load(name)(**small(name))
    module = PerturbationDataModule(whole, seed=1, asked=units)
    fit.fit(model, module, 1)
    return model, module


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_model_predicts_every_candidate(name, asked):
    """And what it predicts for a test condition is what it predicts where only test conditions are asked for."""
    model, module = fitted(name, asked)
    found = predict(model, module, name)
    assert list(found) == list(module.predicted_units) and len(found) == 78
    data, (rows,) = module.dataset, module.input_rows
    controls = torch.from_numpy(data.x[rows].toarray())
    plain = registry.load(name)(**small(name))
    before = PerturbationDataModule(asked[0], seed=1)
    fit.fit(plain, before, 1)
    for unit in before.task.units[:3]:
        at = before.dataset.conditions.index(unit.perturbation)
        batch = InputBatch(controls, torch.full((len(rows),), at), torch.zeros(len(rows), dtype=torch.int64))
        with torch.no_grad():
            wanted = plain.predict_step(batch).double().mean(dim=0).numpy()
        np.testing.assert_allclose(found[unit], wanted, atol=1e-5, err_msg=unit.perturbation)
    never = [unit for unit in found if unit.perturbation not in asked[0].dataset.conditions]
    assert len(never) == 56 and all(len(constituents(unit.perturbation)) == 2 for unit in never)


def test_the_sum_of_singles_is_predicted_for_pairs_that_were_never_done(asked):
    model, module = fitted("additive", asked)
    found, by_name = predict(model, module, "additive"), {}
    for unit, mean in found.items():
        by_name[frozenset(constituents(unit.perturbation))] = mean - module.input_means[0]
    pair = by_name[frozenset({"G00", "G05"})]
    np.testing.assert_allclose(pair, by_name[frozenset({"G00"})] + by_name[frozenset({"G05"})], atol=1e-12)


def test_a_number_that_is_none_is_no_prediction(asked):
    model, module = fitted("additive", asked)
    model.get_buffer("table")[:] = float("nan")
    with pytest.raises(Exception, match="model 'x' predicted NaN"):
        predict(model, module, "x")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    return tmp_path


@pytest.mark.ci
def test_from_the_command_line(capsys, here):
    code, out, err = bench(capsys, *PLAN, "--model", "train_mean,additive", "--task", "E1")
    assert code == 0, err
    record = json.loads((here / last(out)).read_text())
    assert record["track"] == "planning" and "candidates of which the model knows nothing" in " ".join(
        record["warnings"]
    )
    title = next(line for line in out.splitlines() if line.startswith("rank"))
    assert "20 cells" in title and "hit@10" in title and "regret" not in title
    rows = pd.read_csv(here / "runs" / "leaderboards" / "t__planning.csv").set_index("model")
    n = len(json.loads((here / "split.json").read_text())["test"])
    chance = sum(1 / k for k in range(1, n + 1)) / n
    assert rows.loc["train_mean", "e1_mrr_20"] == pytest.approx(chance, rel=1e-5)
    assert rows.loc["floor", "e1_mrr_20"] >= rows.loc["train_mean", "e1_mrr_20"] - 1e-6
    assert everything.check(tracks.tracks(), here / "runs" / "leaderboards") == (1, 0)
    # Again: nothing is fitted, and the table is the same.
    code, again, err = bench(capsys, *PLAN, "--model", "train_mean,additive", "--task", "E1")
    assert (code, again) == (0, out) and "finished already" in err
    # Below a table without skill nobody is told to look at it; programs get the columns that people do.
    assert "Look first at skill" not in err and "bags of 20" in err and "mostly by" not in title
    code, out, _ = bench(capsys, *PLAN, "--model", "train_mean", "--json")
    whole = json.loads(out)
    assert code == 0 and {row["model"] for row in whole} >= {"train_mean", "additive", "ceiling"}
    code, out, _ = bench(capsys, *PLAN, "--model", "train_mean", "--json", "--task", "e1")
    one = json.loads(out)
    assert [{k: row[k] for k in one[0]} for row in whole] == one
    assert {"rank", "model", "e1_mrr_20", "e1_hit10_20_ci_low"} <= set(one[0])
    assert not [name for name in one[0] if name.startswith(("e2", "e4", "skill", "beat"))]
    code, out, _ = bench(capsys, *PLAN, "--model", "train_mean", "--csv", "--task=E4")
    assert code == 0 and "e4_regret," in out and "e1_mrr_20" not in out and ",skill," not in out
    assert bench(capsys, "explain", "E1")[0] == 0 and bench(capsys, "explain", "e4_regret")[0] == 0


def test_what_cannot_be_asked(capsys, here):
    refuse(capsys, [*PLAN, "--model", "ridg"], "unknown model 'ridg'", "ridge")
    refuse(capsys, [*PLAN, "--model", "ridge", "--task", "E9"], "--task 'E9'", "E1, E2")
    held_out = [*PLAN, "--model", "ridge", "--task", "E7"]
    refuse(capsys, held_out, "--task E7 asks in contexts that were held out", "add --split unseen_context")
    split = json.loads((here / "split.json").read_text())
    (here / "split.json").write_text(json.dumps({**split, "test": split["test"][:1]}))
    refuse(capsys, [*PLAN, "--model", "train_mean"], "fewer than 2 test conditions")


def test_help_has_the_flag_that_narrows_the_table(capsys):
    assert bench(capsys, "plan", "--help")[0] == 0  # also where no model is named
    with pytest.raises(SystemExit) as ended:
        bench(capsys, "plan", "--model", "ridge", "--help")
    out = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0 and "--task TASK" in out and "<class" not in out
    assert "(default: all, in short) --" in out


def test_a_record_is_of_its_task_and_predictions(here, asked):
    config = make_config(
        choose("additive"), {}, data="tiny", seeds=((1, 1, 1),), out=here / "runs", leaderboards=here / "boards"
    )
    (path,) = by_track.run(tracks.get("planning"), config, asked[0])
    record = kept.read(path)
    assert record.hashes["data"] == asked[0].dataset.hash and len(record.hashes["predictions"]) == 64
    assert by_track.finished(tracks.get("planning"), config, record.spec) == path


def test_a_suite_may_hold_plans():
    suite = kind().model_validate({"name": "s", "plan": [{"models": "ridge", "data": "simulated"}]})
    assert [verb for verb, _ in suite.blocks()] == ["plan"]
