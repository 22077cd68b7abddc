"""The track that asks for the response: predicted against measured expression of test conditions."""

from __future__ import annotations

from bench.core.track import Column, Track
from bench.results.spec import SCORING_VERSION
from bench.tracks.response.metrics import METRICS

BASELINE = "train_mean"

TRACK = Track(
    name="response",
    verb="run",
    question="What does a perturbation do to the mean expression of cells?",
    version=SCORING_VERSION,
    metrics={name: metric.info for name, metric in METRICS.items()},
    primary="pearson_delta",
    baseline=BASELINE,
    floor_text="as good as the best answer that does not know what is asked",
    ceiling_text="as good as the cells allow",
    columns=(
        Column("pattern r", "pearson_delta", meaning="Correlation of predicted and true shift."),
        Column("identity", "discrimination", meaning="Does a prediction resemble its own condition more than others?"),
        Column("size", "shift_log_ratio", "log_ratio", "Predicted over true shift; 1 is right."),
        Column("DE r", "signed_rank_z", meaning="Are the genes that respond found, with the right sign?"),
        Column(
            "context r",
            "interaction_r",
            meaning="Does a prediction know how contexts differ? 0 for whoever does not look at the context.",
            optional=True,
        ),
        Column(
            "state r",
            "state_r",
            meaning="Does a prediction know in which cells a perturbation acts more? 0 for one shift for all cells.",
            optional=True,
        ),
    ),
    legend=(
        "Look first at skill: 0 = the best answer that does not know what is asked, 1 = what the cells allow. "
        "Rows that share a rank cannot be told apart. pattern r: correlation of predicted and true shift; identity: "
        ".5 = cannot tell conditions apart; size: predicted over true shift, 1 is right; DE r: signed ranks of genes "
        "against signed evidence."
    ),
)
