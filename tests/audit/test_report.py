"""What an audit says in the end."""

import json

import pytest

from bench.audit.report import CLAIM, HASH, METRIC, MISSING, OK, Report, failed, passed, skipped


@pytest.mark.parametrize(
    ("codes", "code"),
    [((), OK), ((CLAIM,), CLAIM), ((CLAIM, METRIC), METRIC), ((METRIC, MISSING), MISSING), ((MISSING, HASH), HASH)],
)
def test_the_gravest_kind_of_failure_is_the_exit_code(codes, code):
    report = Report((passed("a", "x"), skipped("b", "y", "why"), *(failed("c", "z", one, "wrong") for one in codes)))
    assert report.exit_code == code and report.all_ok == (code == OK)
    assert report.counts == {"ok": 1, "skipped": 1, "failed": len(codes)}


def test_json_and_markdown_say_the_same_and_nothing_breaks_a_table():
    report = Report((failed("c", "a|b\nc", METRIC, "off"), skipped("b", "y", "why")))
    content = json.loads(report.to_json())
    assert content["exit_code"] == METRIC and not content["all_ok"] and len(content["checks"]) == 2
    text = report.to_markdown()
    assert "0 checks hold, 1 failed, 1 could not be made" in text
    assert r"| failed (metric) | c | a\|b c | off |" in text.splitlines()
