"""What the track reports: numbers with a value per label (perturbation or target), numbers of a whole run."""

from __future__ import annotations

from bench.core.track import Better, MetricInfo

#: Changes when the same profiles would give other numbers.
VERSION = 1
#: What rows are sorted and ranked by.
PRIMARY = "map_normalised"

_COPAIRS = "copairs 0.5.5; Kalinin et al. 2025"
_COUNT = (0.0, float("inf"))
_GATED = (
    "labels are those of the design: one that the gate leaves without pairs is at chance, so that abstaining never pays"
)

METRICS: dict[str, MetricInfo] = {
    "map_normalised": MetricInfo(
        name="map_normalised",
        better="high",
        range=(-1.0, 1.0),
        formula="mean over a label's profiles of (AP - chance) / (1 - chance), AP by cosine (compounds' targets: abs)",
        source=_COPAIRS,
        trap=f"ties count by their mean over all orders; {_GATED}",
        chance_text="0",
    ),
    "map": MetricInfo(
        name="map",
        better="high",
        range=(0.0, 1.0),
        formula="mean average precision of a label's profiles",
        source=_COPAIRS,
        trap=f"chance depends on the number of pairs: compare rows of one board only; {_GATED}",
        chance_text="[(M - 1)/(L - 1) (L - H_L) + H_L] / L for M of L pairs",
        ranked=False,
    ),
    "retrieved": MetricInfo(
        name="retrieved",
        better="high",
        range=(0.0, 1.0),
        formula="whether q < threshold (Benjamini and Hochberg over the labels that are looked for)",
        source=_COPAIRS,
        trap="a share above a threshold: it moves in jumps, and q depends on the other labels, and on aggregation",
        chance_text="at most the threshold",
        ranked=False,
    ),
}


def _number(
    name: str, formula: str, trap: str = "", better: Better = "none", span: tuple[float, float] = _COUNT
) -> MetricInfo:
    return MetricInfo(
        name=name, better=better, range=span, formula=formula, source="this benchmark", trap=trap, ranked=False
    )


_PUBLISHED = "as the published scripts print it: over labels that the gate leaves, so that rows are of different labels"
_NUMBERS = (
    _number("published_map", "mean of mAP over the labels that were looked for", _PUBLISHED, "high", (0.0, 1.0)),
    _number("published_fraction", "share of these that are retrieved", _PUBLISHED, "high", (0.0, 1.0)),
    _number(
        "plate_leak", "normalised mAP of negative controls that look for those of their plate", "", "low", (-1.0, 1.0)
    ),
    _number("batch_leak", "the same of batches, on other plates than one's own", "", "low", (-1.0, 1.0)),
    _number("n_wells", "wells of the group"),
    _number("n_plates", "plates of the group"),
    _number("n_controls", "negative controls of the group"),
    _number("n_perturbations", "perturbations of the group; in 'cross' of both"),
    _number("n_gated", "perturbations that the gate keeps out"),
    _number("n_looked_for", "labels that were looked for after the gate"),
    _number("n_pos_pairs", "positive pairs, before the gate"),
    _number("n_neg_pairs", "negative pairs, before the gate"),
    _number("n_fitted_on", "negative controls that the correction was fitted on"),
    _number("n_components", "dimensions that it leaves, where it chooses some"),
)
#: Numbers of a whole run, by name.
NUMBERS: dict[str, MetricInfo] = {info.name: info for info in _NUMBERS}
