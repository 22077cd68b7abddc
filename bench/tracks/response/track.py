"""The track that asks for the response: predicted against measured expression of test conditions."""

from __future__ import annotations

from bench.core.track import Column, Track
from bench.results.spec import SCORING_VERSION
from bench.tracks.response.metrics import METRICS

FLOOR = "train_mean"

TRACK = Track(
    name="response",
    verb="run",
    version=SCORING_VERSION,
    metrics={name: metric.info for name, metric in METRICS.items()},
    primary="pearson_delta",
    floor=FLOOR,
    floor_text="as good as the best answer that does not know the condition",
    ceiling_text="as good as a prediction without noise (size and identity: as half of a condition's own cells)",
    columns=(
        Column("pattern r", "pearson_delta", meaning="Correlation of predicted and true shift."),
        Column("identity", "discrimination", meaning="Does a prediction resemble its own condition more than others?"),
        Column("size", "shift_log_ratio", "log_ratio", "Predicted over true shift; 1 is right."),
        Column("DE r", "signed_rank_z", meaning="Are the genes that respond found, and their direction?"),
    ),
    legend=(
        "Look first at skill: 0 = as good as the best answer that does not know the condition, 1 = as good as a "
        "prediction without noise (size and identity: as half of a condition's own cells). "
        "Rows that share a rank cannot be told apart. pattern r: correlation of predicted and true shift; identity: "
        ".5 = cannot tell conditions apart; size: predicted over true shift, 1 is right; beats mean: share of "
        "conditions."
    ),
)
