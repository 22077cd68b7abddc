"""Rows of known latents in suites: what a block stands for, what is refused, that a sweep does as the verb does."""

import json
from pathlib import Path

import pytest
from command import bench, last

from bench.core.errors import BenchError
from bench.results import records
from bench.runner import publish
from bench.sweep import suite as suites
from bench.sweep.job import Work, command, work_of
from bench.sweep.plan import check_claims, configs, folders, label, plan

PLACES = folders(Path("runs"), Path("runs/leaderboards"))
#: Five latents, each hit by a perturbation.
DATA, NAME = "g2:cells=40,controls=60", "g2_cells40_controls60"
CLAIM = f"better: ica, worse: noise, data: {NAME}, split: cells, metric: mcc_within"


def read(folder, block, claims=""):
    path = folder / "s.yaml"
    path.write_text(f"identify: [{block}]\nclaims: [{claims}]\n")
    return suites.read(path)


def test_a_block_is_a_product_of_screens_rows_and_seeds(tmp_path):
    block = f"{{data: ['{DATA}', g1], rows: ['perturbed_vae:alpha=0.050,ablation=no_sep', pca], seeds: 1-2, "
    found = configs(read(tmp_path, block + "training_seeds: 3-4, effort: {steps: 9}}"), PLACES)
    assert [(config.data, label(verb, config), config.seeds) for verb, config in found] == [
        (data, row, ((seed, training, training),))
        for data in (DATA, "g1")
        for seed in (1, 2)
        # The row's name has arguments in order, each in its own type; principal components depend on no training seed.
        for row, trainings in (("perturbed_vae[ablation=no_sep,alpha=0.05,steps=9]", (3, 4)), ("pca", (3,)))
        for training in trainings
    ]


def test_references_stand_beside_rows(tmp_path):
    found = configs(read(tmp_path, f"{{data: '{DATA}', rows: ica, with_references: true}}"), PLACES)
    rows = [label(verb, config) for verb, config in found]
    assert len(rows) == len(set(rows)) and {"ica", "noise", "true_regression", "vae", "random_encoder"} <= set(rows)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("data: g1", "it names no row: give rows, or with_references: true"),
        ("rows: pca", "identify.0.data is missing"),
        ("data: g1, row: pca", "identify.0: unknown field 'row'. Did you mean 'rows'"),
        ("data: g1, rows: pcaa", "unknown row 'pcaa'. Did you mean 'pca'"),
        ("data: g1, rows: linear", "model 'linear' has no latents of single cells"),
        ("data: g1, rows: 'pca:k=3'", "'pca:k=3': pca takes no arguments"),
        ("data: g1, rows: 'jepa:widht=3'", "unknown argument of model 'jepa': 'widht'. Did you mean 'width'"),
        ("data: simulated, rows: pca", "'simulated': its true latents are not known"),
        ("data: 'g1:seed=3', rows: pca", "asked for by --data-seed"),
        ("data: 'g1:cellz=3', rows: pca", "cellz"),
        ("data: g1, rows: pca, effort: {steps: 0}", "--steps 0: expected 1 or more"),
        ("data: g1, rows: pca, effort: {step: 3}", "effort.step"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_drawn(block, message, tmp_path):
    with pytest.raises(BenchError) as caught:
        configs(read(tmp_path, f"{{{block}}}"), PLACES)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (CLAIM.replace("ica", "icaa"), "unknown row 'icaa'"),
        (CLAIM.replace("split: cells", "split: simulation"), "unknown board"),
        (CLAIM.replace("mcc_within", "mcc_witin"), "unknown metric 'mcc_witin'"),
    ],
)
def test_claims_about_rows_that_are_not_made_are_refused(claim, message, tmp_path):
    found = read(tmp_path, f"{{data: '{DATA}', rows: [ica, noise]}}", f"{{name: c, {claim}}}")
    with pytest.raises(BenchError, match="claim 'c'") as caught:
        check_claims(found, configs(found, PLACES))
    assert message in str(caught.value)


@pytest.mark.ci
def test_a_sweep_makes_what_the_verb_makes_and_only_what_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = read(tmp_path, f"{{data: '{DATA}', rows: [ica, noise], seeds: 1-2}}", f"{{name: c, {CLAIM}}}")
    code, out, err = bench(capsys, "sweep", "s.yaml", "--workers", "1")
    assert code == 0 and "suite s: 4 runs, 0 finished, 4 to do" in err, err
    assert Path(last(out)).name == "claims__s.json" and f"{NAME} | cells of known latents | 2 data seeds" in out
    (verdict,) = json.loads(Path(last(out)).read_text())["verdicts"]
    assert verdict["differences"][0]["n"] == 2 and len(verdict["differences"][0]["by_seed"]) == 2
    assert verdict["seeds"] == [1, 2] and "over draws of the data (2)" in verdict["over"]

    jobs = plan(found, PLACES)
    assert {job.spec.run_id for job in jobs} == {path.parent.name for path in Path("runs").glob("*/identify.json")}
    for job in jobs:
        assert Work.model_validate_json(work_of(job).model_dump_json()) == work_of(job)
    job = next(job for job in jobs if (job.spec.model, job.spec.split_seed) == ("ica", 2))
    words = command(job).replace("--out runs --leaderboards runs/leaderboards", "--out o --leaderboards b").split()
    assert bench(capsys, *words[1:])[0] == 0
    alone, swept = (records.read(Path(out) / job.spec.run_id / "identify.json") for out in ("o", "runs"))
    assert (alone.spec, alone.numbers) == (swept.spec, swept.numbers)

    code, _, err = bench(capsys, "sweep", "s.yaml")
    assert code == 0 and "4 runs, 4 finished, 0 to do" in err
    monkeypatch.setattr(publish, "_refuse_dirty", lambda _: None)  # tests are run from a tree as it is
    code, out, _ = bench(capsys, "publish", "--suite", "s.yaml", "--leaderboards", "p")
    assert code == 0 and out.count("published") == 4 and "p/claims__s.json" in out
    assert bench(capsys, "leaderboard", "--check", "--leaderboards", "p")[0] == 0
