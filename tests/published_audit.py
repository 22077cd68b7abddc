"""Evidence from the files in ``published``: the numbers of a published audit, and stand-ins for what it looked at."""

import csv
import json
from pathlib import Path

from bench.audit.findings.evidence import Artifact, Contrast, Evidence, TrueComparison

FOLDER = Path(__file__).parent / "audit" / "published"


def table(name):
    """Metric -> (1 where higher is better, -1 where lower is; number by row)."""
    lines = list(csv.DictReader((FOLDER / f"{name}.csv").open()))
    return {
        line["metric"]: (
            1 if line["better"] == "high" else -1,
            {row: float(value) for row, value in line.items() if row not in ("metric", "better")},
        )
        for line in lines
    }


def contrasts(board, scope, first, second):
    """Point values of one seed, as printed: the larger is ahead. There is no interval in that audit."""
    found = []
    for metric, (direction, numbers) in table(board.removesuffix("_v2")).items():
        gap = numbers[first] - numbers[second]
        found.append(Contrast(metric, direction * ((gap > 0) - (gap < 0)), gap))
    return found


def load(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def probe(changes=()):
    found = {**load("probe"), **dict(changes)}
    learned = frozenset(found["split"]["train"])
    return Artifact(found["name"], "jepa", "probe", 1, tested=frozenset(found["scored"]), learned=learned)


def checkpoint(changes=()):
    found = {**load("checkpoint"), **dict(changes)}
    has, wants = ({part: str(shape) for part, shape in found[key].items()} for key in ("tensors", "config"))
    return Artifact(found["name"], "jepa", "checkpoint", 1, schema=has, expected=wants)


HEADLINE = TrueComparison("jepa beats mae on held-out perturbations", "heldout", "jepa", ("mae",))


def evidence(*artifacts, comparisons=(HEADLINE,)):
    tables = [
        Artifact(f"{one['name']} {row}", row, one["board"], 1, warnings=tuple(one["warnings"]))
        for one in load("artifacts")
        for row in ("jepa", "mae")
    ]
    return Evidence([*tables, *(artifacts or (probe(), checkpoint()))], comparisons, contrasts)
