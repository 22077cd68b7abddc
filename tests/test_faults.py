"""What may go wrong around a run: it is killed, others write at the same time, files are damaged, names are hostile."""

import csv
import itertools
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import screens
from command import ROOT, RUN, bench, furnish, process, refuse
from harness import made_record, scored

from bench import leaderboard, predictions, records, truth
from bench.board import board
from bench.data import splits
from bench.errors import BenchError
from bench.files import locked, sha256_json, write_json
from bench.table import show

slow = pytest.mark.slow
MODELS = ("train_mean", "additive", "no_change", "linear")


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Run commands as processes of their own; the answer to several jobs is a list."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "warm.py")],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path_factory.mktemp("warm"),
    )
    assert server.stdin and server.stdout and server.stdout.readline() == "ready\n"

    def ask(folder, *commands, **options):
        env = {"BENCH_CACHE": str(folder / "cache")}
        jobs = [{"argv": list(command), "cwd": str(folder), "env": env, **options} for command in commands]
        server.stdin.write(json.dumps(jobs) + "\n")
        server.stdin.flush()
        answers = json.loads(server.stdout.readline())
        for answer in answers:
            assert "Traceback" not in answer["err"], answer["err"]
        return answers

    yield ask
    server.stdin.close()
    server.wait(timeout=60)


def copy_of(source, target):
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("cache", "runs"))
    return target


def numbers_of(folder):
    """What must not depend on what happened on the way: everything but time, place and costs."""
    out = {}
    for path in sorted(folder.glob("runs/**/*.json")):
        if path.name not in ("spec.json", "split.json"):
            record = records.read(path)
            kept = record.model_dump(exclude={"created", "budget", "hashes", "git_sha", "git_dirty"})
            out[str(path.relative_to(folder))] = {**kept, "table": record.hashes["table"]}
    return out


def csvs_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.csv"))}


LEADERBOARD = ["leaderboard", "--leaderboards", "runs/leaderboards", "--quiet"]
SCORE = ["score", "given.h5ad", "--data", "t.yaml", "--split-file", "split.json", "--name", "given"]


@pytest.fixture(scope="module")
def whole(warm, tmp_path_factory):
    """An undisturbed tree: a run and a scored file, and the boards of both."""
    folder = tmp_path_factory.mktemp("whole")
    furnish(folder)
    (answer,) = warm(folder, RUN)
    assert answer["code"] == 0, answer["err"]
    shutil.copy(next(folder.glob("runs/*/predictions.h5ad")), folder / "given.h5ad")
    for command in (SCORE, LEADERBOARD):
        (answer,) = warm(folder, command)
        assert answer["code"] == 0, answer["err"]
    return folder


def survive(warm, whole, folder, command, **death):
    """Kill a command, look around, repeat it; return whether it was killed."""
    (answer,) = warm(folder, command, **death)
    assert answer["code"] in (0, -9), answer["err"]
    if (folder / "runs" / "leaderboards").is_dir():  # what is there is whole
        (boards,) = warm(folder, LEADERBOARD)
        assert boards["code"] == 0, boards["err"]
    (again,) = warm(folder, command)
    assert again["code"] == 0, again["err"]
    made, wanted = numbers_of(folder), numbers_of(whole)
    assert made and made.items() <= wanted.items()
    return answer["code"] == -9


def moments(seed, n, duration):
    """Random moments, one in each nth part of a duration."""
    return ((np.arange(n) + np.random.default_rng(seed).random(n)) / n * duration).tolist()


def kill_at_moments(warm, whole, tmp_path, command, n):
    (answer,) = warm(copy_of(whole, tmp_path / "timed"), command)
    killed = 0
    for i, moment in enumerate(moments(1, n, answer["seconds"])):
        killed += survive(warm, whole, copy_of(whole, tmp_path / str(i)), command, kill_after=moment)
        shutil.rmtree(tmp_path / str(i))
    assert killed >= n // 2  # or the test says nothing


def test_killed_at_some_moments(warm, whole, tmp_path):
    kill_at_moments(warm, whole, tmp_path, RUN, 2)


@slow
@pytest.mark.parametrize("command", [RUN, SCORE], ids=["run", "score"])
def test_killed_at_20_moments(warm, whole, tmp_path, command):
    kill_at_moments(warm, whole, tmp_path, command, 20)


