"""What a user of wandb sees of a run: names, groups, curves that go on, results, artifacts; without any network."""

import json
from pathlib import Path

import pytest
import screens
from harness import small

from bench.data.task import Task
from bench.results import records
from bench.results.levels import headline, levels
from bench.results.tables import ALL
from bench.runner import pipeline, tracking
from bench.runner.config import make_config
from bench.runner.model_choice import choose
from bench.tracks.response.track import TRACK


class Recording:
    """A stand-in for a wandb run: keeps what it is told."""

    def __init__(self):
        self.id, self.summary, self.lines, self.kept, self.codes, self.defined = "", {}, [], [], [], []

    def define_metric(self, name, **options):
        self.defined.append((name, options))

    def log(self, numbers, **options):
        self.lines.append(numbers)

    def log_artifact(self, artifact):
        self.kept.append((artifact.name, artifact.type, sorted(artifact.manifest.entries)))

    def finish(self, exit_code=0):
        self.codes.append(exit_code)

    def curve(self, name):
        return [line[tracking.STEP] for line in self.lines if name in line]


@pytest.fixture
def opened(monkeypatch):
    """Runs that were opened, with what wandb was told of each."""
    import wandb

    runs = []

    def init(**options):
        run = Recording()
        run.id, run.options = options["id"], options
        runs.append(run)
        return run

    monkeypatch.setattr(wandb, "init", init)
    return runs


def run(tiny, folder, name, **fields):
    task = Task(tiny, screens.hand_split(tiny))
    where = {"data": "tiny", "split": "custom", "out": folder, "leaderboards": folder / "boards"}
    config = make_config(choose(name), small(name), tracking="offline", **where, **fields)
    return pipeline.run(TRACK, config, task, shown=False)[0]


@pytest.mark.ci
def test_a_run_is_named_grouped_and_summed_up(tiny, tmp_path, opened):
    path = run(tiny, tmp_path, "train_mean", artifacts=True, save=True)
    (one,), record = opened, json.loads(path.read_text())
    assert one.options["id"] == record["run_id"] and one.options["mode"] == "offline"
    split = record["spec"]["split"]
    assert one.options["name"] == f"train_mean | tiny | {split} | seed 1"
    assert one.options["group"] == f"tiny | {split} | train_mean" and one.options["job_type"] == "control"
    assert {"tiny", split, "train_mean", "control", "full"} <= set(one.options["tags"])
    assert ("*", {"step_metric": tracking.STEP}) in one.defined
    table = records.read_table(TRACK, path, records.read(path))
    expected = headline(TRACK, table)
    # Records keep 33 bits of the mantissa.
    for key, value in {"skill": expected.value, "skill_ci_low": expected.low}.items():
        assert one.summary[key] == pytest.approx(value, rel=0, abs=1e-5)
    mean = levels(TRACK, table)[ALL]["pearson_delta"].mean
    assert one.summary["pearson_delta/mean"] == pytest.approx(mean, rel=0, abs=1e-6)
    assert {key.split("/")[1] for key in one.summary if key.startswith("skill/")} <= set(TRACK.families)
    assert one.kept == [
        (f"predictions-{one.id}", "predictions", ["predictions.h5ad"]),
        (f"model-{one.id}", "model", ["model.json", "weights.safetensors"]),
    ]
    assert one.codes == [0]


@pytest.mark.ci
def test_steps_go_on_from_stage_to_stage_and_val_curves_are_there(tiny, tmp_path, opened):
    run(tiny, tmp_path, "jepa")
    (one,) = opened
    pretrain, response = one.curve("pretrain/learning_rate"), one.curve("response/learning_rate")
    assert pretrain and response and max(pretrain) <= min(response)
    assert response == sorted(response)
    assert one.curve("monitor/val_pearson")[-1] >= max(pretrain) and one.curve("val/mse")[0] >= max(pretrain)
    assert not one.kept  # nobody asked for them


def test_stages_are_told_apart_by_steps_that_go_back():
    steps = tracking.StepsOn()
    stages = [0, 5, 4, 10, 9, 10, 0, 3, 7, 6, 0, 2]
    assert [steps(n) for n in stages] == [0, 5, 4, 10, 9, 10, 10, 13, 17, 16, 17, 19]


def test_a_fit_that_fails_closes_its_run(tiny, tmp_path, opened, monkeypatch):
    monkeypatch.setattr(pipeline, "fit_and_predict", lambda *_: (_ for _ in ()).throw(RuntimeError("boom")))
    with pytest.raises(RuntimeError, match="boom"):
        run(tiny, tmp_path, "train_mean")
    assert opened[0].codes == [1]


def test_seeds_and_folds_are_in_the_name_where_they_differ(tiny):
    from harness import spec_of

    spec = spec_of("ridge", Task(tiny, screens.hand_split(tiny, seed=3, fold=1)))
    assert tracking.about(spec, "model", "smoke")["name"].endswith("| seed 3 training 1.1 fold 1")
    long = spec.model_copy(update={"model": "x" * 200})
    found = tracking.about(long, "model", "smoke")
    assert len(found["name"]) == len(found["group"]) == 128 and max(map(len, found["tags"])) == 64


@pytest.mark.ci
def test_offline_a_run_is_files_in_its_folder(tiny, tmp_path):
    path = run(tiny, tmp_path, "train_mean")
    folders = [each for each in (path.parent / "wandb").iterdir() if each.name.startswith("offline-run-")]
    assert len(folders) == 1 and folders[0].name.endswith(json.loads(path.read_text())["run_id"])
    binary = next(Path(folders[0]).glob("run-*.wandb")).read_bytes()
    for word in (b"train_mean | tiny | custom-", b"pearson_delta/mean", b"conditions"):
        assert word in binary, word
