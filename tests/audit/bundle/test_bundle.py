"""The bundle as its builder writes it: the same bytes twice, whole or not at all, every number quoted."""

import json
import os
import re

import pytest
from harness import made_record
from members import cut, lines_of, put_lines

from bench.audit.bundle import folder, quote, summary
from bench.audit.bundle.build import build
from bench.audit.bundle.checks import check
from bench.audit.bundle.paper import tables
from bench.audit.bundle.source import read
from bench.audit.bundle.summary import summarise
from bench.cli.main import main
from bench.core.errors import BenchError
from bench.results import store
from bench.tracks import registry

pytestmark = pytest.mark.usefixtures("small_suite")


def learned(spec):
    return frozenset({"Q | "})


def checked(boards, learned):
    """What a bundle of these boards would say of itself."""
    return check(boards, summarise(read(boards, learned)))


def tree(place):
    return {
        path.relative_to(place).as_posix(): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()
    }


@pytest.mark.ci
def test_the_same_boards_give_the_same_bytes(bundle, small_boards):
    """Also over an earlier bundle, and with another clock, zone and order of hashes."""
    before = tree(bundle)
    assert build(small_boards, bundle, learned).all_ok
    assert tree(bundle) == before
    assert {"summary.json", "manifest.json", "paper/paper.md", "figures/figA1_training_curves.pdf"} <= set(before)
    assert not list(bundle.parent.glob(".bundle*"))


def test_the_summary_says_what_boards_and_claims_say(bundle):
    summary = json.loads((bundle / "summary.json").read_text())
    counts = summary["counts"]
    assert (counts["records"], counts["boards"], counts["rows"], counts["boards_simulated"]) == (9, 1, 3, 0)
    assert counts["claims"] == {"true": 1, "false": 1, "not_evaluable": 0, "judged": 2, "claims": 2}
    assert [one["value"] for one in summary["findings"]] == ["true"] * 5
    assert len({one["name"] for one in summary["findings"]}) == 5
    assert summary["questions"] == [
        {"beats": [row], "true": t, "false": 1 - t, "not_evaluable": 0, "judged": 1, "claims": 1, **names}
        for row, t, names in (
            ("knn", 1, {"holds": ["ridge"], "never": []}),
            ("ridge", 0, {"holds": [], "never": ["knn"]}),
        )
    ]
    # Two of three seeds kept the step of a pretraining; nobody kept a curve.
    assert {(one["seed"], one["step"], one["steps"], one["score"]) for one in summary["training"]} == {
        (1, 40, 80, 0.63),
        (2, 40, 80, 0.63),
    }


def test_the_paper_stands_alone(bundle):
    text = (bundle / "paper" / "paper.md").read_text()
    first = text.split("\n\n")[1].replace("\n", " ")
    assert "The boards hold 9 runs of 3 models, baselines and controls on 1 data sets." in first
    assert "Of 2 claims that could be judged, 1 hold and 1 do not." in first
    assert "<<" not in text and "{/" not in text


def test_boards_are_told_by_what_their_track_asks():
    """Rows that are no encoders are not called so, nor are numbers that are no correlation."""
    assert all(track.question.endswith("?") and not re.search(r"\d", track.question) for track in registry.tracks())
    row = {"rank": 1, "skill": 0.4, "skill_ci_low": None, "n_conditions": 9, "a_metric": 0.25}
    board = {"dataset": "d", "evidence": "full", "n_rows": 2, "n_conditions": 9, "best": "m", "metrics": ["a_metric"]}
    rows = {"m": row, "floor": {**row, "a_metric": 0.125}, "ceiling": {**row, "a_metric": 0.5}}
    wells = {"m": {**row, "other": 0.75, "other_ci_low": None}}
    summary = {
        "tracks": {"x": {"question": "Is it?", "metric": "a_metric"}, "y": {"question": "How?", "metric": "other"}},
        "boards": {
            "x/d__s": {**board, "track": "x", "split": "s", "families": {"f": "a_metric"}, "rows": rows},
            "y/d__t1": {**board, "track": "y", "split": "t1", "families": {}, "metrics": ["other"], "rows": wells},
            "y/d__t2": {**board, "track": "y", "split": "t2", "families": {}, "best": None, "rows": {}},
        },
    }
    text, _ = quote.fill(tables(summary), summary)
    first, second = text.split("**How?**")
    assert first.startswith("**Is it?**\nThe number is `a_metric`; it stands between the floor and the ceiling")
    assert "| d | s | full | 2 | 9 | m | 0.40 | 0.12 | 0.25 | 0.50 |" in first
    assert "`other`." in second and "shuffled labels" not in second
    assert "| d | t1 | full | 2 | m | 0.75 | – |" in second and "| d | t2 | full | 2 | none | – | – |" in second


def test_a_template_may_hold_no_number_of_its_own():
    summary = {"a": {"b/c": [0.126, "x2"]}, "n": None}
    text, quoted = quote.fill(f"r is {quote.quote('a', 'b/c', 0, form='.2f')}, {{/a/b~1c/1}}, {{/n}}", summary)
    assert text == "r is 0.13, x2, –"
    assert quoted == [
        {"text": "0.13", "at": "/a/b~1c/0", "form": ".2f"},
        {"text": "x2", "at": "/a/b~1c/1", "form": ""},
    ]
    for template, words in (("there are 3 of them", "'... there are 3 of them ...'"), ("{/a/z}", "no '/a/z'")):
        with pytest.raises(BenchError, match=words):
            quote.fill(template, summary)


