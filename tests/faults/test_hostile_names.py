"""Hostile names never leave their folder and are printed as they are."""

import csv
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import screens
from command import RUN, bench, furnish, last, refuse
from harness import groups, made, made_record, one_entry
from members import put_lines
from trees import LEADERBOARD, SCORE

from bench.reports.text import show
from bench.results import everything, records, store
from bench.results.board import board
from bench.tracks import registry

slow = pytest.mark.slow


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


@pytest.mark.thinned(8)
@pytest.mark.parametrize("name", [*HOSTILE, "d\n", ""])
def test_hostile_names_of_data_sets(capsys, here, name):
    refuse(capsys, hostile_card(here, name), "h.yaml", "name")
    assert not (here / "runs").exists()


def hostile_screen(here):
    """A file and a split of which every gene, condition, context and batch has a hostile name."""
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


@pytest.mark.ci
def test_hostile_names_of_conditions_genes_and_batches(capsys, here):
    hostile_screen(here)
    code, out, err = bench(capsys, *RUN[:4], "h.yaml", *RUN[5:])
    assert code == 0 and "Traceback" not in err, err
    assert "'[red]../../evil[/red]'" in err.replace("\n", " ")  # as it is, not as markup
    entry = one_entry(Path(last(out)))
    assert len(entry.table.conditions["all"]) == 5
    assert bench(capsys, *LEADERBOARD)[0] == 0
    data = ["--data", "h.yaml", "--split-file", "split.json"]
    predicted = next((here / "runs").glob("*/predictions.h5ad"))
    code, out, err = bench(capsys, "score", predicted, *data, "--name", "again")
    assert code == 0, err
    assert records.read(Path(last(out))).values_hash == entry.record.values_hash
    for argv in (["data", "check", "h.yaml"], ["data", "split", "h.yaml", *data[2:]]):
        code, _, err = bench(capsys, *argv)
        assert code == 0 and "Traceback" not in err


@pytest.mark.slow
def test_hostile_names_in_what_is_tracked(capsys, here, monkeypatch):
    """wandb's files lie in the run's folder, whatever the screen's names are."""
    pytest.importorskip("wandb")
    hostile_screen(here)
    monkeypatch.setenv("WANDB_MODE", "offline")
    code, out, err = bench(capsys, *RUN[:4], "h.yaml", *RUN[5:-1], "offline")
    assert code == 0 and "Traceback" not in err, err
    (tracked,) = Path(last(out)).parent.glob("wandb/offline-run-*")
    texts = [path.read_text() for path in tracked.rglob("*.json")]
    assert any(json.dumps('say "x"')[1:-1] in text for text in texts)  # the table of conditions: as it is, in JSON


@pytest.mark.ci
def test_hostile_names_in_csv_files_are_no_formulas(capsys, here):
    """What a spreadsheet would take for a formula begins with an apostrophe; numbers and other names stay."""
    hostile_screen(here)
    code, out, err = bench(capsys, *RUN[:4], "h.yaml", *RUN[5:])
    assert code == 0, err
    run_id = Path(last(out)).parent.name
    code, out, err = bench(capsys, "genes", run_id, "--data", "h.yaml", "--top", "60", "--csv")
    assert code == 0, err
    code, _, err = bench(capsys, *LEADERBOARD)
    texts = [out, *(path.read_text() for path in here.rglob("*.csv"))]
    assert len(texts) > 2
    seen = set()
    for text in texts:
        for cell in (cell for row in csv.reader(text.splitlines()) for cell in row):
            seen.add(cell)
            assert not re.match(r"[=+@\t\r-]", cell) or re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?|-?inf", cell), cell
    assert {"'=1+1", "'-rf", "it's"} & seen


