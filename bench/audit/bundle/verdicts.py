"""What a summary says of claims: each one, by what has to be beaten, and what pretraining is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench.audit.findings.finding import Evaluated
from bench.results.claims import Verdict

#: Stands for a row of the same model with other arguments.
ITSELF = "itself"

Summary = dict[str, Any]


def claim_of(suite: str, one: Verdict, boards: Mapping[str, Summary]) -> Summary:
    """A claim that one row beats others."""
    claim = one.claim
    hits = [k for k, b in boards.items() if (b["dataset"], b["split"]) == (claim.data, claim.split) and b["families"]]
    return {
        "suite": suite,
        "name": claim.name,
        "board": hits[0] if hits else None,
        "better": claim.better,
        "worse": list(claim.worse),
        "metric": claim.metric,
        "scope": claim.subgroup,
        "margin": one.margin,
        "value": one.verdict,
        "expected": claim.expected,
        "reason": one.reason,
        "p_holm": one.p_holm,
        "differences": [gap.model_dump(include={"row", "mean", "low", "high", "n"}) for gap in one.differences],
    }


def finding_of(name: str, one: Evaluated) -> Summary:
    """A claim about the boards as a whole; of what is against it, the first lines."""
    return {
        "file": name,
        "name": one.finding.name,
        "predicate": one.finding.predicate,
        "scope": {key: value for key, value in one.finding.scope.model_dump(mode="json").items() if value},
        "seeds": list(one.finding.seeds),
        "value": one.value,
        "expected": one.finding.expected,
        "reason": one.reason,
        "note": one.finding.note,
        "looked": one.looked,
        "n_against": len(one.against),
        "against": list(one.against[:20]),
    }


def plain(label: str) -> str:
    """A row's model without what differs from its defaults.

    Example:
        >>> plain("jepa[latent_target=own]")
        'jepa'
    """
    return label.partition("[")[0]


def questions(claims: Sequence[Summary]) -> list[Summary]:
    """Claims by what has to be beaten: how many hold, and of which rows."""
    groups: dict[tuple[str, ...], list[Summary]] = {}
    for one in claims:
        own = plain(one["better"])
        names = {ITSELF if plain(name) == own else plain(name) for name in one["worse"]}
        groups.setdefault(tuple(sorted(names)), []).append(one)
    out = []
    for worse, same in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])):
        values = Counter(one["value"] for one in same)
        holds = {plain(one["better"]) for one in same if one["value"] == "true"}
        never = {plain(one["better"]) for one in same if one["value"] == "false"} - holds
        out.append({"beats": list(worse), **counted(values), "holds": sorted(holds), "never": sorted(never)})
    return out


def counted(values: Mapping[str, int]) -> Summary:
    """How many claims have each value, how many could be judged, and how many there are."""
    known = {name: values.get(name, 0) for name in ("true", "false", "not_evaluable")}
    return {**known, "judged": known["true"] + known["false"], "claims": sum(known.values())}


def pretraining(claims: Sequence[Summary]) -> Summary:
    """Claims that a pretrained encoder beats, among others, one that was never trained."""
    from bench.models import registry

    ours = {name for name, entry in registry.entries().items() if entry.module.startswith("bench.models.ssl.")}
    same = [
        one
        for one in claims
        if plain(one["better"]) in ours - {"supervised"} and "random_encoder" in {plain(name) for name in one["worse"]}
    ]
    return {
        **counted(Counter(one["value"] for one in same)),
        "objectives": sorted({plain(one["better"]) for one in same}),
        "beaten": sorted({plain(name) for one in same for name in one["worse"]}),
    }
