"""``summary.json``: every number that the bundle's texts and figures show, taken from boards, records and claims."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.audit.bundle.source import Lines, Source
from bench.audit.bundle.verdicts import claim_of, counted, finding_of, pretraining, questions
from bench.core.errors import BenchError
from bench.core.track import Track
from bench.data.cards import find_card
from bench.data.simulate.card import generator_of
from bench.results.board import BARS
from bench.results.entries import BoardEntry

FORMAT = "perturb-ssl-bench bundle 1"
#: Columns of a board that a bundle repeats, where it has them.
_RANKED = ("rank", "rank_high", "skill", "skill_ci_low", "skill_ci_high")
_KEPT = (*_RANKED, "n_seeds", "n_training_seeds", "n_conditions", "n_informative", "n_fallback")
_SELECTED = re.compile(r"pretraining step (\d+) of (\d+) by ([^(;]+?) \((-?[\d.]+)\)")

Summary = dict[str, Any]


def summarise(source: Source) -> Summary:
    """Collect everything that texts and figures say."""
    boards = {key: _board(source, key, track, items) for key, track, items in _boards(source)}
    claims = [claim_of(suite, one, boards) for suite, content in source.claims.items() for one in content.verdicts]
    found = [finding_of(name, one) for name, content in source.found.items() for one in content]
    return {
        "format": FORMAT,
        "protocol": {"interval_percent": 95, "floor": 0, "ceiling": 1},
        "counts": _counts(source, boards, claims, found),
        "tracks": _tracks(source, boards),
        "boards": boards,
        "claims": claims,
        "questions": questions(claims),
        "pretraining": pretraining(claims),
        "findings": found,
        "excluded": _excluded(source),
        "training": _training(source),
    }


def _boards(source: Source) -> Iterable[tuple[str, Track, list[BoardEntry]]]:
    for track, items in source.records:
        keys = dict.fromkeys(f"{track.name}/{one.record.spec.dataset}__{one.record.spec.split}" for one in items)
        for key in sorted(keys):
            if key in source.csvs:
                same = [i for i in items if f"{track.name}/{i.record.spec.dataset}__{i.record.spec.split}" == key]
                yield key, track, same


def _tracks(source: Source, boards: Mapping[str, Summary]) -> Summary:
    """What each kind of board asks: those with a floor and a ceiling first, of them the plain ones."""
    shown = {board["track"] for board in boards.values()}
    found = [track for track, _ in source.records if track.name in shown]
    found.sort(key=lambda track: (not track.families, bool(track.suffix), track.name))
    return {
        track.name: {"question": track.question, "metric": shown_metrics(track)[0], "suffix": track.suffix}
        for track in found
    }


def shown_metrics(track: Track) -> list[str]:
    """The metrics of a track that a bundle shows: those of its families, or of the table that people read."""
    return list(track.families.values()) or [column.metric for column in track.columns]


def _board(source: Source, key: str, track: Track, items: Sequence[BoardEntry]) -> Summary:
    lines, spec = source.csvs[key], items[0].record.spec
    metrics = shown_metrics(track)
    rows = {line["model"]: _row(key, line, metrics) for line in lines}
    return {
        "track": track.name,
        "dataset": spec.dataset,
        "split": spec.split,
        "csv": f"boards/{source.files[key].name}",
        "evidence": items[0].record.evidence,
        "seeds": len({one.record.spec.split_seed for one in items}),
        "n_records": len(items),
        "status": _status(source, key, items),
        "n_rows": sum(name not in BARS for name in rows),
        "n_conditions": max((row["n_conditions"] or 0 for row in rows.values()), default=0),
        "families": dict(track.families),
        "metrics": [name for name in metrics if any(row.get(name) is not None for row in rows.values())],
        "best": best(lines, rows),
        "order": list(rows),
        "rows": rows,
    }


def _status(source: Source, key: str, items: Sequence[BoardEntry]) -> Summary:
    """How many records of a board may support a claim, and why the others may not."""
    warned = {one.name for one in source.evidence.artifacts if one.board == key and one.warnings}
    out = {"may support a claim": 0, "too few conditions": 0, "provenance warning": 0}
    for item in items:
        record = item.record
        small = "too few conditions" if record.evidence == "smoke" else "may support a claim"
        out["provenance warning" if record.run_id in warned else small] += 1
    return out


def _row(board: str, line: Mapping[str, str], metrics: Sequence[str]) -> Summary:
    wanted = [*_KEPT, *(f"{name}{end}" for name in metrics for end in ("", "_ci_low", "_ci_high"))]
    chance = [name for name in line if name.endswith(("_chance", "_majority"))]
    numbers = {name: _number(board, name, line[name]) for name in (*wanted, *chance) if name in line}
    return {"kind": line.get("kind", ""), **{name: numbers.get(name) for name in (*wanted, *chance)}}


def _number(board: str, column: str, text: str) -> float | int | None:
    """A cell of a CSV; ``None`` = empty."""
    if text == "":
        return None
    try:
        value = int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError as error:
        raise BenchError(
            f"board {board}, column {column}: {text[:40]!r} is no number. Run 'bench leaderboard'."
        ) from error
    if not math.isfinite(value):
        raise BenchError(f"board {board}, column {column}: {text!r} is no finite number. Run 'bench leaderboard'.")
    return value


def best(lines: Lines, rows: Mapping[str, Summary]) -> str | None:
    """The first ranked row of a board, as head-room and references are not; where none is ranked, the first model."""
    ranked = (line["model"] for line in lines if rows[line["model"]]["rank"] is not None)
    return next(ranked, next((line["model"] for line in lines if rows[line["model"]]["kind"] == "model"), None))


def _excluded(source: Source) -> list[Summary]:
    """Records that support no claim because of a warning about their provenance."""
    return [
        {"run_id": one.name, "row": one.row, "board": one.board, "warnings": list(one.warnings)}
        for one in source.evidence.artifacts
        if one.warnings
    ]


def _training(source: Source) -> list[Summary]:
    """Which step of its pretraining each record took, and how good it was: all that records keep of a curve."""
    out = []
    for track, items in source.records:
        for item in items:
            record, match = item.record, _SELECTED.search(item.record.selection or "")
            if match and record.spec.control_fold == 0:
                out.append(
                    {
                        "run_id": record.run_id,
                        "board": f"{track.name}/{record.spec.dataset}__{record.spec.split}",
                        "row": record.spec.label,
                        "seed": record.spec.split_seed,
                        "training_seed": record.spec.pretrain_seed,
                        "step": int(match[1]),
                        "steps": int(match[2]),
                        "criterion": match[3],
                        "score": float(match[4]),
                    }
                )
    return sorted(out, key=lambda one: (one["board"], one["row"], one["seed"], one["training_seed"], one["run_id"]))


def _counts(
    source: Source, boards: Mapping[str, Summary], claims: Sequence[Summary], found: Sequence[Summary]
) -> Summary:
    every = [one.record for _, items in source.records for one in items]
    full = [board for board in boards.values() if board["evidence"] == "full"]
    return {
        "records": len(every),
        "boards": len(boards),
        "boards_full": len(full),
        "boards_simulated": sum(_simulated(board["dataset"]) for board in full),
        "boards_smoke": len(boards) - len(full),
        "rows": sum(board["n_rows"] for board in boards.values()),
        "models": len({record.spec.model for record in every}),
        "datasets": len({record.spec.dataset for record in every}),
        "excluded": sum(bool(one.warnings) for one in source.evidence.artifacts),
        "with_remarks": sum(bool(record.warnings) for record in every),
        "claims": counted(Counter(one["value"] for one in claims)),
        "findings": {**counted(Counter(one["value"] for one in found)), "as_expected": sum(map(_expected, found))},
    }


def _simulated(dataset: str) -> bool:
    """Whether a shipped data set is generated; one that is not shipped is not called so."""
    try:
        return bool(generator_of(find_card(dataset)))
    except BenchError:
        return False


def _expected(one: Mapping[str, Any]) -> bool:
    return bool(one["value"] == one["expected"])
