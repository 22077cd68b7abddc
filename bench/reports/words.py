"""What the words on a board mean, for readers who know biology and not this program: ``bench explain WORD``."""

from __future__ import annotations

from bench.reports.answer_words import ASKED_WORDS
from bench.reports.csv_words import COLUMN_WORDS, VALUE_WORDS
from bench.reports.profile_words import PROFILE_WORDS

#: A word as a board prints it -> what it means, in sentences. Titles of columns stand here exactly as they are printed.
WORDS: dict[str, str] = {
    "rank": (
        "One more than the number of models that are clearly better: so clearly that it holds although all pairs of "
        "rows were compared (Holm). A range such as 2-9 means that one model is clearly better, and that the model "
        "cannot be told apart from others down to place 9. Models without skill have no rank."
    ),
    "model": (
        "The name of the row. Arguments that differ from the model's defaults stand in brackets behind it. 'ceiling', "
        "'replicate' and 'floor' are no models: they show what can be reached, and what is had for nothing."
    ),
    "skill": (
        "How far a prediction is on the way from the best answer that does not know what is asked (0, the floor) to "
        "what the cells allow (1, the ceiling). It is the mean over the questions that these data can answer, each "
        "between -1 and 1: pattern r, identity, size and DE of a board of predictions; recovery, mixed, pairs, "
        "steering and reversal of a board of planning. The best blind answer of each question is looked for after the "
        "fact, among many and for each question anew, so that nobody is clearly above 0 without knowing something "
        "about the perturbation, if only how strong it is: whether a row knows more than that, pattern r and identity "
        "tell. Where whole contexts are held out and every perturbation was seen in others, to remember it earns "
        "nothing either: above 0 are rows that know something about the context. The plain mean shift lies below 0. "
        "There is none where fewer than two questions can be answered, or, of a board of predictions, neither pattern "
        "nor identity, or the predictions were not made from the input controls alone, or do not say so."
    ),
    "skill [95% CI]": (
        "Skill, with the range in which it would lie in 95 of 100 repetitions with other perturbed genes, other "
        "control cells to compare with, and, where a model was trained from several seeds, other training seeds. "
        "Conditions that share a gene are not counted as independent. It is about these data and these split seeds. "
        "See 'bench explain skill'."
    ),
    "pattern r": (
        "Do the right genes go up and down together? Pearson correlation, over genes, between the predicted and the "
        "measured change against control cells, averaged over test conditions. 1 is a perfect pattern, 0 none. How "
        "large the change is does not count."
    ),
    "identity": (
        "Does a prediction resemble the perturbation that it is for more than the other test perturbations? 1 = it is "
        "always closest to its own, .5 = it cannot tell them apart, as when the same is predicted for all."
    ),
    "epistasis": (
        "Does a prediction of a pair know what it does beyond the sum of its singles? The correlation over genes of "
        "what is predicted beyond it with what is measured (epistasis_kept_r). It is asked only where the split keeps "
        "cells of the singles from all models (doubles:keep_singles=0.1); the plain sum has 0."
    ),
    "size": (
        "Is the predicted change as strong as the measured one? The ratio of their sizes: 1 is right, .5 is half as "
        "strong, 2 twice. The measured size is corrected for the noise of few cells and the predicted one is not, so "
        "that the replicate, which is as noisy as half of a condition's cells, lies above 1. The right size for all "
        "conditions alike is had without knowing them: it earns nothing above the floor."
    ),
    "DE": (
        "Differential expression: genes that the perturbation changes more than chance would, found by a Wilcoxon "
        "test of its cells against control cells that no model has seen."
    ),
    "DE r": (
        "Are the genes that respond found, with the right sign? Genes are ranked by how strongly they are predicted "
        "to change, up or down; the ranks are correlated with the measured evidence for a change (the signed z of the "
        "Wilcoxon test). 1 is perfect, 0 unrelated, and all signs wrong gives the negative of all signs right."
    ),
    "mostly by": (
        "In which of the questions that make up skill the row went furthest from floor to ceiling. 'nothing' = it is "
        "above the floor in none."
    ),
    "what": (
        "What the row is. A model; '13% fell back': in that share of the test conditions it knew nothing of its own "
        "about a perturbed gene and gave a general answer; '21% as mean': in that share it predicted what the train "
        "mean does, as no step of training was better than none on held-out conditions, or nothing could be fitted; "
        "control: it shows what is had for nothing, such as an encoder that was never trained; head-room: it is given "
        "what no model can know, and is not ranked."
    ),
    "beats mean": (
        "In what share of the test conditions the model has a better pattern r than the mean training shift, which "
        "predicts the same for everything. 50% is what a coin would reach. It is the column beat_rate of the CSV."
    ),
    "fallbacks": (
        "In how many test conditions the model knew nothing of its own about at least one perturbed gene, and fell "
        "back on a general answer. Such a row is in part the row of what it fell back to."
    ),
    "floor": (
        "What is reached without knowing which gene was perturbed. Of each question it is the best of a published "
        "list of blind answers, made from the training cells: no change, the mean change, the usual genes that move "
        "in the usual direction, the first directions in which training changes vary, and mixtures of these; for "
        "identity a coin. Where every tested perturbation was seen in other contexts, what it does there on average "
        "is an answer too (same_perturbation), and, where some training cells are of the tested context, that plus "
        "what they have in common (two_way_sum_50: half of it): it is what is reached without knowing the context. "
        "The floor is skill 0. The best is chosen knowing the test data: that errs against models, by a hair."
    ),
    "train_mean": (
        "The mean change over all training perturbations, predicted for every test condition. It knows no condition, "
        "so that its skill cannot be above 0; it is below, as other blind answers have a better size and order of "
        "genes."
    ),
    "ceiling": (
        "What the cells allow. In pattern and DE: what a prediction without any noise would reach, which follows from "
        "how well two halves of a condition's cells agree (the square root of their correlation). In identity and "
        "size: the replicate. It is skill 1, and nothing beyond it is credited."
    ),
    "replicate": (
        "Half of the cells of a condition predict its other half: as good as an experiment of half the size. A model "
        "beats it only by having less noise than half of the cells."
    ),
    "E1": (
        "Mean reciprocal rank of the perturbation that made a bag of 20 cells, among the test perturbations of its "
        "context, ordered by how alike their predicted shifts are to the measured one. 1 = always first; a random "
        "order of C candidates gives (1 + 1/2 + ... + 1/C) / C."
    ),
    "place": "Where the right perturbation stands among the candidates, for bags of 20 cells: 0 is first, 1 last.",
    "hit@1": "How often the right perturbation is the first of the candidates, for bags of 20 cells.",
    "hit@10": "How often the right perturbation is among the first ten candidates, for bags of 20 cells.",
    "E2": (
        "As E1, but with the train perturbations among the candidates too, of which a model has seen the cells: it is "
        "harder, and shows whether a model prefers what it has seen."
    ),
    "seen": (
        "How often a train perturbation is the first candidate though a test perturbation made the cells: a bias "
        "towards what was seen, to be read against the share of train perturbations among the candidates."
    ),
    "E3": "As E1, for test pairs among all pairs of perturbed genes, most of which nobody has measured.",
    "E4": (
        "Regret of steering: bring control cells to the state of one test perturbation by another one. How much "
        "farther than the best the chosen one is, by measured cells, where doing nothing counts 1. 0 is as good as "
        "choosing by an experiment; above 1 it would have been better to do nothing."
    ),
    "E5": (
        "Reversal: bring perturbed cells back to control by a second perturbation, judged by measured pairs. 0 is as "
        "good as choosing by an experiment, 1 as choosing at random. Whether any choice helps says e5_regret, where 1 "
        "is doing nothing; it is undefined where none does."
    ),
    "encoder": "The model whose frozen encoder the row is about. Below the models stand references, then chance.",
    "MRR": (
        "Mean reciprocal rank: a mean of 20 cells looks, among all conditions, for the other half of the cells of its "
        "own condition. 1 = always found first, .5 = second on average; compare with the row 'chance'."
    ),
    "top-1": "How often the first condition found, as for MRR, is the right one.",
    "top-5": "How often the right condition is among the first five found, as for MRR.",
    "1 cell": "MRR where a single cell looks, not the mean of 20: harder, as single cells are noisy.",
    "x-batch": (
        "MRR where the cells that look and those to be found come from different batches: what batches fake is gone."
    ),
    "sil.": (
        "Silhouette by condition: are cells nearer to cells of their own condition (up to 1) than to those of the "
        "next one (down to -1)? It is mostly negative on real data: compare rows, not signs."
    ),
    "batch": "Silhouette by batch: high values mean that the encoder separates batches, which nobody wants.",
    "probe": (
        "How often a simple classifier on top of the embedding, fitted on some cells of the held-out conditions, "
        "names the condition of their other cells."
    ),
    "leak": (
        "What a representation should not hold; lower is better. On a board of embeddings: how well the batch of a "
        "control cell can be told from its embedding, scaled so that 0 is not at all and 1 always. On a board of known "
        "latents: how much of what perturbations move is read from the block that should hold none of it (R2)."
    ),
    "kNN": "What share of a cell's nearest neighbours is of its own condition.",
    "eff. rank": (
        "Effective rank: how many directions the embedding really uses, of all that it has. One that uses few has "
        "collapsed."
    ),
    "chance": "What an embedding that says nothing about the cells would reach, with this number of conditions.",
    "metric": "The number in which two rows are compared; 'bench explain' knows each by its name.",
    "scope": "Which test conditions: all, a subgroup of the split, or a third of them by strength of effect.",
    "difference [95% CI]": (
        "The first row less the second, averaged over test conditions that both predict, with the range in which it "
        "would lie in 95 of 100 repetitions with other conditions. Where the range holds 0, neither is better."
    ),
    "p": (
        "How often a difference as large would appear if neither row were better, by Student's t: conditions that "
        "share a gene are not counted as independent, and another training seed or other control cells are allowed "
        "for."
    ),
    "Holm": "The same p, made stricter because every pair of rows on the board could have been compared.",
    "n": "How many different test conditions the number is over.",
    **ASKED_WORDS,
    **COLUMN_WORDS,
    **VALUE_WORDS,
    **PROFILE_WORDS,
}

#: The metric that stands behind a word.
METRIC_OF: dict[str, str] = {
    "pattern r": "pearson_delta",
    "identity": "discrimination",
    "size": "shift_log_ratio",
    "DE r": "signed_rank_z",
    "mAP*": "map_normalised",
    "mAP": "map",
    "found": "retrieved",
}


def sentences(word: str) -> tuple[str, str] | None:
    """Look a word up, whatever its case.

    Args:
        word: As on a board.

    Returns:
        The word as it is printed, and its sentences; ``None`` where it is not a word of a board.
    """
    asked = word.strip().lower()
    by_case = {name.lower(): name for name in WORDS}
    valued = [name for name in WORDS if name.endswith(f"={asked}")]  # plate_z for correction=plate_z
    name = by_case.get(asked) or (valued[0] if len(valued) == 1 else None)
    return None if name is None else (name, WORDS[name])
