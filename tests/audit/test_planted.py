"""Every planted defect is found, named, and told by its exit code."""

import json
import shutil
from dataclasses import replace

import anndata
import numpy as np
import pytest
from audit_boards import UNKEPT, again, board_of, caught, failures, first, scored
from members import cut, lines_of, put, put_lines

from bench.audit.report import CLAIM, HASH, METRIC, MISSING, OK
from bench.results import claims, everything, parquet, records, shifts, store
from bench.results.records import Record
from bench.sweep import suite as suites
from bench.tracks import registry
from bench.tracks.response.track import TRACK

NAMES = list(TRACK.metrics)


def moved(table, row, metric, by):
    numbers = {**table.numbers, "value": table.numbers["value"].copy()}
    numbers["value"][row, NAMES.index(metric)] += by
    return replace(table, numbers=numbers)


def test_nothing_is_wrong_with_what_was_published(clean_tree, original, audit):
    report = audit(original)
    assert failures(report) == [] and report.exit_code == OK and report.all_ok
    by_name = {}
    for check in report.checks:
        by_name.setdefault(check.name, []).append(check.status)
    assert by_name["metrics recomputed"] == ["ok"] * 4
    assert by_name["reference controls unseen"] == ["ok"] * 4
    assert by_name["floor and replicate recomputed"] == ["ok"] and by_name["split drawn again"] == ["ok"]
    assert by_name["claims follow from records"] == ["ok"] == by_name["claims as committed"]


def test_rows_without_predictions_are_skipped_and_never_counted_as_verified(boards, audit, monkeypatch):
    monkeypatch.setattr(suites, "find", lambda name: UNKEPT)
    board = board_of(boards)
    bare = [(e.record.model_copy(update={"hashes": {}}), e.table) for e in board.entries()]
    board.write(bare)
    report = audit(boards)
    skips = [check for check in report.checks if check.detail == "no predictions kept"]
    assert failures(report) == [] and [check.status for check in skips] == ["skipped"] * 4
    assert not [check for check in report.checks if check.name == "metrics recomputed" and check.status == "ok"]


@pytest.mark.thinned(1)
@pytest.mark.parametrize("metric", ["pearson_delta", "signed_rank_z", "signed_ap@50", "wmse"])
def test_an_edited_metric_with_all_hashes_made_anew(metric, boards, audit):
    def change(record, table):
        if record.spec.label != "additive":
            return record, table
        table = moved(table, int(np.flatnonzero(table.task.words["scope"] == "all")[2]), metric, 0.05)
        return record.model_copy(update={"values_hash": table.hash}), table

    again(boards, change)
    caught(audit(boards), METRIC, "metrics recomputed", "additive", metric)


def test_an_edited_metric_alone(boards, audit):
    path = board_of(boards).path
    table = parquet.read(store.VALUES, store.members(path)[store.VALUES])
    column = table.column("value.pearson_delta").to_numpy().copy()
    column[0] += 0.01
    import pyarrow as pa

    place = table.column_names.index("value.pearson_delta")
    put(path, store.VALUES, parquet.pack(table.set_column(place, "value.pearson_delta", pa.array(column))))
    found = caught(audit(boards), HASH, "values", "values.parquet")
    assert not [check for check in found if check.subject.endswith(".csv")]  # the CSVs are not to blame


def test_an_edited_prediction(boards, audit):
    board = board_of(boards)
    book, run_id = board.kept, first(board, "additive").record.run_id
    kept = book.runs[run_id]
    numbers = kept.numbers.copy()
    numbers[0, 0] += 40
    edited = replace(book, runs={**book.runs, run_id: shifts.Kept(kept.scale, numbers)})
    put(board.path, store.PREDICTIONS, shifts.pack(edited))
    caught(audit(boards), HASH, "kept predictions", run_id, "not those that its record names")
    again_hash = {r.run_id: edited.digest(r.run_id) for r, _ in [(e.record, 0) for e in board.entries()]}

    def renamed(record, table):
        return record.model_copy(update={"hashes": {**record.hashes, shifts.HASH: again_hash[record.run_id]}}), table

    board.write([renamed(e.record, e.table) for e in board.entries()], edited)
    caught(audit(boards), METRIC, "metrics recomputed", "additive")