def test_a_folder_with_something_else_is_left_alone(small_boards, tmp_path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.tex").write_text("x")
    with pytest.raises(BenchError, match=r"thesis\.tex: nothing was written"):
        build(small_boards, out, learned)
    assert tree(out) == {"thesis.tex": b"x"}
    with pytest.raises(BenchError, match="is no folder"):
        build(small_boards, out / "thesis.tex", learned)
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(BenchError, match="is no folder"):
        build(small_boards, tmp_path / "link", learned)


def test_a_bundle_with_a_file_of_somebody_s_is_left_alone(bundle, small_boards):
    (bundle / "notes.txt").write_text("mine")
    before = tree(bundle)
    with pytest.raises(BenchError, match=r"notes\.txt"):
        build(small_boards, bundle, learned)
    assert tree(bundle) == before


def test_all_or_none(bundle, monkeypatch):
    """What fails on the way leaves the earlier bundle; what was killed between the two renames is put back."""
    before = tree(bundle)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder.os, "rename", full)
    with pytest.raises(BenchError, match="No space left"):
        folder.replace(bundle, {"a": b"x"})
    monkeypatch.undo()
    assert tree(bundle) == before and not list(bundle.parent.glob(".bundle*"))
    os.rename(bundle, bundle.parent / ".bundle.old.tmp")
    folder.replace(bundle, {"manifest.json": b"{}"})
    assert tree(bundle) == {"manifest.json": b"{}"}


def hand_edited_csv(boards):
    path = boards / "d__simulation.csv"
    path.write_text(path.read_text().replace("ridge", "rigde", 1))
    return "d__simulation.csv"


def hand_edited_claim(boards):
    path = boards / "claims__small.json"
    path.write_text(path.read_text().replace('"verdict": "false"', '"verdict": "true"', 1))
    return "claims__small.json"


@pytest.mark.parametrize("fault", [hand_edited_csv, hand_edited_claim], ids=lambda fault: fault.__name__)
def test_a_bundle_of_boards_that_do_not_follow_from_their_records_says_so(fault, boards):
    name = fault(boards)
    found = checked(boards, learned)
    assert not found.all_ok and found.exit_code == (2 if name.endswith("csv") else 4)
    assert name in {one.subject for one in found.checks if one.status == "failed"}
    assert json.loads(found.to_json())["all_ok"] is False


def truncated_values(boards):
    path = boards / "records/response/d__simulation.zip"
    cut(path, store.VALUES)
    return path


def deleted_warning(boards):
    """A warning is part of what a record's checksum is of."""
    path = boards / "records/response/d__simulation.zip"
    put_lines(path, lines_of(path).replace(b'"warnings":[]', b'"warnings":["x"]', 1))
    return path


def latin_csv(boards):
    path = boards / "d__simulation.csv"
    path.write_bytes(path.read_bytes() + b"\xff")
    return path


def nan_in_csv(boards):
    path = boards / "d__simulation.csv"
    lines = path.read_text().splitlines()
    cells = lines[1].split(",")
    cells[lines[0].split(",").index("skill")] = "nan"
    path.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    return "column skill: 'nan' is no finite number"


@pytest.mark.parametrize(
    "fault", [truncated_values, deleted_warning, latin_csv, nan_in_csv], ids=lambda fault: fault.__name__
)
def test_what_cannot_be_read_is_named_and_nothing_is_written(fault, boards, tmp_path, capsys):
    name = fault(boards)
    code = main(["bundle", "--leaderboards", str(boards), "--outdir", str(tmp_path / "out")])
    err = capsys.readouterr().err
    assert code == 2 and str(name) in err.replace("\n", ""), err
    assert not (tmp_path / "out").exists()


def test_a_claim_that_cannot_be_judged_is_not_as_expected(small_boards):
    """The train part of a data set that nobody ships cannot be drawn again."""
    found = checked(small_boards, lambda spec: "no such data set")
    wrong = [one for one in found.checks if one.status == "failed"]
    assert [(one.subject, one.code) for one in wrong] == [("no probe is fed by the train loader", 4)]
    assert "not_evaluable, expected true" in wrong[0].detail


def test_a_row_with_a_provenance_warning_is_left_out_and_said(boards):
    made_record(boards, "rrr", {"pearson_delta": 0.5, "discrimination": 0.5}, split_seed=1, split_id="s1")
    found = summarise(read(boards, learned))  # its commit is not known
    assert [(one["row"], one["warnings"]) for one in found["excluded"]] == [
        ("rrr", ["nobody can tell by which code it was made"])
    ]
    assert found["boards"]["response/d__simulation"]["status"]["provenance warning"] == 1


def test_the_best_row_of_a_board_without_ranks_is_its_first_model():
    lines = [{"model": name} for name in ("bar", "a", "b")]
    rows = {"bar": {"kind": "head-room", "rank": None}, **{name: {"kind": "model", "rank": None} for name in "ab"}}
    assert summary.best(lines, rows) == "a"
    rows["b"]["rank"] = 1
    assert summary.best(lines, rows) == "b"
    assert summary.best(lines[:1], rows) is None
