"""``bench run`` from the command line: what it leaves behind when it ends, is repeated, fails or is interrupted."""

import json
import signal
import subprocess

import pytest
import yaml
from command import RUN, bench, furnish, last, process, refuse

from bench.runner import pipeline


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a file, its card and a custom split."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DEBUG", raising=False)
    monkeypatch.delenv("BENCH_DATA", raising=False)
    furnish(tmp_path)
    return tmp_path


@pytest.mark.parametrize("folder", ["--out", "--leaderboards"])
def test_an_output_folder_that_cannot_be_written(capsys, here, folder):
    refuse(capsys, [*RUN, folder, "t.yaml/runs"], "cannot write t.yaml/runs", "--out")
    assert not list(here.rglob("*.tmp"))


def test_a_refused_argument_is_told_before_data_are_read(capsys, here, monkeypatch):
    monkeypatch.setattr(pipeline.data_load, "load", None)  # would fail
    refuse(capsys, ["run", "--model", "linear", "--rank=-2", "--data", "t.yaml"], "model 'linear': ")
    refuse(
        capsys,
        ["run", "--model", "perturbed_vae", "--ablation", "nope", "--data", "t.yaml"],
        "one of 'full', 'no_align'",
    )


def test_a_flag_that_is_known_suggests_no_other_spelling_of_itself(capsys, here):
    for flag in ("--latent-target", "--latent_target"):
        code, _, err = bench(capsys, "run", "--model", "jepa", flag, "zz")
        assert code == 2 and "Expected one of 'genes', 'own'. Got value: zz." in err and "Did you mean" not in err
    code, _, err = bench(capsys, "run", "--model", "jepa", "--epochs", "1.5")
    assert code == 2 and "--epochs: Expected an integer. Got value: 1.5." in err and "Did you mean" not in err
    refuse(capsys, ["run", "--model", "jepa", "--latent-taget", "own"], "Did you mean '--latent_target'?")


def test_a_run_is_not_repeated_unless_forced(capsys, here, monkeypatch):
    code, out, err = bench(capsys, *RUN)
    path = here / last(out)
    assert code == 0 and path.is_file()
    record = json.loads(path.read_text())
    assert record["spec"]["dataset"] == "t" and record["spec"]["split"].startswith("custom-")
    assert "train_mean" in out and "rank" in out and "Look first at skill" in err
    first = (here / "runs" / record["run_id"] / "record.json").stat().st_mtime_ns
    code, again, err = bench(capsys, *RUN)
    assert (code, again) == (0, out) and "finished already" in err
    assert (here / "runs" / record["run_id"] / "record.json").stat().st_mtime_ns == first
    assert bench(capsys, *RUN, "--force")[:2] == (0, out)
    again = json.loads((here / "runs" / record["run_id"] / "record.json").read_text())
    assert again["values_hash"] == record["values_hash"]
    assert (here / "runs" / record["run_id"] / "record.json").stat().st_mtime_ns > first
    monkeypatch.setattr(pipeline, "_one", None)  # would fail: a finished run needs no stage
    assert bench(capsys, *RUN)[:2] == (0, out)
    assert not list(here.rglob("*.tmp"))


@pytest.mark.thinned(2)
@pytest.mark.parametrize("stage", ["fit", "predict", "predict_step", "score"])
def test_ctrl_c_leaves_no_record(capsys, here, monkeypatch, stage):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    from baselines.train_mean import TrainMean
    from bench.runner import fit as run
    from bench.tracks.response import score

    where, name = {
        "fit": (run, "fit"),
        "predict": (run, "predict"),
        "predict_step": (TrainMean, "predict_step"),  # inside Lightning's trainer, which turns it into exit(1)
        "score": (score, "score_table"),
    }[stage]
    monkeypatch.setattr(where, name, interrupt)
    handler = signal.getsignal(signal.SIGINT)
    try:
        code, out, err = bench(capsys, *RUN)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert (code, out) == (130, "") and "interrupted" in err and "Traceback" not in err
    assert not list(here.rglob("record.*")) and not list(here.rglob("*.tmp"))
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert bench(capsys, *RUN)[0] == 0  # and the run can be made afterwards


@pytest.mark.slow
def test_ctrl_c_of_a_process(here):
    running = process(*RUN, "--seed", "1-500", stderr=subprocess.PIPE, cwd=here)
    assert running.stderr is not None
    while "[12/" not in running.stderr.readline():  # one run is finished, the next is under way
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    err = running.communicate(timeout=120)[1]
    assert running.returncode == 130 and "interrupted" in err and "Traceback" not in err
    assert not list(here.rglob("*.tmp"))


def test_a_card_that_was_guessed_is_printed_as_it_can_be_saved(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    (tmp_path / "t.yaml").unlink()
    code, _, err = bench(capsys, *["t.h5ad" if word == "t.yaml" else word for word in RUN])
    assert code == 0, err
    printed = err.split("correct it if it is wrong):\n")[1].split("\n[1/")[0]
    assert yaml.safe_load(printed)["columns"]["context"] == "context"