@pytest.mark.parametrize("how", ["truth", "another row's"])
def test_predictions_that_are_not_the_rows_own(how, boards, audit, task):
    board = board_of(boards)
    names = {label: first(board, label).record.run_id for label in ("latent_additive", "cpa_like")}

    def swap(book):
        if how == "truth":
            from bench.tracks.response.truth import truth

            facts = truth.load(task)
            place = {tuple(unit): i for i, unit in enumerate(facts.units)}
            order = [place[tuple(u)] for u in first(board, "additive").values.task.units["all"]]
            other = (facts.y - facts.c_ref)[order]
        else:
            other = book.of(names["latent_additive"])
        rest = book.only(set(book.runs) - {names["cpa_like"]})
        return rest.with_run(names["cpa_like"], shifts.Rows(book.genes, other))

    again(boards, lambda record, table: (record, table), swap)
    said = "they are the truth" if how == "truth" else "the same as those of"
    caught(audit(boards), METRIC, "predictions are the row's own", said)


def test_a_swapped_split(boards, audit):
    def change(record, table):
        spec = record.spec.model_copy(update={"split_id": "0123456789abcdef"})
        return Record.model_validate({**record.model_dump(), "spec": spec.model_dump(), "run_id": spec.run_id}), table

    board = board_of(boards)
    board.write([change(e.record, e.table) for e in board.entries()], shifts.Shifts())
    everything.regenerate(registry.tracks(), boards)
    caught(audit(boards), HASH, "split drawn again", "additive", "0123456789abcdef")


def test_a_unit_of_train_among_those_scored(boards, audit, task, monkeypatch):
    monkeypatch.setattr(suites, "find", lambda name: UNKEPT)
    name = task.split.train[0]

    def change(record, table):
        words = {key: values.copy() for key, values in table.task.words.items()}
        words["condition"][words["condition"] == words["condition"][0]] = name  # the first stays the first
        task_ = replace(table.task, words=words)
        table = replace(table, task=task_)
        return record.model_copy(update={"values_hash": table.hash}), table

    board = board_of(boards)
    board.write([change(entry.record.model_copy(update={"hashes": {}}), entry.table) for entry in board.entries()])
    everything.regenerate(registry.tracks(), boards)
    caught(audit(boards), METRIC, "units are of the test part", name)


def test_cells_of_a_test_unit_in_train(task, monkeypatch):
    """The check of the split itself: the code that draws it may be wrong one day."""
    from bench.audit.data_sets import problems_of
    from bench.data.task import Task

    split = task.split
    assert problems_of(task) == []
    leaking = split.model_copy(update={"train": (*split.train, split.test[0])})
    assert "both in train and in test" in problems_of(Task(task.dataset, leaking))[0]
    seen = next(iter(split.reference_controls.values()))[:3]
    inputs = {name: (*of, *seen) for name, of in split.input_controls.items()}
    shared = split.model_copy(update={"input_controls": inputs})
    assert "both given to models and kept from them" in problems_of(Task(task.dataset, shared))[0]


