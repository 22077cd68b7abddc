"""What records say of their code, and whether they hold what is to be checked."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from audit_boards import again, board_of, caught, first

from bench.audit.records import _copies
from bench.audit.report import HASH, METRIC, MISSING
from bench.results import everything, records, store
from bench.results.records import is_known_commit
from bench.tracks import registry


def only(label, **fields):
    """For ``again``: change fields of the records of one row."""
    return lambda r, table: (r.model_copy(update=fields) if r.spec.label == label else r, table)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"git_sha": "main"}, "'main' is no commit"),
        ({"git_sha": "0" * 39}, "is no commit"),
        ({"git_sha": "f" * 40}, "no commit of this code's history"),
        ({"fit_git_sha": "f" * 40}, "no commit of this code's history"),
    ],
)
def test_a_commit_that_is_none(fields, said, boards, audit, monkeypatch):
    monkeypatch.setattr(records, "is_known_commit", lambda sha: sha == "0" * 40)
    again(boards, only("additive", **fields))
    caught(audit(boards), HASH, "made from a clean commit", "additive", said)


def test_commits_are_looked_up_where_there_is_a_history(tmp_path, monkeypatch):
    whole = records._whole_history()
    assert is_known_commit.__wrapped__("f" * 40) is not whole
    if (sha := records.git_state()[0]) is not None:
        assert is_known_commit.__wrapped__(sha)


def test_without_git_no_commit_is_doubted(monkeypatch):

    def gone(*args, **kwargs):
        raise OSError

    monkeypatch.setattr(subprocess, "run", gone)
    monkeypatch.setattr(records, "_whole_history", records._whole_history.__wrapped__)
    monkeypatch.setattr(records, "_ours", records._ours.__wrapped__)
    assert is_known_commit.__wrapped__("f" * 40)


def test_a_row_without_its_values(boards, audit):
    """Nothing of it could be computed again, and no claim would be made of it."""

    def bare(record, table):
        if record.spec.label != "cpa_like":
            return record, table
        return record.model_copy(update={"values_hash": None}), None

    again(boards, bare)
    caught(audit(boards), MISSING, "values", "cpa_like", "no values by unit")


def another(entry, seed, **fields):
    """A second run of a row with the values of the first."""
    spec = entry.record.spec.model_copy(update={"pretrain_seed": seed, "head_seed": seed})
    budget = entry.record.budget.model_copy(update={"fit_s": 7.25 + seed})
    hashes = {**entry.record.hashes, "predictions": "b" * 64}
    update = {"spec": spec, "run_id": spec.run_id, "budget": budget, "hashes": hashes, **fields}
    return replace(entry, record=entry.record.model_copy(update=update))


def test_training_seeds_with_the_same_values(original):
    entry = first(board_of(original), "cpa_like")
    found = [check for check in _copies([entry, another(entry, 2)], original) if check.status == "failed"]
    assert len(found) == 1 and "the same values as another run of its row" in found[0].detail
    # What another row has, too, is what nothing that was learned decides.
    spec = entry.record.spec.model_copy(update={"model": "other"})
    other = another(entry, 3, spec=spec, run_id=spec.run_id, hashes={})
    assert [check.status for check in _copies([entry, another(entry, 2), other], original)] == ["ok"]


def test_training_seeds_that_fell_back_on_other_units(boards, audit):
    entry = first(board_of(boards), "cpa_like")
    fell = np.ones_like(entry.values.fell_back)
    table = replace(entry.values, fell_back=fell)
    more = another(entry, 2, hashes={}, values_hash=table.hash)
    store.add(boards, entry.track, [(more.record, table)])
    everything.regenerate(registry.tracks(), boards)
    caught(audit(boards), METRIC, "values agree with each other", "cpa_like", "fell back on other units")
