"""Predictions that cannot be log1p expression are refused, and what honest models predict is not."""

import json
from functools import cache

import anndata
import numpy as np
import pandas as pd
import pytest
import screens
from harness import predict_task

import bench
from bench.cli.main import main
from bench.core.errors import BenchError
from bench.data import load
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.tracks.response import plausible
from bench.tracks.response.truth import truth

CLOSED = ("additive", "knn", "linear", "matching_mean", "no_change", "nonctl_mean", "ridge", "rrr", "train_mean")


@cache
def simulated():
    card = load.resolve("simulated")[0]
    dataset = load.load(card)
    return Task(dataset, draw(dataset, card.split, 1, 0))


@pytest.fixture(scope="module")
def task(tiny, tiny_split):
    return Task(tiny, tiny_split)


@pytest.fixture(scope="module")
def facts(task):
    return truth.load(task)


@pytest.fixture(scope="module")
def honest(facts):
    """The truth, moved onto the input controls: as good as a model can be."""
    return facts.c_in + facts.y - facts.c_ref


def in_another_scale(facts, y, scale):
    sd = np.maximum(facts.control_sd, 0.1)
    return {
        "shifts": y - facts.c_in,
        "z-scores": (y - facts.c_in) / sd,
        "expm1": np.expm1(np.maximum(y, 0)),
        "scaled": (y - y.mean(axis=0)) / sd,
        "twice": np.log1p(np.maximum(y, 0)),
        "tenfold": facts.c_in + 100 * (y - facts.c_in),
        "above": np.where(np.arange(y.shape[1]) == 3, 40.0, y),
        "below": np.where(np.arange(y.shape[1]) == 3, -40.0, y),
    }[scale]


REFUSED = {
    "shifts": "shifts or z-scores",
    "z-scores": "shifts or z-scores",
    "scaled": "shifts or z-scores",
    "expm1": "counts",
    "twice": "logged twice",
    "tenfold": "",
    "above": "far above",
    "below": "far below",
}


@pytest.mark.parametrize("scale", REFUSED)
def test_another_scale_is_refused_and_says_what_it_looks_like(task, facts, honest, scale):
    verdict = plausible.judge(task, facts, in_another_scale(facts, honest, scale))
    assert verdict.refusal and REFUSED[scale] in verdict.refusal, verdict
    assert "Expected log1p" in verdict.refusal
    named = [unit.perturbation for unit in facts.units if f"'{unit.perturbation}'" in verdict.refusal]
    assert named and any(f"'{gene}'" in verdict.refusal for gene in facts.genes)


def test_log2_is_named(task, facts, honest):
    verdict = plausible.judge(task, facts, np.maximum(honest, 0) / np.log(2))
    assert not verdict.refusal
    assert any("log2" in line for line in verdict.warnings)


def test_a_good_prediction_and_no_change_are_not_doubted(task, facts, honest):
    assert plausible.judge(task, facts, honest) == plausible.Verdict()
    assert plausible.judge(task, facts, facts.c_in) == plausible.Verdict()


@pytest.mark.ci
@pytest.mark.parametrize("model", CLOSED)
def test_closed_forms_pass_on_simulated_data(model, tmp_path):
    task = simulated()
    _, _, got = predict_task(model, task, tmp_path)
    assert not plausible.judge(task, truth.load(task), got.y_hat).refusal


@pytest.mark.ci
@pytest.mark.parametrize("scale", ["shifts", "z-scores", "expm1", "twice"])
def test_weak_expression_is_told_apart_too(scale):
    """On simulated data the mean gene has .12: its scales are near each other."""
    task = simulated()
    facts = truth.load(task)
    y = in_another_scale(facts, facts.c_in + facts.train_delta, scale)
    if scale == "twice":  # of cells, as a tool would; of such small means it cannot be told
        cells = task.dataset.x[screens.rows_of(task.dataset, task.split.input_cells[facts.contexts[0]])].toarray()
        y = y - np.log1p(facts.c_in) + np.log1p(cells.astype(float)).mean(axis=0)
    assert plausible.judge(task, facts, y) != plausible.Verdict()


def table(task, facts, y, **uns):
    obs = pd.DataFrame({"condition": facts.conditions}, index=[str(i) for i in range(len(y))])
    x = np.asarray(y, dtype=np.float32)
    return anndata.AnnData(x, obs=obs, var=pd.DataFrame(index=list(facts.genes)), uns=uns)


def test_the_python_door_refuses_shifts(task, facts, honest):
    with pytest.raises(BenchError, match="shifts or z-scores"):
        bench.score(table(task, facts, honest - facts.c_in, controls_used="input"), task, progress=False)


@pytest.mark.ci
def test_a_file_without_provenance_is_scored_with_a_warning_and_without_skill(task, facts, honest):
    result = bench.score(table(task, facts, honest), task, progress=False)
    assert any("no data hash and no split id" in line for line in result.record.warnings)
    assert result.record.controls_used == "unknown"
    assert all(level.skill is None for level in result.metrics.values())
    assert "input controls" in result.metrics["pearson_delta"].skill_reason
    named = {"data_hash": task.dataset.hash, "split_id": task.split.split_id, "controls_used": "input"}
    full = bench.score(table(task, facts, honest, **named), task, progress=False)
    assert not any("no data hash" in line or "no split id" in line for line in full.record.warnings)
    assert full.metrics["pearson_delta"].mean == result.metrics["pearson_delta"].mean


def test_the_command_refuses_with_code_2(task, facts, honest, tmp_path, capsys):
    counts, obs = screens.tiny_counts()
    screens.write_h5ad(tmp_path / "tiny.h5ad", counts.astype("float32"), obs)
    (tmp_path / "card.yaml").write_text(
        "name: tiny\nsource: tiny.h5ad\nexpression: counts\n"
        "columns: {condition: condition, context: context, batch: batch}\n"
    )
    lists = {part: getattr(task.split, part) for part in ("train", "val", "test")}
    (tmp_path / "split.json").write_text(json.dumps(lists))
    table(task, facts, np.expm1(honest.clip(0)), controls_used="input").write_h5ad(tmp_path / "mine.h5ad")
    flags = {"data": "card.yaml", "split-file": "split.json", "out": "runs", "leaderboards": "boards"}
    named = [text for flag, name in flags.items() for text in (f"--{flag}", str(tmp_path / name))]
    code = main(["score", str(tmp_path / "mine.h5ad"), "--seed", "1", *named])
    said = capsys.readouterr().err
    assert code == 2 and "mine.h5ad" in said and "counts" in said
    assert not (tmp_path / "boards").exists()