@pytest.mark.parametrize("change", ["a digit", "a warning", "NaN", "0xff", "cut short"])
def test_a_damaged_line_of_a_record(change, boards, audit):
    path = board_of(boards).path
    lines = lines_of(path).splitlines(keepends=True)
    if change == "a digit":
        lines[1] = lines[1].replace(b'"split_seed":1', b'"split_seed":2')
    elif change == "a warning":
        lines[1] = lines[1].replace(b'"warnings":[', b'"warnings":["fine",').replace(b",]", b"]")
    elif change == "NaN":  # with the checksum that belongs to it
        from hashlib import sha256

        content = json.loads(lines[1])
        content.pop("checksum")
        content["budget"]["fit_s"] = float("nan")
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        lines[1] = f'{{"checksum":"{sha256(text.encode()).hexdigest()}",{text[1:]}\n'.encode()
    elif change == "0xff":
        lines[1] = lines[1][:200] + b"\xff" + lines[1][200:]
    else:
        lines[-1] = lines[-1][: len(lines[-1]) // 2]
    put_lines(path, b"".join(lines))
    number = len(lines) if change == "cut short" else 2
    found = caught(audit(boards), HASH, "record", f"runs.jsonl.gz, line {number}")
    assert not [check for check in found if check.subject.endswith(".csv")]


@pytest.mark.parametrize("name", [store.VALUES, store.TASK, store.DRAWS, store.PREDICTIONS])
@pytest.mark.parametrize("how", ["cut short", "gone"])
def test_a_member_beside_the_records_is_cut_short_or_gone(how, name, boards, audit):
    path = board_of(boards).path
    if how == "gone":
        put(path, name, None)
    else:
        cut(path, name)
    code = MISSING if how == "gone" and name != store.DRAWS else HASH
    kind = "kept predictions" if name == store.PREDICTIONS else "values"
    caught(audit(boards), code, kind, name if (how, name) != ("gone", store.DRAWS) else store.VALUES)


def test_a_row_of_another_gene_list(boards, audit):
    board = board_of(boards)
    book = board.kept
    other = replace(book, genes=("X", *book.genes[1:]))
    again(boards, lambda record, table: (record, table), lambda _: other)
    caught(audit(boards), METRIC, "genes by name", "other genes")


def test_genes_in_another_order_change_nothing(boards, audit):
    board = board_of(boards)
    book = board.kept
    turned = replace(book, genes=book.genes[::-1], basis=np.ascontiguousarray(book.basis[:, ::-1]))
    again(boards, lambda record, table: (record, table), lambda _: turned)
    assert failures(audit(boards)) == []


def test_a_copy_under_another_name(boards, audit):
    board = board_of(boards)
    entry = first(board, "additive")
    spec = entry.record.spec.model_copy(update={"model": "better"})
    copied = Record.model_validate(
        {**entry.record.model_dump(), "spec": spec.model_dump(), "run_id": spec.run_id,
         "hashes": {k: v for k, v in entry.record.hashes.items() if k != shifts.HASH}}
    )  # fmt: skip
    store.add(boards, TRACK, [(copied, entry.table)])
    everything.regenerate(registry.tracks(), boards)
    caught(audit(boards), HASH, "no duplicates", "better", "additive")


def test_a_line_that_is_there_twice_and_one_on_another_board(boards, audit):
    path = board_of(boards).path
    lines = lines_of(path).splitlines(keepends=True)
    put_lines(path, b"".join([*lines, lines[0]]))
    caught(audit(boards), HASH, "no duplicates", "is there twice")
    put_lines(path, b"".join(lines))
    shutil.copy(path, path.with_name("tiny__simulation.zip"))
    caught(audit(boards), HASH, "record", "belongs in records/response/tiny__doubles")


def test_a_newer_scoring_version_mixed_in(boards, audit):
    def change(record, table):
        newer = record.spec.label == "cpa_like"
        return record.model_copy(update={"track_version": record.track_version + newer}), table

    board = board_of(boards)
    board.write([change(e.record, e.table) for e in board.entries()])
    everything.regenerate(registry.tracks(), boards)
    caught(audit(boards), METRIC, "one scoring version", "cpa_like", "are mixed")


def test_a_tree_with_changes(boards, audit):
    again(boards, lambda record, table: (record.model_copy(update={"git_dirty": True}), table))
    caught(audit(boards), HASH, "made from a clean commit", "additive")


@pytest.mark.ci
def test_a_csv_edited_by_hand_a_byte_that_is_no_text_and_one_too_many(boards, audit):
    path = boards / "tiny__doubles.csv"
    text = path.read_bytes()
    for changed in (text.replace(b",additive,", b",additiv,"), text[:50] + b"\xff" + text[51:], b""):
        path.write_bytes(changed)
        caught(audit(boards), HASH, "CSVs follow from records", "tiny__doubles.csv")
    path.unlink()
    caught(audit(boards), MISSING, "CSVs follow from records", "tiny__doubles.csv")
    path.write_bytes(text)
    (boards / "other__doubles.csv").write_bytes(text)
    caught(audit(boards), HASH, "CSVs follow from records", "other__doubles.csv", "no record gives it")


def edited(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, sort_keys=True, indent=2) + "\n")


