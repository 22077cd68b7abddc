"""Metrics in numpy: one value per condition. To add one, add a file here that uses the `metric` decorator.

`METRICS` names them all; `evaluate` computes one on a `Evaluation`. Averages, intervals, skill and ranks are made
elsewhere.
"""

from __future__ import annotations

import importlib
import pkgutil

from bench.tracks.response.metrics.evaluation import Evaluation
from bench.tracks.response.metrics.optional import (
    AdditiveShifts,
    CellPair,
    GearsTruth,
    LegacyCells,
    Sample,
    StateShifts,
    UnitCodes,
)
from bench.tracks.response.metrics.registry import METRICS, Metric, MetricValues, UnknownMetric, evaluate, get, metric

__all__ = [
    "METRICS",
    "Evaluation",
    "CellPair",
    "AdditiveShifts",
    "MetricValues",
    "GearsTruth",
    "LegacyCells",
    "UnitCodes",
    "Metric",
    "Sample",
    "StateShifts",
    "UnknownMetric",
    "evaluate",
    "get",
    "metric",
]

# The four families lead every listing, in the order in which they are explained; other files follow by name.
_FIRST = ("pattern", "identity", "size", "de", "signed")
_found = {module.name for module in pkgutil.iter_modules(__path__)}
for _name in (*_FIRST, *sorted(_found - set(_FIRST))):
    importlib.import_module(f"{__name__}.{_name}")
