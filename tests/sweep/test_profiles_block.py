"""Rows of profiles of wells in suites: what a block stands for, what is refused, that a sweep does as the verb does."""

import re
from pathlib import Path

import pytest
from command import bench, last

from bench.core.errors import BenchError
from bench.results import records, store
from bench.runner import publish
from bench.sweep import suite as suites
from bench.sweep.job import Work, command, work_of
from bench.sweep.plan import check_claims, configs, folders, label, plan
from bench.tracks import registry

PLACES = folders(Path("runs"), Path("runs/leaderboards"))
#: A screen of 18 compounds on two plates of one cell line.
DATA = "simulated_profiles:cells=1,plates=2,compounds=18"
ENCODERS = "encoders: jepa, variants: [{epochs: 2, width: 8}], seeds: 1-2"


def read(folder, block, claims=""):
    path = folder / "s.yaml"
    path.write_text(f"profiles: [{block}]\nclaims: [{claims}]\n")
    return suites.read(path)


def rows(found):
    return [(label(verb, config), config.seeds) for verb, config in found]


def test_a_block_is_a_product_and_what_stands_beside_it(tmp_path):
    found = read(tmp_path, f"{{data: ['{DATA}', lincs_plate], options: [{{}}, {{correction: kpca}}]}}")
    assert [(config.data, label(verb, config)) for verb, config in configs(found, PLACES)] == [
        (data, row) for data in (DATA, "lincs_plate") for row in ("profile", "profile[correction=kpca]")
    ]
    block = f"{{data: lincs_plate, options: [{{controls: split}}], with_bars: true, {ENCODERS}}}"
    wanted = [("profile[controls=split]", ((1, 1, 1),))]
    for name in ("constant_encoder", "noise_encoder", "random_encoder", "identity", "pca_encoder", "jepa"):
        changed = "controls=split,epochs=2,width=8" if name == "jepa" else "controls=split"
        wanted += [(f"{name}[{changed}]", ((1, seed, seed),)) for seed in (1, 2)]
    assert rows(configs(read(tmp_path, block), PLACES)) == wanted


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("options: [{corection: kpca}]", "unknown option 'corection'. Did you mean 'correction'?"),
        ("options: [{correction: zca}]", "unknown correction 'zca'"),
        ("options: [{threshold: low}]", "option 'threshold': expected a number; it is 'low'"),
        ("options: [{task: targets}]", "unknown task 'targets'. Did you mean 'target'?"),
        ("options: [{universe: nowhere.csv}]", "--universe: no such file"),
        ("options: [{nan: keep}]", "unknown way with NaN 'keep'"),
        ("encoders: jepaa", "unknown model 'jepaa'. Did you mean 'jepa'?"),
        ("encoders: linear", "'linear' has no encoder to freeze"),
        ("encoders: supervised", "learns from labels"),
        ("encoders: jepa, variants: [{epoch: 2}]", "unknown argument of model 'jepa': 'epoch'"),
        ("encoders: jepa, variants: [{epochs: -2}]", "model 'jepa'"),
    ],
)
def test_what_cannot_be_done_is_refused_before_data_are_read(block, message, tmp_path):
    with pytest.raises(BenchError, match="suite 's': ") as caught:
        configs(read(tmp_path, f"{{data: lincs_plate, {block}}}"), PLACES)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("better: 'profile[correction=kpa]', worse: profile, split: x, metric: map", "Did you mean 'profile["),
        ("better: jepa, worse: profile, split: x, metric: map", "unknown row 'jepa'"),
        ("better: jepa, worse: profile, split: x, metric: pearson_delta", "unknown board"),
    ],
)
def test_claims_about_rows_that_are_not_made_are_refused(claim, message, tmp_path):
    block = "{data: lincs_plate, options: [{}, {correction: kpca}]}"
    found = read(tmp_path, block, f"{{name: c, data: lincs_plate, {claim}}}")
    with pytest.raises(BenchError, match="claim 'c'") as caught:
        check_claims(found, configs(found, PLACES))
    assert message in str(caught.value)


