"""The command line as a user meets it: exit codes, one clear line on stderr, plain stdout."""

import json
import os
import resource
import subprocess
import sys

import pytest
from command import ROOT, RUN, TEST, bench, furnish, process, refuse

from bench import __version__
from bench.data.cards import read_card


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a file, its card and a custom split."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_DEBUG", raising=False)
    monkeypatch.delenv("BENCH_DATA", raising=False)
    furnish(tmp_path)
    return tmp_path


def test_help_is_instant_and_loads_nothing(tmp_path):
    code = "import sys; from bench.cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=tmp_path)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Seconds of the processor: other work shares the machine.
    assert end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime < 1
    assert "bench run --model linear" in done.stdout and done.returncode == 0
    slow = {"torch", "pandas", "numpy", "anndata", "lightning", "wandb", "jsonargparse", "pydantic"}
    assert not slow & set(done.stderr.split())


@pytest.mark.parametrize("argv", [[], ["-h"], ["help"]])
def test_help_lists_every_verb(capsys, argv):
    code, out, err = bench(capsys, *argv)
    assert (code, err) == (0, "") and all(
        f"  {verb} " in out for verb in ("run", "leaderboard", "publish", "data", "list")
    )
    assert bench(capsys, "--version") == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["rnu"], ["unknown verb 'rnu'", "'run'"]),
        (["run"], ["--model"]),
        (["run", "--model", "linaer"], ["unknown model 'linaer'", "'linear'"]),
        (["run", "--model", "linear", "--ridg", "3"], ["--ridg", "'--ridge'"]),
        (["run", "--model", "linear", "--ridge", "abc"], ["--ridge", "float", "abc"]),
        (["run", "--model", "linear", "--splt", "custom"], ["--splt", "'--split'"]),
        (["run", "--model", "linear", "--seed", "x"], ["seed 'x'", "1-3"]),
        (["run", "--model", "linear", "--seed", "3-1"], ["seed '3-1'"]),
        (["run", "--model", "linear", "--control-fold", "2"], ["control fold '2'", "both"]),
        (["run", "--model", "linear", "--tracking", "of"], ["tracking mode 'of'", "'off'"]),
        (["run", "--model", "gone.yaml"], ["no such file: gone.yaml"]),
        (["run", "--model", "linear", "--data", "simulatd"], ["unknown data set 'simulatd'", "'simulated'"]),
        (["run", "--model", "linear", "--data", "gone.h5ad"], ["no such file: gone.h5ad"]),
        (["run", "--model", "linear", "--data", "norman"], ["norman/perturb_processed.h5ad", "6154020", "BENCH_DATA"]),
        ([*RUN[:5], "--split", "simulatio"], ["unknown split 'simulatio'", "'simulation'"]),
        ([*RUN[:5], "--split", "custom"], ["--split-file"]),
        (["list", "modles"], ["'modles'", "'models'"]),
        (["list"], ["what"]),
        (["data"], ["check"]),
        (["data", "chekc", "t.h5ad"], ["'chekc'", "'check'"]),
        (["data", "check", "gone.h5ad"], ["no such file: gone.h5ad"]),
        (["data", "card", "gone.h5ad"], ["no such file: gone.h5ad"]),
        (["data", "split", "t.yaml", "--sed", "3"], ["--sed", "'--seed'"]),
        (["data", "split", "t.yaml", "--split", "singel"], ["'singel'", "'single'"]),
        (["data", "split", "t.yaml", "--split", "single", "--split-file", "split.json"], ["--split custom", "single"]),
        (["leaderboard", "--leaderboards", "gone"], ["no such folder: gone"]),
        (["publish", "abc", "--from", "gone"], ["unknown run id 'abc'"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and len(value) < 7 else "-",
)
def test_bad_command_lines(capsys, here, argv, words):
    refuse(capsys, argv, *words)
    assert {p.name for p in here.iterdir()} == {"t.h5ad", "t.yaml", "split.json"}  # nothing half-written


def test_debug_shows_the_traceback(capsys, here, monkeypatch):
    code, out, err = bench(capsys, "data", "check", "gone.h5ad", "--debug")
    assert (code, out) == (2, "") and err.startswith("Traceback") and err.endswith("error: no such file: gone.h5ad\n")
    monkeypatch.setenv("BENCH_DEBUG", "1")
    assert "Traceback" in bench(capsys, "data", "check", "gone.h5ad")[2]


def test_data_verbs_print_plain_text(capsys, here):
    code, out, err = bench(capsys, "data", "check", "t.h5ad")
    assert (code, err) == (0, "") and "12 single, 10 double" in out and "expression: counts" in out
    code, out, err = bench(capsys, "data", "card", "t.h5ad")
    (here / "made.yaml").write_text(out)
    assert (code, err) == (0, "") and read_card(here / "made.yaml").expression == "counts"
    code, out, _ = bench(capsys, "data", "check", "made.yaml")
    assert code == 0 and "note: control-limited" in out


def test_a_split_is_json(capsys, here):
    argv = ["data", "split", "t.yaml", "--split", "custom", "--split-file", "split.json", "--json"]
    code, out, err = bench(capsys, *argv)
    split = json.loads(out)
    assert (code, err) == (0, "")
    assert set(split) == {"train", "val", "test", "unused", "subgroups", "controls", "control_fold", "split_id"}
    assert split["controls"] == {"input": 30, "reference": 30} and split["control_fold"] == 0
    assert split["test"] == sorted(TEST) and len(split["train"]) == 8 and split["val"] == ["G09+ctrl"]
    assert len(split["unused"]) == 22 - 8 - 1 - 5
    assert split["subgroups"] == {
        "combo_seen0": ["G08+G09"],
        "combo_seen1": ["G06+G07"],
        "combo_seen2": ["G00+G01"],
        "unseen_single": ["G07+ctrl", "G08+ctrl"],
    }
    assert json.loads(bench(capsys, *argv)[1]) == split
    assert json.loads(bench(capsys, *argv[:3], *argv[5:])[1]) == split  # a split file alone says custom
    swapped = json.loads(bench(capsys, *argv, "--control-fold", "1")[1])
    assert (
        swapped["control_fold"] == 1 and swapped["split_id"] != split["split_id"] and swapped["test"] == split["test"]
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"train": ["G00"], "test": ["G01", "G99"]}', ["'G99'", "'test'"]),
        ('{"train": ["G00", "G01+G00"], "test": ["G00+G01"]}', ["'G00+G01'", "'train'", "'test'"]),
        ('{"train": ["G00", "G01"], "test": []}', ["no test conditions"]),
        ('{"test": ["G00", "G01"]}', ["no train conditions"]),
        ("[1, 2]", ["not a custom split"]),
        ("{", ["not a custom split"]),
    ],
)
def test_custom_splits_that_are_none(capsys, here, content, words):
    (here / "split.json").write_text(content)
    refuse(capsys, ["data", "split", "t.yaml", "--split", "custom", "--split-file", "split.json"], *words)
    refuse(capsys, ["data", "split", "t.yaml", "--split", "custom", "--split-file", "no.json"], "no.json")


@pytest.mark.parametrize("what", ["models", "baselines", "metrics", "datasets"])
def test_lists(capsys, what):
    code, out, err = bench(capsys, "list", what, "--json")
    rows = json.loads(out)
    assert (code, err) == (0, "") and all(isinstance(text, str) for text in rows.values())
    expected = {"baselines": "linear", "metrics": "pearson_delta", "datasets": "simulated"}
    assert what == "models" or expected[what] in rows
    plain = bench(capsys, "list", what)[1]
    assert all(name in plain for name in rows)


def test_a_closed_pipe_is_no_error(here):
    running = process("list", "metrics", stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=here)
    assert running.stdout is not None
    running.stdout.close()
    assert running.wait(timeout=60) == 0
    assert running.stderr is not None and running.stderr.read() == ""
