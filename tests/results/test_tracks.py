"""A track is a folder: one made up here has records, boards, ranks, CSVs and claims, and nothing else knows of it."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import bench as cli
from command import furnish, last, refuse
from harness import bare_record, made_spec

import bench.tracks
from bench.audit.tasks import judged
from bench.core.errors import BenchError
from bench.data.task import Task
from bench.reports.compare import show
from bench.reports.explain import explain
from bench.results import claims, everything, leaderboard, store, tables
from bench.results.board import board
from bench.results.claim import Claim
from bench.results.records import Budget
from bench.runner import by_track
from bench.runner.config import make_config
from bench.runner.model_choice import choose
from bench.runner.publish import publish
from bench.sweep import suite as suites
from bench.sweep.plan import configs
from bench.tracks import registry

TRACK = """
from bench.core.track import Column, MetricInfo, Track, View


def metric(name, better="high"):
    return MetricInfo(
        name=name, better=better, range=(0.0, 1.0), formula="f", source="s", trap="t", chance_text="0.5"
    )


TRACK = Track(
    name="{name}",
    verb="{verb}",
    version=1,
    file="{verb}",
    suffix="__{verb}",
    metrics={{"hits": metric("hits"), "misses": metric("misses", "low")}},
    numbers=("width",),
    primary="{primary}",
    baseline="",
    floor_text="chance",
    ceiling_text="all",
    columns=(Column("hits", "hits"),),
    question="Does a prediction point the right way?",
    views={{"H": View("hits", (Column("right", "hits"),), "How often."), "M": View("misses", (), "")}},
)
"""

#: How it evaluates a file of predictions: does each predicted shift point where the measured one does?
RUN = """
from typing import NamedTuple

import anndata
import numpy as np
import pandas as pd

from bench.results import tables
from bench.tracks import registry


class Outcome(NamedTuple):
    table: tables.Table
    controls_used: str = "input"
    hashes: dict = {{}}
    warnings: tuple = ("made up",)


def prepare(task):
    x, condition = task.dataset.x.toarray(), np.asarray(task.dataset.condition)
    names = task.dataset.conditions
    return {{name: x[condition == names.index(name)].mean(0) for name in task.split.test}}


def evaluate(path, task, facts):
    given = anndata.read_h5ad(path)
    rows = []
    for name, measured in facts.items():
        predicted = given.X[(given.obs["condition"] == name).to_numpy()].mean(0)
        hits = float(np.corrcoef(predicted, measured)[0, 1] > 0)
        rows += [(name, "hits", hits, 0.5), (name, "misses", 1 - hits, 0.5)]
    frame = pd.DataFrame(rows, columns=["condition", "metric", "value", "floor"])
    return Outcome(tables.from_long(registry.get("{name}"), frame))
