"""The track that asks for the intervention: which perturbation leads to a state, by its predicted outcome."""

from __future__ import annotations

from bench.core.track import Column, Track, View
from bench.tracks.planning.metrics import METRICS, NUMBERS, VERSION

#: How the table of one task calls its metrics; what is in no row of it stays in the CSV.
_TITLES = {
    "mrr_1": "1 cell",
    "mrr_5": "5 cells",
    "mrr_20": "20 cells",
    "mrr_100": "100 cells",
    "hit1_20": "hit@1",
    "hit5_20": "hit@5",
    "hit10_20": "hit@10",
    "rank_20": "place",
    "mrr_raw_20": "raw",
    "seen_20": "seen",
    "overlap1_20": "overlap",
    "regret": "regret",
    "regret_raw": "raw",
    "excess": "of random",
    "mrr_10": "10 calls",
    "mrr_50": "50 calls",
    "mrr_200": "200 calls",
}


#: How the table of one task is read.
_BAGS = (
    "MRR: mean reciprocal rank of the right candidate for bags of 1 to 100 cells; of bags of 20, hit@k: how often it "
    "is among the first k, place: its place as a share (0 is first), raw: MRR with what all perturbations have in "
    "common left in. Read it against the floor."
)
_REGRET = "Regret: 0 is as good as choosing by an experiment, 1 is no better than doing nothing; "
_READ = {
    "e1": f"Which held-out perturbation made these cells? {_BAGS}",
    "e2": f"Which perturbation made them, with train ones as candidates? {_BAGS} seen: how often one of them is first.",
    "e3": f"Which pair made them? {_BAGS} overlap: share of the right genes in the first pair.",
    "e4": f"Steering to the state of a test perturbation by another one. {_REGRET}of random: 1 is a random choice.",
    "e5": f"Bringing a perturbed state back by a second perturbation. {_REGRET}of random: 1 is a random choice.",
    "e6": "E3 with few calls: MRR where the model is called for 10, 50 or 200 pairs, whose summed singles are nearest.",
}
_RANK = " The rank is that of the whole board, by skill over all tasks: leave out --task to see it."


def columns_of(task: str) -> tuple[Column, ...]:
    """The columns of a table about one task: MRR by cells of a bag, hits and rank; or regret.

    Args:
        task: ``e1`` to ``e6``.
    """
    names = [f"{task}_{name}" for name in _TITLES]
    return tuple(
        Column(title, name, optional=True)
        for name, title in zip(names, _TITLES.values(), strict=True)
        if name in METRICS
    )


def _view(task: str, in_new_contexts: bool = False) -> View:
    return View(f"{task}_", columns_of(task), _READ[task] + _RANK, in_new_contexts)


TRACK = Track(
    name="planning",
    verb="plan",
    question="Which perturbation made these cells, or leads to a wanted state?",
    suffix="__planning",
    file="plan",
    takes="candidates",
    version=VERSION,
    metrics=METRICS,
    numbers=NUMBERS,
    primary="e1_mrr_20",
    baseline="train_mean",
    floor_text="chance, or the best order that does not look at the state (by effect size, by what was seen)",
    ceiling_text="the other half of a condition's cells as its own prediction",
    columns=(
        Column("E1", "e1_mrr_20", meaning="MRR: which held-out perturbation made a bag of 20 cells?"),
        Column("hit@10", "e1_hit10_20", meaning="How often it is among the first ten."),
        Column(
            "E2", "e2_mrr_20", meaning="MRR: the same with the train perturbations among the candidates.", optional=True
        ),
        Column("seen", "e2_seen_20", "share", "How often one of these is first, though none made the bag.", True),
        Column("E3", "e3_mrr_20", meaning="MRR: which of all pairs made a bag of a held-out pair?", optional=True),
        Column("E4", "e4_regret", meaning="Regret of steering to a state; 0 is best, 1 is doing nothing."),
        Column("E5", "e5_excess", meaning="Reversal by a second perturbation; 0 is best, 1 is random.", optional=True),
    ),
    legend=(
        "Look first at skill: 0 = the best order of candidates that does not look at the state, 1 = the other half of "
        "the cells as prediction. E1-E3: mean reciprocal rank of the right candidate for a bag of 20 cells, to be read "
        "against the floor; E4: regret, 0 is best and 1 is doing nothing; E5: the same where 1 is a random choice. "
        "Candidates are ranked by predictions: what they would do was measured in this screen only."
    ),
    views={
        **{task.upper(): _view(task) for task in _READ},
        "E7": _view("e1", in_new_contexts=True),
    },
)
