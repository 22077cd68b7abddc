"""What may be asked of a benchmark. A predicate takes the evidence and a claim's scope, and says what is against it.

To add one is to add a function here, and its name to :data:`PREDICATES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.audit.findings.evidence import Artifact, Contrast, Evidence
from bench.audit.findings.scope import Scope


@dataclass(frozen=True)
class Answer:
    """What a predicate found.

    Attributes:
        looked: At how many results, or comparisons.
        against: What makes the claim false, one line each.
        unknown: What could not be looked at, one line each: where nothing is against it, the claim cannot be judged.
        said: What was found, where that is more than whether it holds.
    """

    looked: int
    against: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    said: str = ""


Predicate = Callable[[Evidence, Scope], Answer]


def tested_on_held_out_units(evidence: Evidence, scope: Scope) -> Answer:
    """No scored unit is one that the model could learn from, as where a probe is fed by the train loader."""
    against, unknown = [], []
    found = scope.artifacts(evidence)
    for one in found:
        if one.tested is None or one.learned is None:
            unknown.append(f"{_name(one)}: {one.missing or 'nobody knows what it was fitted or tested on'}")
        elif seen := sorted(one.tested & one.learned):
            against.append(
                f"{_name(one)}: {len(seen)} of {len(one.tested)} scored units are of its train part: {seen[0]}"
            )
    return Answer(len(found), tuple(against), tuple(unknown))


def fallbacks_are_said(evidence: Evidence, scope: Scope) -> Answer:
    """No row is the global mean on units for which it declares no fallback, and boards show every fallback."""
    against = []
    found = scope.artifacts(evidence)
    for one in found:
        if one.like_mean:
            against.append(
                f"{_name(one)}: {one.like_mean} units are scored exactly as the global mean, none said to be"
            )
    boards = dict.fromkeys((one.board, one.row) for one in found)
    for board, row in boards:
        same = [one for one in found if (one.board, one.row) == (board, row) and one.shown is not None]
        # A board counts a unit once for each split seed, however many training seeds fell back on it.
        total = len({(one.seed, unit) for one in same for unit in one.declared})
        if same and total != same[0].shown:
            against.append(f"{row} on {board}: the board shows {same[0].shown} fallbacks, its records have {total}")
    return Answer(len(found), tuple(against))


def schema_is_the_code_s(evidence: Evidence, scope: Scope) -> Answer:
    """Every result, and the checkpoint behind it, is made of what the code expects: names, versions, shapes."""
    against = []
    found = scope.artifacts(evidence)
    for one in found:
        for part in sorted({*one.schema, *one.expected}):
            has, wants = one.schema.get(part, "absent"), one.expected.get(part, "absent")
            if has != wants:
                against.append(f"{_name(one)}: {part} is {has}, the code has {wants}")
    return Answer(len(found), tuple(against), tuple(f"{_name(one)}: no schema" for one in found if not one.expected))


def claims_rest_on_no_warning(evidence: Evidence, scope: Scope) -> Answer:
    """No row with a warning about its provenance supports a comparison that is told as true."""
    against, comparisons = [], scope.comparisons(evidence)
    for claim in comparisons:
        for one in evidence.of_rows(claim.board, (claim.better, *claim.worse)):
            if one.warnings:
                against.append(f"'{claim.claim}' rests on {_name(one)}: {one.warnings[0]}")
    return Answer(len(comparisons), tuple(dict.fromkeys(against)))


def no_win_is_mixed(evidence: Evidence, scope: Scope) -> Answer:
    """Where a row is told to beat another, the other beats it in no ranked metric of that board."""
    against, comparisons = [], scope.comparisons(evidence)
    for claim in comparisons:
        for worse in claim.worse:
            if lost := [c for c in evidence.contrasts(claim.board, claim.scope, claim.better, worse) if c.sign < 0]:
                against.append(f"'{claim.claim}': {worse} beats {claim.better} in {', '.join(c.metric for c in lost)}")
    return Answer(len(comparisons), tuple(against))


def mixed(evidence: Evidence, scope: Scope) -> Answer:
    """Of two rows, each is ahead in some metric of the board."""
    found, unknown = _between(evidence, scope)
    ahead, behind = _metrics(found, 1), _metrics(found, -1)
    said = f"{scope.rows[0]} is ahead in {_list(ahead)}, {scope.rows[1]} in {_list(behind)}"
    return Answer(len(found), () if (ahead and behind) or unknown else (said,), unknown, said)


def ahead_in_all(evidence: Evidence, scope: Scope) -> Answer:
    """The first of two rows is ahead in every metric of the board, or in those that the scope names."""
    found, unknown = _between(evidence, scope)
    first, second = scope.rows
    against = tuple(f"{first} is not ahead of {second} in {one.metric}" for one in found if one.sign <= 0)
    return Answer(len(found), against, unknown, f"ahead in {_list(_metrics(found, 1))}")


def carries_no_warning(evidence: Evidence, scope: Scope) -> Answer:
    """No result in scope has a warning about its provenance."""
    found = scope.artifacts(evidence)
    return Answer(len(found), tuple(f"{_name(one)}: {one.warnings[0]}" for one in found if one.warnings))


PREDICATES: dict[str, Predicate] = {
    function.__name__: function
    for function in (
        tested_on_held_out_units,
        fallbacks_are_said,
        schema_is_the_code_s,
        claims_rest_on_no_warning,
        no_win_is_mixed,
        mixed,
        ahead_in_all,
        carries_no_warning,
    )
}
#: Those that compare two rows.
OF_TWO_ROWS = ("mixed", "ahead_in_all")


def _between(evidence: Evidence, scope: Scope) -> tuple[list[Contrast], tuple[str, ...]]:
    """The contrasts of a scope's two rows, and why there are none: a row with a warning carries no comparison."""
    found, unknown = list[Contrast](), list[str]()
    for board in scope.boards_of(evidence):
        rows = evidence.of_rows(board, scope.rows)
        if warned := [one for one in rows if one.warnings]:
            unknown.append(f"{_name(warned[0])} is left out: {warned[0].warnings[0]}")
        else:
            contrasts = evidence.contrasts(board, "all", *scope.rows)
            found += [one for one in contrasts if not scope.metrics or one.metric in scope.metrics]
    if not found and not unknown:
        unknown.append(f"no board in scope compares {' and '.join(scope.rows)}")
    return found, tuple(unknown)


def _name(one: Artifact) -> str:
    return f"{one.name} ({one.row} on {one.board})"


def _metrics(found: Sequence[Contrast], sign: int) -> list[str]:
    return [one.metric for one in found if one.sign == sign]


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
