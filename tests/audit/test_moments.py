"""Moments of latents: a row's numbers follow from them, publishing takes them along, and what was edited is found."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from members import cut, put

from bench.audit import screens
from bench.audit.compare import MOMENTS
from bench.audit.data_sets import DataSets
from bench.audit.keeping import Lost
from bench.audit.report import HASH, METRIC, MISSING
from bench.audit.second import known
from bench.audit.second import moments as second
from bench.audit.verify import verify
from bench.core.errors import BenchError
from bench.data.known_latents import load
from bench.results import everything, moments, records, store
from bench.results.latents import Latents
from bench.runner.effort import Effort
from bench.runner.identify import identify
from bench.runner.kept_predictions import follows
from bench.runner.publish import publish
from bench.sweep import suite as suites
from bench.tracks import registry
from bench.tracks.identifiability import kept
from bench.tracks.identifiability.references import REFERENCES
from bench.tracks.identifiability.score import score
from bench.tracks.identifiability.track import TRACK

DATA = "g1:perturbations=6,cells=100,d_v=3,max_hits=2,d_i=2,genes=12"
DOUBLES = "g2:cells=100,controls=200"


@pytest.fixture(scope="module")
def drawn():
    """Screens by name, each with what the second implementation takes."""
    problems = {name: load(name, 1) for name in (DATA, DOUBLES)}
    return {name: (problem, screens.screen_of(problem)) for name, problem in problems.items()}


def made(problem, kind, seed=0):
    """Latents of each kind that rows have."""
    rng = np.random.default_rng(seed)
    d, n = problem.z_v.shape[1], len(problem.held)
    turned = problem.z_v @ rng.normal(size=(d, d)) + 0.5 * rng.normal(size=(n, d))
    if kind == "one block":
        return Latents(np.hstack([turned, problem.z_i + rng.normal(size=problem.z_i.shape)]))
    if kind == "copies":  # as good as a copy, a constant, and one that varies by nothing but rounding
        return Latents(np.hstack([turned[:, :1], turned[:, :1] + 1e-3 * rng.normal(size=(n, 1)), np.ones((n, 1))]))
    pairs, p = len(problem.truth.effects.pairs), problem.n_singles
    said = {"effects": rng.random((p, d)), "graph": rng.normal(0, 0.3, (d, d))}
    if pairs:
        said["doubles"] = rng.normal(size=(pairs, d))
    back = np.hstack([problem.z_i, problem.z_v])[:, : problem.z_i.shape[1]] + rng.normal(size=problem.z_i.shape)
    return Latents(turned, back if problem.z_i.shape[1] else None, **said)


@pytest.mark.parametrize("data", [DATA, DOUBLES])
@pytest.mark.parametrize("kind", ["one block", "two blocks", "copies"])
def test_a_rows_numbers_follow_from_its_moments(drawn, data, kind):
    problem, screen = drawn[data]
    latents = made(problem, kind)
    first, again = score(problem, latents), second.numbers(screen, kept.moments(problem, latents))
    assert set(first) - set(again) == set(second.OF_CELLS) and set(again) == set(MOMENTS)
    for name, value in again.items():
        assert value == pytest.approx(first[name], rel=MOMENTS[name].mean, abs=MOMENTS[name].mean, nan_ok=True), name


def test_true_latents_in_another_order_are_told_as_such(drawn):
    problem, screen = drawn[DATA]
    found = second.numbers(screen, kept.moments(problem, Latents(-2.0 * problem.z_v[:, ::-1])))
    assert found["mcc_within"] == pytest.approx(1.0, abs=1e-3) == found["mcc_pooled_spearman"]
    assert found["r2_v"] == pytest.approx(1.0, abs=1e-3) and abs(found["r2_i"]) < 0.1


def test_both_readers_find_what_was_written(drawn):
    problem, _ = drawn[DATA]
    runs = {name: kept.moments(problem, made(problem, name)) for name in ("one block", "two blocks")}
    runs["empty"] = {"none": np.zeros((0, 3), np.int32), "far": np.array([-(2**30), 2**30, -1, 0], np.int32)}
    blob = moments.pack(moments.Book(runs))
    book, again = moments.unpack("it", blob), second.read(blob)
    assert book.digests == again.digests == moments.Book(runs).digests and moments.pack(book) == blob
    for name, arrays in runs.items():
        assert set(arrays) == set(book.runs[name]) == set(again.runs[name])
        for key, array in arrays.items():
            assert np.array_equal(array, book.runs[name][key]) and np.array_equal(array, again.runs[name][key])
    for broken in (blob[: len(blob) // 2], b""):
        with pytest.raises(BenchError, match="it: damaged"):
            moments.unpack("it", broken)
        with pytest.raises(ValueError):
            second.read(broken)


def of(numbers):
    return SimpleNamespace(record=SimpleNamespace(numbers={k: None if v != v else v for k, v in numbers.items()}))


def edited(arrays, name, at, by):
    changed = arrays[name].copy()
    changed[at] += by
    return {**arrays, name: changed}


@pytest.mark.parametrize(
    ("name", "at", "by"),
    [
        ("r", (0, 1), 30),
        ("r", (1, 1), 30),
        ("within", (1, 0), 60),
        ("shifts", (0, slice(None), 0), 20),
        ("largest", 0, 400),
        ("effects", (slice(None, None, 2), slice(None)), 300),
        ("graph", (slice(None), slice(None)), 40),
        ("z_factor", 1, 800),
        ("z_mean", slice(None), 400),
        ("z_second", 2, 200),
        ("z_cross", (0, slice(None), 0), 60),
        ("z_cross", (1, slice(None), 1), 60),
        ("invariant_second", 0, 3000),
        ("invariant_cross", (1, slice(None), slice(None)), 60),
    ],
)
def test_an_edited_moment_is_found(drawn, name, at, by):
    problem, screen = drawn[DATA]
    latents = made(problem, "two blocks")
    arrays, entry = kept.moments(problem, latents), of(score(problem, latents))
    assert screens.judged(entry, screen, arrays) == ("", 11)
    assert screens.judged(entry, screen, edited(arrays, name, at, by))[0]


def test_a_moment_that_is_edited_with_the_number_that_it_gives_is_found(drawn):
    """The numbers agree, and what is kept of all cells is not what is kept within conditions and of their means."""
    problem, screen = drawn[DATA]
    latents = made(problem, "one block")
    arrays = kept.moments(problem, latents)
    true = np.flatnonzero(arrays["matched"][0])
    partner, sign = np.abs(arrays["matched"][0]) - 1, np.sign(arrays["matched"][0])
    better = edited(arrays, "r", (0, 1, partner, true), 40 * sign)
    entry = of({**score(problem, latents), "mcc_within": score(problem, latents)["mcc_within"] + 40 / 1024})
    assert "do not add up" in screens.judged(entry, screen, better)[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: {**a, "r": np.full_like(a["r"], 1000)}, "would explain"),
        (lambda a: {**a, "z_cross": np.full_like(a["z_cross"], 900)}, "an eigenvalue is"),
        (lambda a: {**a, "z_factor": a["z_factor"] // 2}, "units of their SD"),
        (lambda a: {**a, "matched": np.roll(a["matched"], 1, axis=1)}, "its matching"),
        (lambda a: {**a, "matched": -a["matched"]}, "other signs"),
        (lambda a: {**a, "matched": np.full_like(a["matched"], 1)}, "is none"),
        (lambda a: {k: v for k, v in a.items() if k != "within"}, "'within' is not there"),
        (lambda a: {**a, "largest": a["largest"][:-1]}, "has the shape"),
    ],
)
def test_moments_that_no_latents_have(drawn, change, said):
    problem, screen = drawn[DATA]
    latents = made(problem, "one block")
    found, n = screens.judged(of(score(problem, latents)), screen, change(kept.moments(problem, latents)))
    assert said in found and n == 0


def test_moments_of_another_screen_are_found(drawn):
    problem, _ = drawn[DATA]
    latents = made(problem, "one block")
    elsewhere = screens.screen_of(load(DATA, 2))
    assert screens.judged(of(score(problem, latents)), elsewhere, kept.moments(problem, latents))[0]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A board of two data seeds with one row that is kept and one that follows from the screen."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "git_state", lambda: ("0" * 40, False))
        found = identify(
            TRACK, ("ica", "pca"), DATA, (1, 2), (1,), Effort(), folder / "runs", folder / "runs" / "boards"
        )
        ids = [record.run_id for record in found.records]
        lines = publish(ids, folder / "runs" / "boards", folder / "boards", lost=Lost(folder / "boards"))
    return folder, found, lines


@pytest.fixture
def boards(published, tmp_path, monkeypatch):
    """A copy to damage."""
    monkeypatch.setattr(suites, "names", lambda: [])
    return shutil.copytree(published[0] / "boards", tmp_path / "boards")


def board_of(folder):
    (board,) = store.boards(folder, TRACK)
    return board


def first_ica(board):
    """The run of which moments are kept."""
    (record,) = [one for one in board.records.values() if moments.HASH in one.hashes]
    assert record.spec.label == "ica" and record.spec.split_seed == 1
    return record


def audit(folder):
    report = verify(folder, DataSets({}))
    return report, [check for check in report.checks if check.status == "failed"]


def replaced(folder, arrays=None, **fields):
    """Publish the kept row with other numbers or moments, as a forger would who knows how to."""
    board = board_of(folder)
    record = first_ica(board)
    rows = arrays or board.kept.rows(record.run_id)
    store.add(folder, TRACK, [(record.model_copy(update=fields), None)], {record.run_id: rows})
    everything.regenerate(registry.tracks(), folder)


def test_publishing_keeps_moments_of_each_rows_first_run_and_the_audit_recomputes_from_them(published, boards):
    folder, found, lines = published
    assert all(line.endswith(": published") for line in lines)
    here = {record.spec.label: record for record in found.records if record.spec.split_seed == 1}
    assert (folder / "runs" / here["ica"].run_id / moments.FILE).is_file()
    assert not (folder / "runs" / here["pca"].run_id / moments.FILE).exists()
    record = first_ica(board_of(boards))
    assert record.hashes[moments.HASH] == record.hashes[moments.MADE] == board_of(boards).kept.digest(record.run_id)
    assert record.numbers == here["ica"].numbers
    report, failures = audit(boards)
    assert failures == []
    (check,) = [c for c in report.checks if record.run_id in c.subject and c.name == "metrics recomputed"]
    assert check.status == "ok" and check.detail == "8 values; label_i and label_v need single cells"
    (skip,) = [c for c in report.checks if c.status == "skipped" and " ica " in c.subject]
    assert skip.detail == "published without moments of its latents"


def test_rows_that_follow_from_the_screen_need_none(published):
    _, found, _ = published
    entries = store.collect(TRACK, [published[0] / "boards"])
    assert {entry.record.spec.label for entry in entries if follows(entry)} == {"pca"}
    assert tuple(name for name, one in REFERENCES.items() if not one.rounded) == known.ROWS


def test_a_record_that_was_published_without_gets_them_when_it_is_published_again(published, boards):
    board = board_of(boards)
    run_id = first_ica(board).run_id
    store.add(boards, TRACK, [(board.records[run_id].model_copy(update={"hashes": {}}), None)])
    assert not board_of(boards).kept.runs and store.MOMENTS not in store.members(board.path)
    source = published[0] / "runs" / "boards"
    (line,) = publish([run_id], source, boards)
    assert line.endswith("reproduces, and its moments are kept now")
    assert first_ica(board_of(boards)).run_id == run_id
    # From a board that has them: the same to the last bit.
    elsewhere = boards.parent / "elsewhere"
    publish([run_id], boards, elsewhere, runs=boards.parent / "nowhere")
    assert board_of(elsewhere).kept.digests == board_of(boards).kept.digests
    assert publish([run_id], source, boards)[0].endswith("reproduces")


def test_moments_that_are_not_the_records_own_are_not_published(published, tmp_path, capsys):
    folder, found, _ = published
    ids = [record.run_id for record in found.records if record.spec.label == "ica"]
    other = moments.read(folder / "runs" / ids[1] / moments.FILE, ids[1])
    moments.write(tmp_path / "runs" / ids[0], ids[0], other)
    publish(ids[:1], folder / "runs" / "boards", tmp_path / "a", runs=tmp_path / "runs")
    assert "not the moments of the latents" in " ".join(capsys.readouterr().err.split())
    moments.write(tmp_path / "runs" / ids[0], ids[1], other)
    publish(ids[:1], folder / "runs" / "boards", tmp_path / "b", runs=tmp_path / "runs")
    assert f"the moments of {ids[1]}, not of {ids[0]}" in " ".join(capsys.readouterr().err.split())
    assert not board_of(tmp_path / "a").kept.runs and not board_of(tmp_path / "b").kept.runs


def test_moments_from_which_the_numbers_do_not_follow_are_not_kept(published, tmp_path, capsys):
    folder, found, _ = published
    entry = next(e for e in store.collect(TRACK, [folder / "boards"]) if moments.HASH in e.record.hashes)
    arrays = board_of(folder / "boards").kept.rows(entry.record.run_id)
    lost = Lost(folder / "boards")
    assert lost(entry, arrays) == ""
    assert "is off by" in lost(entry, edited(arrays, "r", (1, 1), 30))
    spec = entry.record.spec.model_copy(update={"dataset": "nobody"})
    unknown = replace(entry, record=entry.record.model_copy(update={"spec": spec}))
    assert lost(unknown, arrays) is None


def test_an_edited_member_is_found_by_its_hash(boards):
    board = board_of(boards)
    run_id = first_ica(board).run_id
    changed = edited(board.kept.rows(run_id), "z_cross", (0, 0, 0), 1)
    put(board.path, store.MOMENTS, moments.pack(moments.Book({run_id: changed})))
    report, failures = audit(boards)
    assert report.exit_code == HASH
    assert [check.name for check in failures] == ["kept moments"] and run_id in failures[0].subject
    with pytest.raises(BenchError, match="moments of .* are not those of its record"):
        _ = board_of(boards).kept
    put(board.path, store.MOMENTS, moments.pack(moments.Book({"0" * 12: changed})))
    assert audit(boards)[0].exit_code == MISSING
    put(board.path, store.MOMENTS, None)
    assert audit(boards)[0].exit_code == MISSING


def test_a_member_that_is_cut_short(boards):
    cut(board_of(boards).path, store.MOMENTS)
    report, failures = audit(boards)
    assert report.exit_code == HASH and failures[0].name == "kept moments"


@pytest.mark.parametrize("metric", ["mcc_within", "mcc_pooled_spearman", "r2_i", "mask_f1", "width"])
def test_an_edited_number_is_found(boards, metric):
    numbers = first_ica(board_of(boards)).numbers
    replaced(boards, numbers={**numbers, metric: numbers[metric] - 3e-3})
    report, failures = audit(boards)
    assert report.exit_code == METRIC
    names = [check.name for check in failures]
    assert set(names) <= {"metrics recomputed", "values agree with each other"}
    assert metric in failures[names.index("metrics recomputed")].detail


def test_moments_of_another_row_are_found(boards, drawn):
    problem, _ = drawn[DATA]
    replaced(boards, kept.moments(problem, made(problem, "one block", 5)))
    report, failures = audit(boards)
    assert report.exit_code == METRIC and [check.name for check in failures] == ["metrics recomputed"]
