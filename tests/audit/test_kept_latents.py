"""Rows of encoders that do not follow from their cells: latents are kept, read again, and metrics follow from them."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import screens

from bench.audit import encoders
from bench.audit.data_sets import DataSets
from bench.audit.keeping import Lost
from bench.audit.records import look
from bench.audit.report import HASH as DAMAGED
from bench.audit.report import METRIC, MISSING, OK
from bench.audit.second import kept, representation
from bench.core.errors import BenchError
from bench.data.splits.split import draw
from bench.data.task import Task
from bench.results import cell_latents, everything, records, shifts, store
from bench.results.shifts import HASH, Shifts
from bench.results.spec import RunSpec
from bench.runner import kept_predictions
from bench.runner.config import task_fields
from bench.runner.publish import publish
from bench.tracks import registry
from bench.tracks.representation import references, run
from bench.tracks.representation.track import TRACK

NAMES = list(TRACK.metrics)
audited = pytest.mark.ci  # encoders are asked, published and audited whole
WIDTH = 8
#: Of a screen whose few units make metrics jump; who looks for the coarsest step that loses nothing: test_keeping.py.
STEPS = (0.01,)


def latents(cells=90, width=WIDTH, seed=0):
    """Latents of which some vary much and some little."""
    rng = np.random.default_rng(seed)
    turned = np.linalg.qr(rng.normal(size=(width, width)))[0]
    return rng.normal(size=(cells, width)) * np.geomspace(3, 0.05, width) @ turned


def book_of(step=0.25, **runs):
    book = Shifts()
    for name, z in runs.items():
        book = book.with_run(name, cell_latents.rows_of(z)._replace(steps=np.full(len(z), step)))
    return book


@pytest.mark.parametrize("step", [0.5, 0.0625])
def test_latents_are_exact_to_a_step_along_their_own_directions(step):
    given = {"a": latents(), "b": latents(40, 5, 1)}  # of other encoders: other widths
    book = book_of(step, **given)
    blob = shifts.pack(book)
    read, again = shifts.unpack("p.npz", blob), kept.read(blob)
    assert again.digests == read.digests == book.digests and shifts.pack(read) == blob
    for name, z in given.items():
        error = read.of(name) - z
        # Directions are a few degrees from orthonormal: a rounded number moves a little more than its own step.
        assert np.sqrt((error**2).mean()) <= 1.2 * step / np.sqrt(12)
        np.testing.assert_array_equal(again.shifts[name], read.of(name))
        moved = Shifts().with_run(name, read.rows(name))
        assert moved.digest(name) == read.digest(name)  # kept elsewhere: the same numbers
    assert book.only(["a"]).digest("a") == book.digest("a")
    assert len(shifts.pack(book_of(0.5, a=latents(600)))) < len(shifts.pack(book_of(0.1, a=latents(600))))


def test_what_varies_little_takes_no_room():
    z = latents(300, 30)
    numbers = book_of(0.5, a=z).runs["a"].numbers
    assert len(numbers) < 30 and np.abs(numbers[0]).max() > np.abs(numbers[-1]).max()


def test_parts_that_do_not_fit_are_named():
    book = book_of(a=latents())
    broken = replace(book.runs["a"], scale=book.runs["a"].scale[:-1])
    blob = shifts.pack(Shifts(book.genes, book.basis, {"a": broken}))
    with pytest.raises(ValueError, match="parts of a do not fit together"):
        kept.read(blob)
    with pytest.raises(BenchError, match="parts of a do not fit together"):
        shifts.unpack("p.npz", blob)


def test_too_many_latents_are_told():
    assert cell_latents.too_large(2_330, 128) == ""
    said = cell_latents.too_large(10_026, 128)
    assert said == "latents of 10,026 cells take at least 162.5 kB, and at most 115.0 kB are kept of a row"
    cell_latents.check_size(5, cell_latents.LARGEST)
    with pytest.raises(BenchError, match="latents of 5 cells take 115.0 kB, .*; in fewer digits x is off"):
        cell_latents.check_size(5, cell_latents.LARGEST + 1, "x is off")


@pytest.fixture(scope="module")
def one():
    """A screen of one context, its units told apart now and then."""
    data = screens.tiny_screen(effect=1.5)
    return Task(data, draw(data, "doubles", 1, 0))


def spec_of(task, model, seed=1):
    return RunSpec(
        **{**task_fields(task), "model": model, "model_version": 1, "arguments": {}, "variant": {},
           "pretrain_seed": seed, "head_seed": seed}
    )  # fmt: skip


ROWS = {"jepa": 1, "random_encoder": 1, "identity": 1}


@pytest.fixture(scope="module")
def ran(one, tmp_path_factory):
    """Two runs of one row, one of another, and one that follows from the cells."""
    folder = tmp_path_factory.mktemp("latents")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "git_state", lambda: ("0" * 40, False))
        for model, seed in (("jepa", 1), ("jepa", 2), ("random_encoder", 1)):
            embed = references.random_projection(60, 9 + seed + len(model), WIDTH)
            run.run_encoder(one, embed, spec_of(one, model, seed), folder / "runs", folder / "boards")
        run.run_encoder(one, lambda cells: cells, spec_of(one, "identity"), folder / "runs", folder / "boards")
    return folder


@pytest.fixture(scope="module")
def lost(one, ran):
    return Lost(ran / "boards", DataSets({"tiny": one.dataset}))


@pytest.fixture(scope="module")
def original(ran, lost, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    runs = [entry.record.run_id for entry in store.collect(TRACK, [ran / "boards"])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_latents, "STEPS", STEPS)
        publish(runs, ran / "boards", folder, runs=ran / "runs", lost=lost)
    return folder


@pytest.fixture(scope="module")
def tiny(one):
    """What `audit` has at hand."""
    return one.dataset


def first_runs(folder):
    """First runs of the rows that keep latents, by model."""
    found = store.collect(TRACK, [folder])
    return {e.record.spec.model: e for e in found if e.record.spec.model in ROWS and e.record.spec.pretrain_seed == 1}


@audited
def test_the_first_run_of_a_row_keeps_latents_and_is_recomputed_from_them(ran, boards, audit):
    named = {(e.record.spec.model, e.record.spec.pretrain_seed) for e in store.collect(TRACK, [boards])
             if HASH in e.record.hashes}  # fmt: skip
    assert named == {("jepa", 1), ("random_encoder", 1)}
    left = {path.parent.name for path in (ran / "runs").glob(f"*/{cell_latents.FILE}")}
    assert len(left) == 3  # of either run of jepa; of identity there is nothing to keep
    report = audit(boards)
    assert report.exit_code == OK
    done = [c for c in report.checks if c.name == "metrics recomputed"]
    details = {c.subject.split()[1]: c for c in done}
    for model, entry in first_runs(boards).items():
        check = details[entry.record.run_id]
        assert check.status == "ok" and ("from cells" if model == "identity" else "from kept latents") in check.detail
    (second,) = [c for c in done if c.status == "skipped"]
    assert "jepa" in second.subject and "no latents of this run are kept" in second.detail


@audited
def test_published_elsewhere_and_again_it_is_the_same(ran, original, lost, clean_tree, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cell_latents, "STEPS", STEPS)
    runs = [entry.record.run_id for entry in first_runs(original).values()]
    publish(runs, original, tmp_path / "there", runs=tmp_path / "nowhere", lost=lost)
    for model, entry in first_runs(tmp_path / "there").items():
        assert entry.record.hashes == first_runs(original)[model].record.hashes
    lines = publish(runs, ran / "boards", tmp_path / "late", runs=tmp_path / "nowhere", lost=lost)
    assert "no latents are kept of 2 records" in capsys.readouterr().err
    assert all(HASH not in entry.record.hashes for entry in first_runs(tmp_path / "late").values())
    lines = publish(runs, ran / "boards", tmp_path / "late", runs=ran / "runs", lost=lost)
    assert sum("its latents are kept now" in line for line in lines) == 2
    for model, entry in first_runs(tmp_path / "late").items():
        assert entry.record.hashes == first_runs(original)[model].record.hashes


@audited
def test_latents_of_another_run_and_too_much_room_are_refused(ran, one, lost, tmp_path, monkeypatch):
    rows = first_runs(ran / "boards")
    entry, other = rows["jepa"], rows["random_encoder"]
    folder = tmp_path / entry.record.run_id
    folder.mkdir()
    shutil.copy(ran / "runs" / other.record.run_id / cell_latents.FILE, folder)
    assert "not the latents" in kept_predictions.kept_of([entry], tmp_path, lost)[1][entry.record.run_id]
    monkeypatch.setattr(cell_latents, "LARGEST", 500)
    assert "are kept of a row" in kept_predictions.kept_of([entry], ran / "runs", lost)[1][entry.record.run_id]
    cells = len(encoders.Judge(one).asked.looked_at)
    assert f"latents of {cells:,} cells" in encoders.Judge(one).nothing_kept(entry, "").detail


def again(folder, model, change):
    """Change a record, its table and its latents as somebody would who knows how files are made: all hashes fit."""
    rows = first_runs(folder)
    (board,) = store.boards(folder, TRACK)
    book = {name: board.kept.rows(entry.record.run_id) for name, entry in rows.items() if name != "identity"}
    record, table, z = change(rows[model].record, rows[model].table, book[model], book)
    store.add(folder, TRACK, [records.with_values(record, table)], {record.run_id: z})
    everything.regenerate(registry.tracks(), folder)


def moved(metric, by):
    def change(record, table, z, book):
        values = table.numbers["value"].copy()
        values[2, NAMES.index(metric)] += by
        return record, replace(table, numbers={**table.numbers, "value": values}), z

    return change


def numbered(metric, by):
    def change(record, table, z, book):
        return record.model_copy(update={"numbers": {**record.numbers, metric: record.numbers[metric] + by}}), table, z

    return change


def shifted(record, table, z, book):
    """The cells of the first fifth lie elsewhere."""
    at = z.shifts.copy()
    at[: len(at) // 5] += 2.0
    return record, table, z._replace(shifts=at)


def swapped(record, table, z, book):
    return record, table, book["random_encoder"]


def fewer(record, table, z, book):
    return record, table, z._replace(shifts=z.shifts[1:], steps=z.steps[1:])


PLANTED = [
    (moved("retrieval_mrr_20", 0.3), "retrieval_mrr_20"),
    (moved("silhouette_condition", 0.05), "silhouette_condition"),
    (moved("knn_purity", 0.1), "knn_purity"),
    (numbered("effective_rank", 0.5), "effective_rank"),
    (numbered("probe_seen_accuracy", 0.2), "probe_seen_accuracy"),
    (numbered("width", 1.0), "width"),
    (shifted, "is off by"),
    (swapped, "is off by"),
    (fewer, "are asked about"),
]


@pytest.fixture(scope="module")
def judge(one):
    """Asks of the same latents once: a record that was edited says the same of them."""
    found, ask = {}, representation.found_in

    def once(screen, asked, z):
        key = z.tobytes()
        if key not in found:
            found[key] = ask(screen, asked, z)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            representation,
            "found_in",
            once,
        )
        yield encoders.Judge(one)


@audited
@pytest.mark.parametrize(("change", "said"), PLANTED)
def test_an_edited_record_or_latents_with_all_hashes_made_anew(change, said, boards, judge):
    again(boards, "jepa", change)
    (board,) = store.boards(boards, TRACK)
    for model, entry in first_runs(boards).items():
        if model != "identity":
            check = judge.row(entry, "", board.kept.of(entry.record.run_id))
            assert check.status == ("failed" if model == "jepa" else "ok")
            if model == "jepa":
                assert check.code == METRIC and said in check.detail


def member(folder, change):
    """Replace the member that holds latents, and nothing else."""
    from bench.results import zips

    (board,) = store.boards(folder, TRACK)
    held = store.members(board.path)
    book = change(board.kept)
    held.pop(store.PREDICTIONS)
    zips.write(board.path, held | ({store.PREDICTIONS: shifts.pack(book)} if book else {}))


@audited
def test_latents_that_are_not_those_of_the_record(boards, tmp_path):
    jepa = first_runs(boards)["jepa"].record.run_id

    def edited(book):
        numbers = book.runs[jepa].numbers.copy()
        numbers[0, 3] += 1
        return Shifts(book.genes, book.basis, {**book.runs, jepa: replace(book.runs[jepa], numbers=numbers)})

    for name, change, code, said in (
        ("edited", edited, DAMAGED, "not those that its record names"),
        ("gone", lambda book: book.only(set(book.runs) - {jepa}), MISSING, "not in the file"),
        ("none", lambda book: None, MISSING, "records name latents"),
    ):
        folder = shutil.copytree(boards, tmp_path / name)
        member(folder, change)
        (check,) = [c for c in look(folder).checks if c.status == "failed"]
        assert check.code == code and said in check.detail


@audited
def test_an_edited_metric_in_a_whole_audit(boards, audit):
    again(boards, "jepa", moved("retrieval_mrr_20", 0.3))
    report = audit(boards)
    found = [c for c in report.checks if c.status == "failed" and c.name == "metrics recomputed"]
    assert report.exit_code == METRIC and len(found) == 1 and "jepa" in found[0].subject
