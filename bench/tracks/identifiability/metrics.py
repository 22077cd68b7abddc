"""What the track reports, and how it is read: numbers of a whole run, as the truth has no units."""

from __future__ import annotations

from bench.core.track import Better, MetricInfo

#: Changes when the same latents would give other numbers.
VERSION = 1
PRIMARY = "mcc_within"
_HERE = "this benchmark"
_MCC = "Hyvarinen and Morioka 2016 (TCL); Khemakhem et al. 2020 (iVAE)"
_HALVES = "matching and sign fitted on half of the held-out cells, the signed correlation taken on the other half"
_CHANCE = "0 (noise); random_rotation is what all of the information without any axis gives"


def _number(
    name: str, better: Better, formula: str, trap: str, chance: str, source: str = _HERE, top: float = 1.0
) -> MetricInfo:
    low = 0.0 if better == "low" else -1.0 if name.startswith("mcc") else -float("inf")
    return MetricInfo(
        name=name,
        better=better,
        range=(low, top),
        formula=formula,
        source=source,
        trap=trap,
        chance_text=chance,
        ranked=better in ("high", "low"),
    )


def _mcc(name: str, how: str, r: str, trap: str, chance: str = _CHANCE) -> MetricInfo:
    formula = f"mean {r} correlation of each true latent and its match (Hungarian algorithm){how}; {_HALVES}"
    return _number(name, "high", formula, trap, chance, _MCC)


_WITHIN = ", after the mean of each condition was taken out of both"
_TOLD = "a model that is told the perturbation can look its mean up: compare with look_up"
_INF = float("inf")
#: By name, in the order of columns.
METRICS: dict[str, MetricInfo] = {
    info.name: info
    for info in (
        _mcc(PRIMARY, _WITHIN, "Pearson", "what is known of the cell itself, not of its perturbation"),
        _mcc("mcc_pooled", "", "Pearson", _TOLD, f"{_CHANCE}; look_up"),
        _mcc("mcc_within_spearman", _WITHIN, "Spearman", "of ranks: a curved scale costs nothing"),
        _mcc("mcc_pooled_spearman", "", "Spearman", _TOLD, f"{_CHANCE}; look_up"),
        _number(
            "r2_i",
            "high",
            "R2 of each latent that perturbations leave alone, read linearly from the invariant block",
            "of a model of one block: from all of its latents",
            "0, or less",
        ),
        _number(
            "r2_v", "high", "R2 of each latent that they move, read linearly from the other block", _TOLD, "0, or less"
        ),
        _number(
            "leak_v",
            "zero",
            "R2 of each latent that perturbations move, read linearly from the invariant block",
            "a silent block leaks nothing: see r2_i",
            "0, or less",
        ),
        _number(
            "leak_i",
            "zero",
            "R2 of each latent that they leave alone, read linearly from the other block",
            "where the invariant block is silent, the background is in the other, or nowhere",
            "0, or less",
        ),
        _number(
            "label_i",
            "zero",
            "balanced accuracy by which a linear discriminant names the perturbation from the invariant block",
            "0 = chance; judged on cells that it was not fitted on",
            "0",
        ),
        _number(
            "label_v",
            "high",
            "the same from the block that perturbations move",
            "1 without any merit where the block is told the perturbation",
            "0",
        ),
        _number(
            "mask_f1",
            "high",
            "F1 of which latents each perturbation hits, after matching; threshold from others",
            "by the model's own effects, else by measured shifts; where latents cause each other these go further",
            "all entries on: 2s / (1 + s), s = share of entries that are hit",
        ),
        _number(
            "shd",
            "low",
            "edges of the causal graph that lack, are too many, or point the other way, after matching",
            "without any edge: as many as there are",
            "the number of true edges, for a graph without any",
            top=_INF,
        ),
        _number(
            "double_error",
            "low",
            "norm of the error of predicted shifts of z_v by unseen doubles, over that of the shifts",
            "0 = right, 1 = as good as 'nothing happens'; latents in units of what singles did",
            "1",
            top=_INF,
        ),
    )
}
#: Numbers that describe a row.
NUMBERS = ("width",)
