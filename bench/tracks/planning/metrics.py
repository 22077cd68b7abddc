"""What planning reports: numbers with a value per test unit, numbers of a whole run, and how they are read."""

from __future__ import annotations

from bench.core.track import Better, MetricInfo
from bench.tracks.planning.pairs import SHORTLISTS
from bench.tracks.planning.queries import BAGS, USUAL
from bench.tracks.planning.ranking import MEASURES, TOPS

#: Changes when the same predictions would give other numbers.
VERSION = 1

_HERE = "this benchmark"
_ASKED = {
    "e1": "which of the test perturbations of its context made a bag of cells",
    "e2": "which of all perturbations of its context, train ones too, made a bag of cells",
    "e3": "which of all pairs of perturbed genes made a bag of cells of a test pair",
}
_SPACE = (
    "cosine, in the principal axes of the train effects, of the bag's shift from reference controls and the predicted "
    "shift from input controls, less what all have in common"
)
_FORMULAS: dict[str, tuple[Better, str, str]] = {
    "mrr": ("high", "1 / rank of the right candidate", "(1 + 1/2 + ... + 1/C) / C, for C candidates"),
    **{
        f"hit{k}": ("high", f"whether the right candidate is among the first {k}", f"min(1, {k} / C), for C candidates")
        for k in TOPS
    },
    "rank": ("low", "(rank of the right candidate - 1) / (C - 1)", "1/2"),
}
_TIES = "tied candidates count by the mean of the measure over their orders, so that a constant is exactly at chance"
#: The metric that stands for each family.
FAMILIES = {
    "recovery": f"e1_mrr_{USUAL}",
    "mixed": f"e2_mrr_{USUAL}",
    "pairs": f"e3_mrr_{USUAL}",
    "steering": "e4_regret",
    "reversal": "e5_regret",
}
_FAMILY_OF = {name: family for family, name in FAMILIES.items()}


def _ranked(
    task: str,
    kind: str,
    cells: int,
    space: str = "",
    how: str = _SPACE,
    trap: str = _TIES,
    own_space: bool = False,
) -> MetricInfo:
    better, formula, chance = _FORMULAS[kind]
    name = f"{task}_{kind}{space}_{cells}"
    of = "a single cell" if cells == 1 else f"{cells} cells, or half of a unit's where it has fewer than twice as many"
    return MetricInfo(
        name=name,
        better=better,
        range=(0.0, 1.0),
        formula=f"{_ASKED[task]} ({of}): {formula}; candidates by {how}; mean over bags",
        source=_HERE,
        trap=trap,
        family=_FAMILY_OF.get(name),
        chance_text=chance,
        ranked=not own_space,
        optional=own_space,
    )


def _plain(name: str, better: Better, formula: str, trap: str, chance: str) -> MetricInfo:
    return MetricInfo(
        name=name,
        better=better,
        range=(-float("inf"), float("inf")) if name.endswith(("regret", "regret_raw", "excess")) else (0.0, 1.0),
        formula=formula,
        source=_HERE,
        trap=trap,
        family=_FAMILY_OF.get(name),
        chance_text=chance,
    )


_WITH = _SPACE.removesuffix(", less what all have in common")
_LEFT = "the systematic shift is left in: what moves every candidate alike is part of the ranking"
_OWN = (
    "cosine, in the model's own standardised latents, of the encoded bag's shift from encoded reference controls and "
    "the predicted latent shift (that of the predicted cells, encoded, where genes are predicted), less what all have "
    "in common"
)
_OWN_TRAP = "beside the common space and never ranked: each row is in a space of its own; undefined without latents"
_REGRET = (
    "[D(chosen) - D(best)] / [D(no-op) - D(best)], unbiased squared distances to the goal measured on one half of the "
    "cells, the best chosen on the other; mean over goals before the division"
)
_STEER = f"reach the state of a test unit by another test perturbation, the one that is predicted nearest: {_REGRET}"
_BACK = f"bring a perturbed state back to control by a second perturbation, of measured pairs: {_REGRET}"
_HALF = "0 = as good as choosing by an experiment of half the size; 1 = no better than doing nothing"

_ALL = (
    *(_ranked("e1", "mrr", n) for n in (USUAL, *(n for n in BAGS if n != USUAL))),
    *(_ranked("e1", kind, USUAL) for kind in MEASURES if kind != "mrr"),
    _ranked("e1", "mrr", USUAL, "_raw", _WITH, _LEFT),
    _ranked("e1", "mrr", USUAL, "_expression", "the same over genes", "beside the common space; not ranked by"),
    _ranked("e1", "mrr", USUAL, "_latent", _OWN, _OWN_TRAP, own_space=True),
    *(_ranked("e2", kind, USUAL) for kind in MEASURES),
    *(_ranked("e2", "mrr", n) for n in BAGS if n != USUAL),
    _ranked("e2", "mrr", USUAL, "_raw", _WITH, _LEFT),
    _ranked("e2", "mrr", USUAL, "_latent", _OWN, _OWN_TRAP, own_space=True),
    MetricInfo(
        name=f"e2_seen_{USUAL}",
        better="none",
        range=(0.0, 1.0),
        formula="how often a train perturbation is first, though a test perturbation made the bag",
        source=_HERE,
        trap="a bias towards what was seen: compare with the share of train perturbations among the candidates",
        chance_text="share of train perturbations among the candidates",
        ranked=False,
    ),
    *(_ranked("e3", kind, USUAL) for kind in MEASURES),
    _ranked("e3", "mrr", USUAL, "_raw", _WITH, _LEFT),
    _plain(f"e3_overlap1_{USUAL}", "high", "share of the right genes in the first pair", _TIES, "about 2 / genes"),
    _plain(f"e3_overlap10_{USUAL}", "high", "the same in the first ten pairs, on average", _TIES, "about 2 / genes"),
    _plain("e4_regret", "low", _STEER, _HALF, "regret of a random choice"),
    _plain("e4_regret_raw", "low", f"{_STEER}; the systematic shift left in", _HALF, "regret of a random choice"),
    _plain(
        "e5_regret",
        "low",
        _BACK,
        f"{_HALF}; undefined where no second perturbation helps",
        "regret of a random choice",
    ),
    _plain("e5_regret_raw", "low", f"{_BACK}; by the predicted pair alone", _HALF, "regret of a random choice"),
    *(
        _plain(
            f"{task}_excess",
            "low",
            f"{what}, with the excess of a random choice as denominator",
            "defined too where nothing is better than doing nothing; 1 = as good as a random choice",
            "1, on average",
        )
        for task, what in (("e4", _STEER.partition(":")[0]), ("e5", _BACK.partition(":")[0]))
    ),
    *(
        _plain(
            f"e6_mrr_{k}",
            "high",
            f"e3_mrr_{USUAL} with the predictor called for all singles, and for the {k} pairs whose sums are nearest",
            "what is tied with the last of the list is called too",
            "as e3_mrr",
        )
        for k in SHORTLISTS
    ),
)
#: Numbers with a value per unit, by name.
METRICS: dict[str, MetricInfo] = {info.name: info for info in _ALL}
#: Numbers of a whole run.
NUMBERS = (
    *(f"{task}_{name}" for task in _ASKED for name in ("candidates", "mrr_chance", "mrr_null", "mrr_null_p")),
    "n_unknown",
)