@pytest.mark.ci
def test_claims_edited_deleted_or_about_something_else(boards, audit):
    path = claims.place(boards, "small")
    text = path.read_bytes()

    def verdict(content):
        content["verdicts"][0]["verdict"] = "false" if content["verdicts"][0]["verdict"] == "true" else "true"

    def margin(content):
        content["verdicts"][0]["claim"]["margin"] = 0.5

    def none_left(content):
        content["verdicts"] = []

    def easier(content):
        content["verdicts"][0]["claim"]["worse"] = ["cpa_like"]

    def network(content):
        content["verdicts"][0]["elsewhere"] = [{"data": "tiny_seed2", "verdict": "true", "p": 0.4}]

    for change, name, word in (
        (network, "claims as committed", "on tiny_seed2 it is true with p 0.4"),
        (verdict, "claims follow from records", "sums"),
        (margin, "claims as committed", "margin is 0.5, in the suite None"),
        (none_left, "claims as committed", "'sums' of the suite is not there"),
        (easier, "claims as committed", "worse is"),
    ):
        path.write_bytes(text)
        edited(path, change)
        caught(audit(boards), CLAIM, name, "claims__small.json", word)
    path.write_bytes(text.replace(b"{", b"\xff{", 1))
    caught(audit(boards), CLAIM, "claims as committed", "claims__small.json", "not a file of claims")
    path.unlink()
    caught(audit(boards), MISSING, "claims as committed", "claims__small.json")


def test_predictions_made_from_the_reference_controls(clean_tree, boards, audit, task, tmp_path):
    def from_reference(path, task):
        """What a tool would hand in that starts from controls that it should not have had."""
        index, split = task.dataset.barcode_index, task.split
        (pool,), (inputs,) = split.reference_controls.values(), split.input_cells.values()
        means = [np.asarray(task.dataset.x[[index[b] for b in of]].mean(axis=0)).ravel() for of in (pool, inputs)]
        table = anndata.read_h5ad(path)
        table.X = np.asarray(table.X) + means[0] - means[1]
        table.write_h5ad(path)

    record, table, kept = scored("train_mean", task, tmp_path, from_reference, model="cheat")
    quiet = record.model_copy(update={"warnings": task.dataset.notes})
    store.add(boards, TRACK, [(quiet, table)], {record.run_id: kept})
    everything.regenerate(registry.tracks(), boards)
    found = caught(audit(boards), METRIC, "reference controls unseen", "cheat", "loading")
    assert [check.name for check in found] == ["reference controls unseen"]


def test_a_folder_that_is_not_there_and_one_that_is_empty(audit, tmp_path):
    assert audit(tmp_path / "nowhere").exit_code == MISSING
    assert audit(tmp_path).exit_code == MISSING


def test_data_that_are_not_at_hand_are_a_reason(boards):
    from bench.audit.verify import verify

    report = verify(boards)
    skips = [check for check in report.checks if check.status == "skipped"]
    assert failures(report) == [] and len(skips) == 5 and all("tiny" in check.detail for check in skips)


def test_records_are_parsed_as_before(original):
    assert len([records.parse(line) for line in lines_of(board_of(original).path).splitlines()]) == 4