@pytest.mark.ci
def test_hostile_names_in_figures_are_text():
    import altair as alt

    from bench.reports.figures.style import render

    names = [*HOSTILE, "'\"><svg onload=alert(1)>", "]]><a href='javascript:x'>y</a>", "&amp;&lt;x"]
    rows = [{"label": name, "x": i} for i, name in enumerate(names)]
    axis = alt.Y("label:N", axis={"labelLimit": 0})
    chart = alt.Chart(alt.Data(values=rows)).mark_point().encode(x="x:Q", y=axis)
    drawn = ElementTree.fromstring(render(chart, ["svg"])["svg"])
    kinds = {item.tag.rpartition("}")[2] for item in drawn.iter()}
    assert kinds <= {"svg", "g", "path", "text", "rect", "line", "defs", "clipPath", "style", "tspan"}, kinds
    assert not [key for item in drawn.iter() for key in item.attrib if key.lower().startswith("on") or "href" in key]
    shown = {"".join(item.itertext()) for item in drawn.iter() if item.tag.endswith("text")}
    assert {"<script>alert(1)</script>", "&amp;&lt;x", *names[-3:-1]} <= shown


@pytest.mark.thinned(7)
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


@pytest.mark.thinned(7)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_rows(capsys, here, name):
    code, out, err = bench(capsys, *SCORE[:1], "t.h5ad", *SCORE[2:-2], f"--name={name}")
    assert (code, out) == (2, "") and "row name" in err and "Traceback" not in err


@pytest.mark.parametrize(
    "name",
    [
        "日本 🧬",
        *(pytest.param(name, marks=pytest.mark.ci) for name in ("-rf", "a\nb", "it's", "<b>x", "[red]x", "$(touch x)")),
    ],
)
def test_hostile_names_of_files(capsys, here, name):
    for old, ending in (("split.json", ".json"), ("t.yaml", ".yaml"), ("t.h5ad", ".h5ad")):
        shutil.copy(old, f"{name}{ending}")
    run = [*RUN[:3], f"--data={name}.h5ad", *RUN[5:7], f"--split-file={name}.json", *RUN[9:]]
    code, out, err = bench(capsys, *run)
    assert code == 0 and "Traceback" not in err, err
    assert records.read(Path(last(out))).spec.split.startswith("custom-")
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


@pytest.mark.thinned(19)
@pytest.mark.parametrize("field", ["dataset", "model", "split"])
@pytest.mark.parametrize("name", HOSTILE)
def test_records_with_hostile_names(capsys, here, field, name):
    """A record of somebody else's, whole and with a right checksum, may not write where it likes."""
    record, table = made("a", {"pearson_delta": 0.5})
    boards = here / "runs" / "leaderboards"
    store.add(boards, registry.get("response"), [(record, table)])
    spec = record.spec.model_copy(update={field: name})
    alien = record.model_copy(update={"spec": spec, "run_id": spec.run_id})
    (path,) = boards.rglob("*.zip")
    put_lines(path, (records.to_line(alien) + "\n").encode())
    for argv in (LEADERBOARD, ["publish", spec.run_id, "--leaderboards", "boards"]):
        code, out, err = bench(capsys, *argv)
        assert (code, out) == (2, "") and str(path.relative_to(here)) in err and "Traceback" not in err, err
    assert not list(here.rglob("*.csv"))


def test_hostile_labels_are_printed_and_written_as_they_are(capsys, tmp_path):
    for name in HOSTILE:
        made_record(tmp_path, "m", {"pearson_delta": 0.5}, variant={"note": name})
    (items,) = groups(tmp_path).values()
    table = board(items)
    show(items[0].track, table, [item.record for item in items], [1])
    out = capsys.readouterr().out
    assert "m[note=[red]x[/red]]" in out and "[note=<script>" in out  # long ones are on two lines
    everything.regenerate(registry.tracks(), tmp_path)
    with (tmp_path / "d__simulation.csv").open(newline="", encoding="utf-8") as handle:
        labels = {row["model"] for row in csv.DictReader(handle)}
    assert {f"m[note={name}]" for name in HOSTILE} <= labels