"""

#: The tracks that there are, without one that a test adds.
SHIPPED = [track.name for track in registry.tracks()]
VERBS = [track.verb for track in registry.tracks()]


def add_track(folder, name, verb="guess", primary="hits"):
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("")
    (folder / name / "track.py").write_text(TRACK.format(name=name, verb=verb, primary=primary))
    (folder / name / "run.py").write_text(RUN.format(name=name))


@pytest.fixture
def extra(tmp_path, monkeypatch):
    """A folder beside those of the tracks."""
    monkeypatch.setattr(bench.tracks, "__path__", [*bench.tracks.__path__, str(tmp_path / "more")])
    before = set(sys.modules)
    registry._load.cache_clear()
    yield tmp_path / "more"
    registry._load.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("bench.tracks.madeup"):
            del sys.modules[name]


def put(folder, track, model, level, seed=1, kind="model", noise=0.02):
    rng = np.random.default_rng([seed, len(model), sum(map(ord, model))])
    names = [f"P{i:02d}+ctrl" for i in range(20)]
    base = np.random.default_rng(seed).random(20) / 10
    parts = [
        {"condition": names, "metric": "hits", "value": level + base + rng.normal(0, noise, 20), "floor": 0.5},
        {"condition": names, "metric": "misses", "value": 1 - level + base, "floor": 0.5},
    ]
    table = tables.from_long(track, pd.concat(map(pd.DataFrame, parts)))
    spec = made_spec(model, split_seed=seed, split_id=f"s{seed}")
    record = bare_record(
        spec,
        track=track.name,
        track_version=track.version,
        kind=kind,
        git_dirty=False,
        budget=Budget(),
        numbers={"width": 8.0},
        values_hash=table.hash,
    )
    store.add(folder, track, [(record, table)])
    return record, table


def test_a_made_up_track_needs_no_line_outside_its_folder(extra, tmp_path, capsys):
    add_track(extra, "madeup")
    assert [track.name for track in registry.tracks()] == sorted(["madeup", *SHIPPED])
    track, source, target = registry.get("madeup"), tmp_path / "source", tmp_path / "target"
    assert registry.by_verb("guess") is track
    levels = {"best": 0.7, "twin": 0.695, "last": 0.3, "pca": 0.9}
    by_label = {}
    for seed in (1, 2):
        for model, level in levels.items():
            kind = "reference" if model == "pca" else "model"
            by_label.setdefault(model, []).append(put(source, track, model, level, seed, kind))
    publish([record.run_id for one in by_label.values() for record, _ in one], source, target)
    assert sorted(path.name for path in target.rglob("*.*") if path.is_file()) == [
        "d__guess.csv",
        "d__simulation.zip",
    ]
    assert list(store.members(target / "records" / "madeup" / "d__simulation.zip")) == [
        "runs.jsonl.gz",
        "values.parquet",
        "task.parquet",
    ]

    csv = pd.read_csv(target / "d__guess.csv").set_index("model")
    assert list(csv.index)[2:] == ["last", "pca"] and set(csv.index[:2]) == {"best", "twin"}
    assert csv.loc[["best", "twin"], ["rank", "rank_high"]].to_numpy().tolist() == [[1, 2], [1, 2]]
    assert csv.loc["last", ["rank", "rank_high"]].tolist() == [3, 3]
    assert csv.loc["pca", ["rank", "rank_high"]].isna().all() and csv.loc["pca", "kind"] == "reference"
    assert (csv["split"] == "simulation").all() and (csv["width"] == 8).all() and "skill" not in csv
    for model, made in by_label.items():
        wanted = np.mean([table.field("all", "value")[:, 0].mean() for _, table in made])
        assert csv.loc[model, "hits"] == pytest.approx(wanted, rel=1e-5)
        assert csv.loc[model, "hits_ci_low"] < wanted < csv.loc[model, "hits_ci_high"]

    suite = [
        Claim(name="x", better="best", worse=("last",), data="d", metric="hits", min_conditions=20),
        Claim(name="y", better="best", worse=("last",), data="d", metric="misses", min_conditions=20),
        Claim(name="z", better="best", worse=("twin",), data="d", metric="hits", min_conditions=20),
    ]
    found = claims.evaluate(suite, {("d", "simulation"): [1, 2]}, everything.read(registry.tracks(), target))
    assert [one.verdict for one in found] == ["true", "true", "false"]
    claims.write(target, "s", found)
    assert everything.check(registry.tracks(), target) == (1, 1)
    assert "chance     0.5" in "\n".join(explain("hits", [target]))
    items = leaderboard.group(store.collect(track, [target]))["d", "simulation"]
    show(items, "best", "last")
    assert "best is better" in capsys.readouterr().out


def test_a_model_is_fitted_and_scored_by_a_track_that_is_only_a_folder(extra, tmp_path, tiny, tiny_split):
    add_track(extra, "madeup")
    track, task = registry.get("madeup"), Task(tiny, tiny_split)
    where = {"data": tiny.name, "split": tiny_split.kind, "seeds": ((1, 1, 1),), "folds": (0,)}
    folders = {"out": tmp_path / "runs", "leaderboards": tmp_path / "boards", "tracking": "off"}
    config = make_config(choose("additive"), {}, **where, **folders)
    (path,) = by_track.run(track, config, task)
    (entry,) = store.collect(track, [tmp_path / "boards"])
    assert (path.name, entry.record.track, entry.record.track_version) == ("guess.json", "madeup", 1)
    assert "made up" in entry.record.warnings
    assert entry.table.field("all", "value")[:, 0].mean() == 1  # means of cells all point where expression is high
    assert by_track.finished(track, config, entry.record.spec) == path
    # Nobody computes its metrics a second time, as those of every shipped track of its kind.
    assert [one.name for one in registry.tracks() if one.takes == "predictions" and not judged(one)] == ["madeup"]


def test_rows_without_values_by_unit_are_listed_without_rank_or_interval(extra, tmp_path):
    add_track(extra, "madeup")
    track = registry.get("madeup")
    record, _ = put(tmp_path, track, "full", 0.4)
    whole = {"values_hash": None, "numbers": {"hits": 0.6, "misses": 0.1, "width": 4.0}}
    spec = made_spec("numbers")
    store.add(tmp_path, track, [(record.model_copy(update={"spec": spec, "run_id": spec.run_id, **whole}), None)])
    table = board(store.collect(track, [tmp_path])).set_index("model")
    assert table.loc["numbers", ["hits", "width"]].tolist() == [0.6, 4.0]
    assert table.loc["numbers", ["rank", "hits_ci_low"]].isna().all()
    assert table.loc["full", ["rank", "rank_high"]].tolist() == [1, 1]


def test_where_lower_is_better_the_lowest_ranks_first(extra, tmp_path):
    add_track(extra, "madeup", primary="misses")
    track = registry.get("madeup")
    for model, level in {"good": 0.8, "bad": 0.2}.items():
        put(tmp_path, track, model, level)
    table = board(store.collect(track, [tmp_path]))
    assert table["model"].tolist() == ["good", "bad"] and table["rank"].tolist() == [1, 2]
    assert table["beat_rate"].tolist() == [1, 0]  # .2 and .8 misses where chance gives .5


def test_a_track_that_lacks_a_hook_is_told_which(extra):
    add_track(extra, "madeup")
    (extra / "madeup" / "run.py").write_text("def prepare(task): ...")
    with pytest.raises(BenchError, match="takes predictions, and its run.py has no evaluate;"):
        registry.evaluation(registry.get("madeup"))


def test_every_track_has_its_hooks_and_the_page_names_them():
    for track in registry.tracks():
        assert registry.evaluation(track)
    page = (Path(__file__).parents[2] / "docs" / "adding.md").read_text()
    rows = {
        takes: next(line for line in page.split("\n") if line.startswith(f"| `{takes}`")) for takes in registry.HOOKS
    }
    for takes, names in registry.HOOKS.items():
        assert [name for name in names if f"`{name}" not in rows[takes]] == []


def test_two_tracks_with_one_verb_are_refused(extra):
    add_track(extra, "madeup", verb="run")
    verbs = [verb for _, verb in sorted([("madeup", "run"), *zip(SHIPPED, VERBS, strict=True)])]
    with pytest.raises(BenchError, match=f"same verb: {', '.join(verbs)}"):
        registry.tracks()


def test_a_metric_that_a_track_does_not_have_is_refused():
    frame = pd.DataFrame({"condition": ["A+ctrl"], "metric": ["nothing"], "value": [1.0]})
    with pytest.raises(BenchError, match="has no metric 'nothing'"):
        tables.from_long(registry.get("response"), frame)
    twice = pd.DataFrame({"condition": ["A+ctrl"] * 2, "metric": ["r2"] * 2, "value": [1.0, 2.0]})
    with pytest.raises(BenchError, match="two values of r2"):
        tables.from_long(registry.get("response"), twice)


def test_a_part_of_the_question_is_a_table_without_skill_and_without_the_other_parts(extra):
    add_track(extra, "madeup")
    track = registry.get("madeup")
    view = track.views["H"]
    columns = ["model", "hits", "hits_ci_low", "misses", "misses_ci_low", "skill", "skill_hits", "beat_rate"]
    assert track.columns_about(view, columns) == ["model", "hits", "hits_ci_low"]
    about = track.about(view)
    assert [column.title for column in about.columns] == ["right"] and about.legend == "How often."
    assert not about.families and set(about.metrics) == set(track.metrics)


def test_a_made_up_verb_is_asked_on_the_command_line_and_in_a_suite(extra, tmp_path, monkeypatch, capsys):
    add_track(extra, "madeup")
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    task = ["--data", "t.yaml", "--split-file", "split.json", "--published", "none"]
    code, out, err = cli(capsys, "guess", "--model", "additive", *task, "--tracking", "off", "--task", "h")
    assert code == 0, err
    assert "additive" in out and "right" in out and last(out).endswith("guess.json")
    refuse(capsys, ["guess", "--model", "additive", *task, "--task", "x"], "expected one of H, M")
    code, out, _ = cli(capsys, "list", "tracks")
    assert "madeup" in out and "bench guess" in out and "point the right way?" in out
    code, out, _ = cli(capsys, "list", "metrics", "--json")
    assert {"hits", "misses"} <= set(json.loads(out))

    (tmp_path / "s.yaml").write_text("guess: [{models: additive, data: t.yaml, splits: simulation}]")
    ((verb, block),) = suites.read(tmp_path / "s.yaml").blocks()
    assert verb == "guess" and block.models == ("additive",)
    ((_, config),) = configs(suites.read(tmp_path / "s.yaml"), {"out": tmp_path, "leaderboards": tmp_path})
    assert config.model == "additive" and config.split == "simulation"
    (tmp_path / "s.yaml").write_text("guess: [{models: additive, dat: t.yaml}]")
    with pytest.raises(BenchError, match="guess.0: unknown field 'dat'"):
        suites.read(tmp_path / "s.yaml")
