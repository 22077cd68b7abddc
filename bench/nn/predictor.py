"""All predictors in one place: of pretraining (what was hidden) and of response (what an action does)."""

from __future__ import annotations

from bench.nn.action_predictor import LOGVAR_RANGE, ActionPredictor
from bench.nn.film import FilmPredictor
from bench.nn.fixed_predictor import FixedPredictor
from bench.nn.masked_predictor import (
    JointMaskedPredictor,
    MaskedPredictor,
    PooledMaskedPredictor,
    ReportMaskedPredictor,
    TokenMaskedPredictor,
    VectorMaskedPredictor,
)
from bench.nn.report_predictor import ReportPredictor

__all__ = [
    "LOGVAR_RANGE",
    "ActionPredictor",
    "FilmPredictor",
    "FixedPredictor",
    "JointMaskedPredictor",
    "MaskedPredictor",
    "PooledMaskedPredictor",
    "ReportMaskedPredictor",
    "ReportPredictor",
    "TokenMaskedPredictor",
    "VectorMaskedPredictor",
]