def test_a_row_is_a_job_for_each_question_and_all_have_one_key(tmp_path):
    block = f"{{data: '{DATA}', options: [{{}}, {{correction: kpca}}], {ENCODERS}}}, {{data: '{DATA}'}}"
    jobs = plan(read(tmp_path, block), PLACES)
    asked = {
        f"{task}.line1.{of}"
        for task, of in [
            ("replicability", "compound.long"),
            ("target", "compound.long"),
            ("replicability", "crispr.short"),
            ("target", "crispr.short"),
            ("cross", "compound.long.crispr.short"),
        ]
    }
    by_row = {}
    for job in jobs:
        by_row.setdefault((job.row, job.spec.pretrain_seed), []).append(job)
    assert [row for row, _ in by_row] == [
        *["jepa[epochs=2,width=8] (profiles)"] * 2,
        *["jepa[correction=kpca,epochs=2,width=8] (profiles)"] * 2,
        "profile (profiles)",
    ]
    for same in by_row.values():
        assert {job.spec.split for job in same} == asked and len({job.key for job in same}) == 1
    # An encoder is pretrained once, however its profiles are corrected: its rows are not done at once.
    assert len({job.key for job in jobs}) == 3
    for job in jobs:
        assert Work.model_validate_json(work_of(job).model_dump_json()) == work_of(job)
        assert "width" in job.spec.arguments or job.spec.model == "profile"
    words = command(by_row["jepa[correction=kpca,epochs=2,width=8] (profiles)", 2][0]).split()
    assert words[:6] == ["bench", "profiles", "--data", DATA, "--correction=kpca", "--encoder"]
    assert words[6:9] == ["jepa", "--seed", "2"] and {"--epochs=2", "--width=8"} <= set(words)

    claim = "{name: c, better: profile, worse: jepa, data: simulated_profiles_cells1_plates2_compounds18, metric: map, "
    found = read(tmp_path, f"{{data: '{DATA}', encoders: jepa}}, {{data: '{DATA}'}}", f"{claim} split: target.line1}}")
    with pytest.raises(BenchError, match="claim 'c': unknown board 'target.line1'. Did you mean 'target.line1.c"):
        plan(found, PLACES)


@pytest.mark.slow
def test_a_sweep_makes_what_the_verb_makes_and_only_what_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fast = "task: replicability, null_size: 200"
    claim = "{name: c, better: 'profile[correction=plate_z,null_size=200]', worse: 'profile[null_size=200]', "
    claim += "data: simulated_profiles_cells1_plates2_compounds18, split: replicability.line1.compound.long, "
    claim += "metric: map_normalised, min_conditions: 8}"
    block = f"{{data: '{DATA}', options: [{{{fast}}}, {{{fast}, correction: plate_z}}]}}"
    found = read(tmp_path, f"{block}, {{data: '{DATA}', options: [{{{fast}}}], {ENCODERS}}}", claim)
    code, out, err = bench(capsys, "sweep", "s.yaml", "--workers", "2")
    assert code == 0 and "suite s: 8 runs, 0 finished, 8 to do, 2 at once" in err, err
    assert "claims | simulated_profiles" in out and Path(last(out)).name == "claims__s.json"
    jobs = plan(found, PLACES)
    ids = {job.spec.run_id for job in jobs}
    made = {path.parent.name: path for path in Path("runs").glob("*/profiles.json")}
    track = registry.by_verb("profiles")
    there = {one.record.run_id for one in store.collect(track, [Path("runs/leaderboards")])}
    assert set(made) == ids == there and len(ids) == 8
    # Of a row with two questions, the job that came first did both.
    logs = {job.spec.run_id for job in jobs if job.log.is_file()}
    assert len(logs) == 4

    # The verb makes the same records.
    (job, _) = (job for job in jobs if job.spec.model == "jepa" and job.spec.pretrain_seed == 2)
    words = command(job).replace("--out runs --leaderboards runs/leaderboards", "--out o --leaderboards b").split()
    assert bench(capsys, *words[1:], "--no-figures")[0] == 0
    alone = records.read(Path("o") / job.spec.run_id / "profiles.json")
    swept = records.read(made[job.spec.run_id])
    assert (alone.spec, alone.values_hash) == (swept.spec, swept.values_hash)

    # What is finished is not repeated, by the sweep or by the verb; a row that lacks a record is done again.
    before = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/profiles.*")}
    code, _, err = bench(capsys, "sweep", "s.yaml")
    assert code == 0 and "8 runs, 8 finished, 0 to do" in err
    code, _, err = bench(capsys, *command(job).split()[1:], "--no-figures")
    assert code == 0 and "is finished already" in err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (lost,) = (j for j in jobs if j.spec.label == "profile[null_size=200]" and "crispr" in j.spec.split)
    made[lost.spec.run_id].unlink()
    code, out, err = bench(capsys, "sweep", "s.yaml", "--dry-run")
    assert code == 0 and "8 runs, 7 finished, 1 to do" in err
    assert re.search(r"\S+ +replicability\.line1 +profile\[null_size=2 +1 +1 +0 +1$", out, re.M), out
    assert bench(capsys, "sweep", "s.yaml")[0] == 0
    changed = {path.parent.name for path in before if path.stat().st_mtime_ns != before[path]}
    assert changed == {j.spec.run_id for j in jobs if j.spec.label == "profile[null_size=200]"}

    monkeypatch.setattr(publish, "_refuse_dirty", lambda _: None)  # tests are run from a tree as it is
    code, out, _ = bench(capsys, "publish", "--suite", "s.yaml", "--leaderboards", "p")
    assert code == 0 and out.count("published") == 8 and "p/claims__s.json" in out
    assert bench(capsys, "leaderboard", "--check", "--leaderboards", "p")[0] == 0
