"""Records against the suites that stand for them: what is missing, too many, or says something else of itself."""

import json

import pytest
from audit_boards import SUITE, UNKEPT, again, board_of, caught, failures, first

from bench.audit.report import HASH, MISSING
from bench.results import everything, shifts, store
from bench.results.records import Record
from bench.sweep import suite as suites
from bench.tracks import registry
from bench.tracks.response.track import TRACK

ROWS, SAID, KEPT = "runs as suites plan them", "records say what was run", "first runs are kept"


def edited(record, spec=None, **fields):
    """A record with other fields, and an id that fits."""
    changed = record.spec.model_copy(update=spec or {})
    content = {**record.model_dump(), **fields, "spec": changed.model_dump(), "run_id": changed.run_id}
    return Record.model_validate(content)


def only(label, change):
    """For :func:`again`: change the record of one row."""
    return lambda record, table: (change(record) if record.spec.label == label else record, table)


def one_more(boards, **spec):
    """Add a run of a row that suites plan: its predictions need not be kept, as it is not the first."""
    entry = first(board_of(boards), "additive")
    hashes = {key: value for key, value in entry.record.hashes.items() if key not in (shifts.HASH, "predictions")}
    budget = entry.record.budget.model_copy(update={"fit_s": 2.5})
    store.add(boards, TRACK, [(edited(entry.record, spec, hashes=hashes, budget=budget.model_dump()), entry.table)])
    everything.regenerate(registry.tracks(), boards)


@pytest.mark.parametrize("seeds", [{"pretrain_seed": 4, "head_seed": 4}, {"head_seed": 2}, {"control_fold": 1}])
def test_a_run_that_no_suite_plans(seeds, boards, audit):
    one_more(boards, **seeds)
    caught(audit(boards), HASH, ROWS, "additive", "no suite plans")


def test_a_run_of_another_version_beside_the_first(boards, audit):
    one_more(boards, model_version=99)
    caught(audit(boards), HASH, SAID, "additive", "model_version: 99")


def test_a_run_that_is_gone(boards, audit, monkeypatch):
    more = SUITE.model_copy(update={"runs": tuple(b.model_copy(update={"seeds": (1, 2)}) for b in SUITE.runs)})
    monkeypatch.setattr(suites, "find", lambda name: more)
    report = audit(boards)
    assert any(check.name == ROWS and check.code == MISSING for check in failures(report)), failures(report)
    assert "additive: 1 runs, the first of seed 2" in " ".join(check.detail for check in failures(report))


def test_a_row_that_is_gone(boards, audit):
    """Nothing that remains says that it was there."""
    gone = [entry.record.run_id for entry in board_of(boards).entries() if entry.record.spec.label == "train_mean"]
    store.remove(boards, TRACK, gone)
    everything.regenerate(registry.tracks(), boards)
    said = [check.detail for check in failures(audit(boards)) if (check.name, check.code) == (ROWS, MISSING)]
    assert len(said) == 1 and "train_mean: 1 runs" in said[0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "control"}, "kind"),
        ({"controls_used": "all"}, "controls_used"),
        ({"budget": {"steps": 500, "fit_s": 3.5}}, "trained in steps"),
        ({"warnings": ("provenance: of a rival",)}, "doubts"),
    ],
)
def test_a_record_says_something_else_of_itself(fields, said, boards, audit):
    again(boards, only("additive", lambda record: edited(record, **fields)))
    caught(audit(boards), HASH, SAID, "additive", said)


def test_other_evidence_than_the_data_have(boards, audit, task):
    other = "full" if task.dataset.evidence == "smoke" else "smoke"
    again(boards, only("cpa_like", lambda record: edited(record, evidence=other)))
    caught(audit(boards), HASH, "data as recorded", "cpa_like", f"its evidence is '{other}'")


def test_a_warning_of_the_data_that_is_gone(boards, audit, task):
    assert task.dataset.notes
    again(boards, only("cpa_like", lambda record: edited(record, warnings=())))
    caught(audit(boards), HASH, "data as recorded", "cpa_like", "it lacks a warning")


def test_a_first_run_of_which_nothing_is_kept(boards, audit, monkeypatch):
    """Without the hash that names what is kept, an edited value could not be told."""

    def bare(record):
        return edited(record, hashes={key: value for key, value in record.hashes.items() if key != shifts.HASH})

    again(boards, only("additive", bare))
    caught(audit(boards), MISSING, KEPT, "additive", "nothing is kept")
    monkeypatch.setattr(suites, "find", lambda name: UNKEPT)
    assert failures(audit(boards)) == []


def test_no_claims_of_a_suite_no_plan(boards, audit):
    """Whoever publishes a row of a suite alone did not say that all of it is there."""
    one_more(boards, pretrain_seed=4)
    path = next(boards.glob("claims__*.json"))
    assert json.loads(path.read_text())["suite"] == "small"
    path.unlink()
    assert not [check for check in failures(audit(boards)) if check.name == ROWS]
