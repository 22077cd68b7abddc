"""A published row is run again from what its record says: the same numbers, one that is off, and what cannot be run."""

import json
from dataclasses import replace

import pytest
from command import bench as command

import bench
from bench.audit import reproduce
from bench.core.errors import BenchError
from bench.core.files import published_boards
from bench.results import store
from bench.tracks import registry
from bench.tracks.response.track import TRACK

pytestmark = pytest.mark.ci
#: A screen of the generator that is drawn in a second; its name says all that it is made from.
SMALL = "simulated:n_genes=200,n_singles=30,n_doubles=0,n_controls=300"


@pytest.fixture(scope="module")
def boards(tmp_path_factory):
    """A folder with one row."""
    folder = tmp_path_factory.mktemp("published")
    bench.run("ridge", bench.load_task(SMALL, split="simulation"), out=folder, progress=False)
    return folder / "leaderboards"


def entry_of(boards):
    (entry,) = store.collect(TRACK, [boards])
    return entry


def test_the_numbers_come_out_again_and_nothing_published_changes(boards, capsys):
    entry = entry_of(boards)
    before = {path: path.read_bytes() for path in boards.rglob("*") if path.is_file()}
    code, out, err = command(capsys, "reproduce", entry.record.run_id, "--leaderboards", boards, "--json")
    assert code == 0, err
    lines = {line["metric"]: line for line in json.loads(out)}
    assert lines["pearson_delta"]["old"] == pytest.approx(entry.levels["pearson_delta"].mean, abs=1e-12)
    assert lines["pearson_delta"]["tolerance"] == 1e-9 and all(line["within"] for line in lines.values())
    assert {path: path.read_bytes() for path in boards.rglob("*") if path.is_file()} == before


def test_a_number_that_is_not_what_the_code_makes_is_off(boards, capsys, monkeypatch):
    run_id = entry_of(boards).record.run_id
    numbers = reproduce._numbers

    def published_too_high(entry):
        found = numbers(entry)
        return found | {"r2": found["r2"] + 1e-6} if entry.path.is_relative_to(boards) else found

    monkeypatch.setattr(reproduce, "_numbers", published_too_high)
    code, out, err = command(capsys, "reproduce", run_id, "--leaderboards", boards)
    assert code == 3 and "1 of" in err and "off: r2" in err
    assert [line.split()[0] for line in out.splitlines() if line.endswith("OFF")] == ["r2"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "reference"}, "reproduce an encoder beside it"),
        ({"model_version": 0}, "is not a model of this package"),
        ({"model_version": 99}, "cannot be made again by this code"),
    ],
)
def test_what_cannot_be_run_again_says_why(boards, changes, said):
    entry = entry_of(boards)
    kind, version = changes.get("kind", entry.record.kind), changes.get("model_version", 1)
    spec = entry.record.spec.model_copy(update={"model_version": version})
    changed = entry.record.model_copy(update={"kind": kind, "spec": spec, "run_id": spec.run_id})
    other = replace(entry, record=changed)
    with pytest.raises(BenchError, match=said):
        list(reproduce._again(other, boards.parent / "again"))


def test_an_unknown_run_and_the_published_folder_itself_are_refused(boards):
    with pytest.raises(BenchError, match="run id"):
        reproduce.reproduce("000000000000", boards)
    with pytest.raises(BenchError, match="choose another folder"):
        reproduce.reproduce(entry_of(boards).record.run_id, boards, boards)


def test_a_row_of_known_latents(tmp_path, capsys):
    """By its screen's name, its arguments and its effort, which are all in its spec."""
    data = "g1:perturbations=4,cells=20,controls=40,d_v=3,max_hits=2,d_i=1,genes=8"
    argv = ["identify", "--data", data, "--data-seed", "2", "--seed", "3", "--steps", "4", "--hidden", "8"]
    argv += ["--model", "ica perturbed_vae:ablation=no_sep,alpha=0.05", "--against", "ica", "--no-references"]
    assert command(capsys, *argv, "--out", tmp_path, "--leaderboards", tmp_path / "boards")[0] == 0
    made = {e.record.spec.label: e.record for e in store.collect(registry.by_verb("identify"), [tmp_path / "boards"])}
    assert set(made) == {"ica", "perturbed_vae[ablation=no_sep,alpha=0.05,hidden=8,steps=4]"}
    for record in made.values():
        code, out, err = command(capsys, "reproduce", record.run_id, "--leaderboards", tmp_path / "boards", "--json")
        assert code == 0, err
        lines = {line["metric"]: line for line in json.loads(out)}
        assert all(line["within"] and line["old"] == line["new"] for line in lines.values()) and "mcc_within" in lines


def test_a_published_row_of_profiles(capsys):
    """All questions that its wells allow are asked again; the one of the record is compared."""
    entries = store.collect(registry.by_verb("profiles"), [published_boards()], "simulated_profiles")
    wanted = ("noise_encoder[correction=plate_z]", 2)
    record = next(e.record for e in entries if (e.record.spec.label, e.record.spec.pretrain_seed) == wanted)
    code, out, err = command(capsys, "reproduce", record.run_id, "--leaderboards", published_boards(), "--json")
    assert code == 0, err
    lines = {line["metric"]: line for line in json.loads(out)}
    assert all(line["within"] for line in lines.values()) and lines["map"]["old"] is not None
