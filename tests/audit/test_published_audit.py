"""The claim engine reaches the verdicts of a published audit from its printed numbers and stand-ins of its files."""

import pytest
from published_audit import FOLDER, checkpoint, evidence, load, probe, table

from bench.audit.findings import finding
from bench.audit.findings.evidence import TrueComparison

CLAIMS = finding.read(FOLDER / "claims.yaml").claims


@pytest.fixture(scope="module")
def found():
    return {one.finding.name: one for one in finding.evaluate(CLAIMS, evidence())}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_every_claim_has_the_verdict_of_the_audit(claim, found):
    assert found[claim.name].value == claim.expected, found[claim.name].reason


def test_the_held_out_table_by_hand(found):
    """By the printed table: JEPA leads one column of four, MAE the rest; lower squared error is better."""
    ahead = [m for m, (sign, n) in table("heldout").items() if sign * n["jepa"] > sign * n["mae"]]
    assert ahead == ["de_recall@20"]
    said = found["held-out evidence is mixed"].reason
    assert said == "jepa is ahead in de_recall@20, mae in de_recall@50, top20_mse, pearson"


def test_the_faults_are_named(found):
    probed = found["the headline probe is on held-out perturbations"].reason
    assert "4 of 4 scored units are of its train part: AHR" in probed
    drift = found["the checkpoint is that of its config"].against
    assert len(drift) == 3
    assert any("encoder.block0.qkv is [384, 128], the code has [192, 64]" in line for line in drift)
    left = found["the second held-out table says anything"].reason
    assert "heldout_v2.csv jepa" in left and "the command that wrote it is not recorded" in left
    mixed = found["the headline is not mixed evidence told as a win"].reason
    assert mixed.endswith("mae beats jepa in de_recall@50, top20_mse, pearson")


def test_without_the_faults_the_same_claims_are_true():
    """None is false by construction: a probe on test conditions, the right tensors and a fair headline pass."""
    mended = evidence(
        probe({"scored": load("probe")["split"]["test"]}),
        checkpoint({"tensors": load("checkpoint")["config"]}),
        comparisons=(TrueComparison("mae beats jepa frozen", "frozen", "mae", ("jepa",)),),
    )
    values = {one.finding.name: one.value for one in finding.evaluate(CLAIMS, mended)}
    assert values["the headline probe is on held-out perturbations"] == "true"
    assert values["the checkpoint is that of its config"] == "true"
    assert values["the headline is not mixed evidence told as a win"] == "true"


def test_expected_is_kept_apart_from_what_is_found():
    wrong = [claim.model_copy(update={"expected": "true"}) for claim in CLAIMS]
    found = finding.evaluate(wrong, evidence())
    assert {one.finding.name for one in found if not one.as_expected} == {
        c.name for c in CLAIMS if c.expected != "true"
    }
    asked = [claim.model_copy(update={"seeds": (1, 2)}) for claim in CLAIMS[:1]]
    assert [(one.value, one.reason) for one in finding.evaluate(asked, evidence())] == [
        ("not_evaluable", "heldout lacks seed 2")
    ]