@slow
@pytest.mark.parametrize("command", [RUN, [*RUN, "--force"], SCORE], ids=["run", "run again", "score"])
def test_killed_at_every_write(warm, whole, tmp_path, command):
    for i in itertools.count(1):
        folder = copy_of(whole, tmp_path / str(i))
        if "--force" in command:
            assert warm(folder, RUN)[0]["code"] == 0
        if not survive(warm, whole, folder, command, die_at=i):
            break
        shutil.rmtree(folder)
    assert i > 8


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """Records of three models under two seeds, and their boards."""
    folder = tmp_path_factory.mktemp("six")
    for model, mean in {"a": 0.6, "b": 0.4, "train_mean": 0.25}.items():
        for seed in (1, 2):
            made_record(
                folder / "runs" / "leaderboards",
                model,
                {"pearson_delta": mean, "r2": 0.5},
                split_seed=seed,
                split_id=f"s{seed}",
            )
    leaderboard.regenerate(folder / "runs" / "leaderboards")
    return folder


def without_csvs(six, folder):
    shutil.copytree(six, folder)
    old = sorted(folder.rglob("*.csv"))
    for path in old[1:]:
        path.unlink()
    old[0].write_text("old\n")
    return folder


def kill_leaderboards(warm, six, tmp_path, deaths):
    assert len(csvs_of(six)) == 5
    for i, death in enumerate(deaths):
        folder = without_csvs(six, tmp_path / str(i))
        assert warm(folder, LEADERBOARD, **death)[0]["code"] in (0, -9)
        assert all(text in (b"old\n", csvs_of(six)[name]) for name, text in csvs_of(folder).items())
        assert warm(folder, LEADERBOARD)[0]["code"] == 0
        assert csvs_of(folder) == csvs_of(six)
        shutil.rmtree(folder)


def test_a_leaderboard_killed_at_some_writes(warm, six, tmp_path):
    kill_leaderboards(warm, six, tmp_path, [{"die_at": i} for i in (4,)])


@slow
def test_a_leaderboard_killed_at_20_moments_and_every_write(warm, six, tmp_path):
    (answer,) = warm(without_csvs(six, tmp_path / "timed"), LEADERBOARD)
    deaths = [{"kill_after": moment} for moment in moments(2, 20, answer["seconds"])]
    deaths += [{"die_at": i + 1} for i in range(answer["moments"])]
    kill_leaderboards(warm, six, tmp_path, deaths)


@slow
def test_killed_as_users_run_it(whole, tmp_path):
    """The same with the start-up of a process of its own."""
    folder = copy_of(whole, tmp_path / "tree")
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    for wait in moments(3, 3, 4.0):
        running = process(*RUN, **quiet)
        try:
            running.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            running.kill()
        assert "Traceback" not in running.communicate()[1]
    running = process(*RUN, **quiet)
    err = running.communicate(timeout=120)[1]
    assert running.returncode == 0, err
    assert numbers_of(folder).items() <= numbers_of(whole).items()


def test_stale_temporaries_change_nothing(warm, whole, six, tmp_path):
    folder, boards = copy_of(whole, tmp_path / "tree"), tmp_path / "six"
    shutil.copytree(six, boards)
    assert warm(folder, RUN)[0]["code"] == 0
    for root in (folder, boards):
        for path in [p for p in root.rglob("*.*") if p.is_file()]:
            for junk in (b"", path.read_bytes()[: path.stat().st_size // 2]):
                path.with_name(f".{path.name[:40]}.{len(junk)}.tmp").write_bytes(junk)
    assert warm(folder, [*RUN, "--force"])[0]["code"] == 0
    assert numbers_of(folder).items() <= numbers_of(whole).items()
    assert leaderboard.regenerate(boards / "runs" / "leaderboards") == []
    assert csvs_of(boards) == csvs_of(six)
    assert warm(folder, LEADERBOARD)[0]["code"] == 0


@pytest.mark.parametrize("n", [2, pytest.param(8, marks=slow)])
def test_processes_that_make_the_same_run(warm, whole, tmp_path, n):
    folder = copy_of(whole, tmp_path / "tree")
    assert [answer["code"] for answer in warm(folder, *[RUN] * n)] == [0] * n
    made = numbers_of(folder)
    assert len(made) == 2 and made.items() <= numbers_of(whole).items()
    assert not list(tmp_path.rglob("*.tmp"))


def commands_for(models, seeds):
    return [
        [*RUN[:2], model, *RUN[3:], "--seed", str(seed), "--published", "boards"] for model in models for seed in seeds
    ]


@slow
@pytest.mark.parametrize("n", [2, 8])
def test_processes_that_make_different_runs(warm, whole, tmp_path, n):
    commands = commands_for(MODELS, (1, 2))[:n]
    serial, at_once = (copy_of(whole, tmp_path / name) for name in ("serial", "at_once"))
    for command in commands:
        assert warm(serial, command)[0]["code"] == 0
    for answer in warm(at_once, *commands):
        assert answer["code"] == 0, answer["err"]
    assert numbers_of(at_once) == numbers_of(serial)
    publish = [["publish", path.stem] for path in sorted(serial.glob("runs/leaderboards/records/*/*/*.json"))]
    publish = [[*command, "--leaderboards", "boards"] for command in publish]
    for folder in (serial, at_once):
        for path in folder.rglob("*.json"):  # costs differ from run to run and stand in the boards
            if "leaderboards" in path.parts:
                record = records.read(path)
                budget = record.budget.model_copy(update={"fit_s": 1.0, "predict_s": 1.0})
                records.write(path, record.model_copy(update={"budget": budget}))
    for command in publish:
        assert warm(serial, command)[0]["code"] == 0
    for answer in warm(at_once, *publish):
        assert answer["code"] == 0, answer["err"]
    assert csvs_of(at_once / "boards") and csvs_of(at_once / "boards") == csvs_of(serial / "boards")
    assert leaderboard.check(at_once / "boards") == len(csvs_of(serial / "boards"))


@pytest.mark.parametrize("n", [2, pytest.param(8, marks=slow)])
def test_leaderboards_at_once(warm, six, tmp_path, n):
    folder = without_csvs(six, tmp_path / "tree")
    (folder / "runs" / "leaderboards" / "gone__simulation.csv").write_text("of no record\n")
    for answer in warm(folder, *[LEADERBOARD] * n):
        assert answer["code"] == 0, answer["err"]
    assert csvs_of(folder) == csvs_of(six)


def test_a_lock_is_held_by_one_and_freed_by_death(tmp_path):
    code = "import sys, time; from pathlib import Path; from bench.files import locked\n"
    code += "with locked(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path], env=env, stdout=subprocess.PIPE, text=True)
    assert other.stdout and other.stdout.readline() == "held\n"
    mine = subprocess.Popen([sys.executable, "-c", code, tmp_path], env=env, stdout=subprocess.PIPE, text=True)
    with pytest.raises(subprocess.TimeoutExpired):
        mine.wait(timeout=1)
    other.kill()
    other.wait()
    assert mine.stdout and mine.stdout.readline() == "held\n"
    mine.kill()
    mine.wait()
    with locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def damage(rng, content):
    """Flip bits, overwrite, cut, lose or repeat bytes."""
    blob, n = bytearray(content), len(content)
    where = int(rng.integers(n))
    kind = rng.choice(["bit", "byte", "bytes", "cut", "lost", "zeros", "repeated"])
    if kind == "bit":
        blob[where] ^= 1 << int(rng.integers(8))
    elif kind in ("byte", "bytes"):
        for at in rng.integers(n, size=1 if kind == "byte" else 8).tolist():
            blob[at] = int(rng.integers(256))
    elif kind == "cut":
        del blob[where:]
    elif kind == "lost":
        del blob[where : where + int(rng.integers(1, 40))]
    elif kind == "zeros":
        blob[where : where + 64] = bytes(len(blob[where : where + 64]))
    else:
        blob[where:where] = blob[where : where + 16]
    return bytes(blob)


def damaged(path, seed, n):
    """Damage a file in n ways, one after the other; at the end it is as before."""
    original, rng = path.read_bytes(), np.random.default_rng(seed)
    for _ in range(n):
        blob = damage(rng, original)
        if blob != original:
            path.write_bytes(blob)
            yield blob
    path.write_bytes(original)


def error_of(work):
    """What a use of a file says; None = it went through."""
    try:
        work()
    except BenchError as error:
        return str(error)
    return None


few_and_many = pytest.mark.parametrize("n", [6, pytest.param(40, marks=slow)])


@few_and_many
@pytest.mark.parametrize("suffix", [".json", ".parquet"])
def test_damaged_records_and_tables(six, tmp_path, n, suffix):
    folder = tmp_path / "boards"
    shutil.copytree(six / "runs" / "leaderboards", folder)
    path = sorted(folder.rglob(f"*{suffix}"))[0]
    assert leaderboard.expected_files(folder)
    for _ in damaged(path, n, n):
        got = {}
        said = error_of(lambda got=got: got.update(leaderboard.expected_files(folder)))
        assert said and str(path) in said and not got


def test_a_digit_of_a_record_cannot_be_changed(tmp_path):
    made_record(tmp_path, "a", {"pearson_delta": 0.5})
    (path,) = tmp_path.rglob("*.json")
    text = path.read_text()
    for changed in (text.replace('"floor": 0.25', '"floor": 0.26'), text.replace('"n_fallback": 3', '"n_fallback": 2')):
        assert changed != text
        path.write_text(changed)
        with pytest.raises(BenchError, match="checksum") as error:
            records.read(path)
        assert str(path) in str(error.value)
    for other in ([], None, 3, "x", {}, {"checksum": sha256_json({})}, {**json.loads(text), "checksum": None}):
        path.write_text(json.dumps(other))
        with pytest.raises(BenchError, match="not a valid record") as error:
            records.read(path)
        assert str(path) in str(error.value)
    path.write_text("[" * 200_000)
    with pytest.raises(BenchError, match="not a valid record"):
        records.read(path)
    path.write_bytes(text.encode().replace(b"\n", b"\r\n"))  # as git checks it out on Windows
    assert records.read(path).run_id == path.stem


@few_and_many
@pytest.mark.parametrize("layout", ["written by bench run", "cells"])
def test_damaged_predictions(tiny, tiny_split, tmp_path, n, layout):
    facts = truth.load(tiny, tiny_split)
    path = tmp_path / "p.h5ad"
    if layout == "written by bench run":
        scored("additive", tiny, tiny_split, tmp_path)
    else:
        import pandas as pd

        names = [name for name in facts.conditions for _ in range(12)]
        cells = np.random.default_rng(0).poisson(1.0, (len(names), len(facts.genes))).astype(np.float32)
        obs = pd.DataFrame({"condition": names})
        predictions.write(path, cells, obs, facts.genes, {"model": "x", "controls_used": "input"})

    def read():
        got = predictions.read(path, facts.conditions, facts.genes, facts.contexts, facts.weights, {})
        cells = [got.cells[i] for i in range(len(got.cells))] if got.cells is not None else []
        return got.y_hat, got.fallbacks, cells, got.uns["controls_used"]

    wanted = read()
    for _ in damaged(path, n, n):
        got = []
        said = error_of(lambda got=got: got.extend(read()))
        if said:
            assert str(path) in said
        else:
            np.testing.assert_array_equal(got[0], wanted[0])
            np.testing.assert_array_equal(got[1], wanted[1])
            assert len(got[2]) == len(wanted[2]) and got[3] == wanted[3]
            for one, other in zip(got[2], wanted[2]):
                np.testing.assert_array_equal(one, other)


@few_and_many
def test_damaged_cached_splits(tiny, tmp_path, monkeypatch, n):
    lists = {"train": ["G00+ctrl", "G01+ctrl"], "val": ["G02+ctrl"], "test": ["G03+ctrl", "G00+G01"]}
    drawn = []
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(splits, "draw_with_gears", lambda *_: drawn.append(1) or lists)
    wanted = splits.draw(tiny)
    (path,) = tmp_path.rglob("splits/*.json")
    assert splits.draw(tiny) == wanted and len(drawn) == 1
    for blob in damaged(path, n, n):
        assert splits.draw(tiny).split_id == wanted.split_id
        assert path.read_bytes() != blob or len(drawn) == 1 or json.loads(blob)["lists"] == lists
    for content in ([], None, 3, "x", {}, {"hash": 1}, {"lists": 3, "hash": sha256_json(3)}):
        write_json(path, content)
        assert splits.draw(tiny).split_id == wanted.split_id
    path.write_text("[" * 200_000)
    assert splits.draw(tiny).split_id == wanted.split_id


def same_truth(a, b):
    return all(np.array_equal(*(np.asarray(getattr(t, name)) for t in (a, b))) for name in a.__dataclass_fields__)


@few_and_many
def test_damaged_cached_truths(tiny, tiny_split, tmp_path, monkeypatch, n):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    wanted = truth.load(tiny, tiny_split)
    monkeypatch.setattr(truth, "compute", lambda *_: wanted)
    (path,) = tmp_path.rglob("truth/*.npz")
    for _ in damaged(path, n, n):
        assert same_truth(truth.load(tiny, tiny_split), wanted)
    with zipfile.ZipFile(path) as archive:
        starts = [info.header_offset for info in archive.infolist()]
    original = path.read_bytes()
    rng = np.random.default_rng(n)
    # The headers are where a reader that only looks at checksums at the end can be misled.
    for start in (*starts[: 2 * n], original.index(b"PK\x01\x02")):
        for at in (start + rng.integers(0, 160, 6)).tolist():
            blob = bytearray(original)
            blob[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(blob)
            assert same_truth(truth.load(tiny, tiny_split), wanted)


# --- names ---

HOSTILE = [
    "../../evil",
    "/outside/evil",
    "a/b",
    "..",
    ".hidden",
    "-rf",
    "--out=evil",
    "it's",
    'say "x"',
    "<script>alert(1)</script>",
    "[red]x[/red]",
    "[/]",
    "naïve 日本 🧬",
    "a\nb",
    "tab\tb",
    "L" * 300,
    "$(touch evil)",
    "%s{0}",
    "=1+1",
]
GENE_NAMES = [name.replace("+", "") for name in HOSTILE]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder inside a tree of which nothing else may change."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "sentinel").write_text("as it was")
    work = tmp_path / "a" / "b" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("BENCH_CACHE", str(work / "cache"))
    monkeypatch.delenv("BENCH_DEBUG", raising=False)
    furnish(work)
    yield work
    others = {p for p in tmp_path.rglob("*") if p != work and work not in p.parents}
    assert others == {tmp_path / "outside", tmp_path / "outside" / "sentinel", tmp_path / "a", tmp_path / "a" / "b"}
    assert (tmp_path / "outside" / "sentinel").read_text() == "as it was"
    assert not list(work.rglob("*evil*"))


def hostile_card(here, name):
    import yaml

    (here / "h.yaml").write_text(yaml.safe_dump({"name": name, "source": "t.h5ad", "expression": "counts"}))
    return [*RUN[:4], "h.yaml", *RUN[5:]]


@pytest.mark.parametrize("name", [*HOSTILE, "d\n", ""])
def test_hostile_names_of_data_sets(capsys, here, name):
    refuse(capsys, hostile_card(here, name), "h.yaml", "name")
    assert not (here / "runs").exists()


def test_hostile_names_of_conditions_genes_and_batches(capsys, here):
    counts, obs = screens.tiny_counts(cells=12, controls=60)
    genes = np.array([*GENE_NAMES, *screens.GENES[len(GENE_NAMES) :]], dtype=object)
    new = dict(zip(screens.GENES, genes))
    obs["condition"] = ["+".join(new.get(part, part) for part in name.split("+")) for name in obs["condition"]]
    obs["batch"] = np.where(obs["batch"] == "b0", "../../evil\n[red]", "<b>")
    obs["context"] = "[red]../../evil[/red]"
    screens.write_h5ad(here / "h.h5ad", counts, obs, genes)
    (here / "h.yaml").write_text(
        "source: h.h5ad\nexpression: counts\ncolumns: {condition: condition, context: context, batch: batch}\n"
    )
    parts = json.loads((here / "split.json").read_text())
    renamed = {k: ["+".join(new.get(p, p) for p in name.split("+")) for name in v] for k, v in parts.items()}
    (here / "split.json").write_text(json.dumps(renamed))
    code, out, err = bench(capsys, *RUN[:4], "h.yaml", *RUN[5:])
    assert code == 0 and "Traceback" not in err, err
    assert "'[red]../../evil[/red]'" in err.replace("\n", " ")  # as it is, not as markup
    record = records.read(Path(out.strip()))
    assert record.n_conditions == 5
    assert bench(capsys, *LEADERBOARD)[0] == 0
    data = ["--data", "h.yaml", "--split-file", "split.json"]
    predicted = next((here / "runs").glob("*/predictions.h5ad"))
    code, out, err = bench(capsys, "score", predicted, *data, "--name", "again")
    assert code == 0, err
    assert records.read(Path(out.strip())).metrics == record.metrics
    for argv in (["data", "check", "h.yaml"], ["data", "split", "h.yaml", *data[2:]]):
        code, _, err = bench(capsys, *argv)
        assert code == 0 and "Traceback" not in err


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_on_the_command_line(capsys, here, name):
    for argv in (
        ["run", f"--model={name}"],
        [*RUN[:3], f"--data={name}", *RUN[5:]],
        [*RUN, f"--split-file={name}"],
        ["publish", "--from", "runs/leaderboards", "--", name],
        ["data", "check", "--", name],
        ["list", "--", name],
    ):
        code, out, err = bench(capsys, *argv)
        assert (code, out) == (2, "") and "Traceback" not in err, (argv, err)
        assert err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_rows(capsys, here, whole, name):
    code, out, err = bench(capsys, *SCORE[:1], whole / "given.h5ad", *SCORE[2:-2], f"--name={name}")
    assert (code, out) == (2, "") and "row name" in err and "Traceback" not in err


@pytest.mark.parametrize("name", ["it's", "日本 🧬", "<b>x", "[red]x", "-rf", "a\nb", "$(touch x)"])
def test_hostile_names_of_files(capsys, here, name):
    for old, ending in (("split.json", ".json"), ("t.yaml", ".yaml"), ("t.h5ad", ".h5ad")):
        shutil.copy(old, f"{name}{ending}")
    run = [*RUN[:3], f"--data={name}.h5ad", *RUN[5:7], f"--split-file={name}.json", *RUN[9:]]
    code, out, err = bench(capsys, *run)
    assert code == 0 and "Traceback" not in err, err
    assert records.read(Path(out.strip())).spec.split.startswith("custom-")
    code, _, err = bench(capsys, *RUN[:3], f"--data={name}.yaml", *RUN[5:])  # its name would be the data set's
    assert code == 2 and "name" in err


CONFIGS = [
    "class_path: ../../../outside/evil\n",
    "class_path: os.system\ninit_args: {command: touch evil}\n",
    "class_path: train_mean\ninit_args: {out: ../../../outside/evil}\n",
    "class_path: train_mean\ninit_args: {leaderboards: ../../../outside/evil, force: true}\n",
    "class_path: linear\ninit_args: {'rank=3 --out': ../../../outside/evil}\n",
    "class_path: linear\ninit_args: {'rank\\n': 3}\n",
    "class_path: [a, b]\n",
    "class_path: train_mean\ninit_args: [out, evil]\n",
    "!!python/object/apply:os.system ['touch evil']\n",
]


@pytest.mark.parametrize("text", CONFIGS)
def test_hostile_model_configs(capsys, here, text):
    (here / "m.yaml").write_text(text)
    code, out, err = bench(capsys, "run", "--model", "m.yaml", *RUN[3:])
    assert (code, out) == (2, "") and "Traceback" not in err, err


@pytest.mark.parametrize("field", ["dataset", "model", "split"])
@pytest.mark.parametrize("name", HOSTILE)
def test_records_with_hostile_names(capsys, here, field, name):
    """A record of somebody else's, whole and with a right checksum, may not write where it likes."""
    record = made_record(here / "runs" / "leaderboards", "a", {"pearson_delta": 0.5})
    place = records.place(here / "runs" / "leaderboards", record.spec)
    spec = record.spec.model_copy(update={field: name})
    table = place.with_suffix(".parquet").read_bytes()
    path = place.with_name(f"{spec.run_id}.json")
    path.with_suffix(".parquet").write_bytes(table)
    records.write(path, record.model_copy(update={"spec": spec, "run_id": spec.run_id}))
    for argv in (LEADERBOARD, ["publish", spec.run_id, "--leaderboards", "boards"]):
        code, out, err = bench(capsys, *argv)
        assert (code, out) == (2, "") and str(path.relative_to(here)) in err and "Traceback" not in err, err
    assert not list(here.rglob("*.csv"))


def test_hostile_labels_are_printed_and_written_as_they_are(capsys, tmp_path):
    for name in HOSTILE:
        made_record(tmp_path, "m", {"pearson_delta": 0.5}, variant={"note": name})
    (items,) = leaderboard.group(leaderboard.collect([tmp_path])).values()
    table = board(items)
    show(table, [item.record for item in items], [1])
    err = capsys.readouterr().err
    assert "m[note=[red]x[/red]]" in err and "[note=<script>" in err  # long ones are on two lines
    leaderboard.regenerate(tmp_path)
    with (tmp_path / "d__simulation.csv").open(newline="", encoding="utf-8") as handle:
        labels = {row["model"] for row in csv.DictReader(handle)}
    assert {f"m[note={name}]" for name in HOSTILE} <= labels
