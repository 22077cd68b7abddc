"""What else a board prints: columns of its CSV, what stands in a column, and the names of subgroups."""

from __future__ import annotations

from collections.abc import Mapping

#: Columns of CSVs that are no metric.
COLUMN_WORDS: dict[str, str] = {
    "kind": (
        "What a row is: a model; a model with fallbacks; a control, which shows what is had for nothing; head-room, "
        "which is given what no model can know; a reference; or a bar, which is no predictor."
    ),
    "subgroup": "Which test conditions the row of a subgroups file is over: a kind, a third by effect, or a context.",
    "rank_high": (
        "The last place that the row may share with others; 'rank' is the first. The two are equal where it is "
        "clearly better or worse than all others."
    ),
    "n_seeds": (
        "Under how many split seeds the row was fitted and scored; one that lacks a seed of its board has no rank."
    ),
    "n_training_seeds": (
        "From how many random starts the row was trained under each split seed, at least. With one, its interval "
        "knows nothing of training noise. Empty where nothing is drawn."
    ),
    "n_contexts": "In how many contexts (cell types or lines) the test conditions of the row were measured.",
    "n_conditions": "How many test conditions the row is over, counted once for each split seed.",
    "n_informative": "Of how many of these conditions no perturbed gene was unknown to the model; a claim needs 8.",
    "n_fallback": (
        "In how many of these conditions the model, from whichever training seed, knew nothing of its own about at "
        "least one perturbed gene."
    ),
    "beat_rate": (
        "In what share of the test conditions the row is better than the plain baseline (the mean training shift) in "
        "the board's first metric. .5 is what a coin would reach."
    ),
    "control_sd": (
        "Half the difference that swapping input and reference controls makes to the first metric: what the choice of "
        "control cells is worth. Empty where only one half was run."
    ),
    "wall_s": "Seconds that fitting and predicting took, averaged over the row's runs; machines differ.",
    "parameters": "How many numbers the model fits, over all of its parts.",
    "run_ids": "The runs that the row is made of: 'bench reproduce RUN_ID' runs one of them again.",
    "above": (
        "On boards of known latents: by how much the row's MCC is above that of a VAE that is told the perturbation, "
        "within each data seed; the interval is a t interval over data seeds."
    ),
    "claim": (
        "Whether the whole interval of 'above' exceeds .05 (true), stays under it (false), or neither (undecided); not "
        "evaluable where there are too few perturbations for the latents, or data seeds for an interval."
    ),
    "fit_s": "Seconds that fitting took, averaged over the row's runs; machines differ.",
    "note": "What the row's models said of themselves: a block that fell silent, or why nothing can be claimed.",
    "n_unknown": "For how many candidates the model knew nothing of any perturbed gene, so that they are ranked last.",
}

#: What stands in the columns 'what' and 'mostly by', and below them.
VALUE_WORDS: dict[str, str] = {
    "control": (
        "A row that shows what is had for nothing: a mean, or an encoder that was never trained or sees nothing."
    ),
    "head-room": (
        "A row that is given what no model can know, such as the true network of the simulator. It shows how much "
        "could be gained, and is not ranked."
    ),
    "reference": "A row that every board of its kind has beside the models, to read them against; it is not ranked.",
    "fell back": (
        "With a share, '13% fell back': in so many of the test conditions at least one perturbed gene was unknown to "
        "the model, which then gave a general answer."
    ),
    "as mean": (
        "With a share, '21% as mean': in so many of the test conditions the row predicts exactly what the train mean "
        "does, though it names no unknown gene. No step of training was better than none on held-out conditions, or "
        "nothing could be fitted."
    ),
    "nothing": "In 'mostly by': the row is above the floor in none of the questions that make up its skill.",
    "null": (
        "There is no skill: these data cannot tell a good answer from a blind one, or nobody knows how it was made."
    ),
    "pattern": "The question whether the right genes go up and down together; the column is 'pattern r'.",
    "recovery": "The question which held-out perturbation made some cells, among the held-out ones; the column is E1.",
    "mixed": "The question which perturbation made some cells, among held-out and train ones; the column is E2.",
    "pairs": "The question which pair of genes made some cells, among all pairs of perturbed genes; the column is E3.",
    "steering": "The question which perturbation brings control cells nearest to a wanted state; the column is E4.",
    "reversal": "The question which second perturbation brings perturbed cells back to control; the column is E5.",
    "pca": "A reference: the principal components of the cells, without any training of an encoder.",
    "random": "A reference: the expression of a cell in random directions, a network that nobody trained.",
    "shuffled": "A reference: principal components whose labels are permuted within batches, which must be at chance.",
    "unseen_single": "Subgroup: one perturbed gene, which no training condition perturbs, alone or in a pair.",
    "combo_seen0": "Subgroup: pairs of perturbed genes of neither of which training has the single perturbation.",
    "combo_seen1": "Subgroup: pairs of perturbed genes of one of which training has the single perturbation.",
    "combo_seen2": "Subgroup: pairs of perturbed genes of both of which training has the single perturbation.",
    "effect_low": "Subgroup: the third of the test conditions whose effect two halves of the cells agree on least.",
    "effect_mid": "Subgroup: the middle third of the test conditions, by how well two halves of the cells agree on it.",
    "effect_high": "Subgroup: the third of the test conditions whose effect two halves of the cells agree on best.",
}

#: Ends of a column -> what it is, of the metric or number before it.
_ENDS: Mapping[str, str] = {
    "_ci_low": "The lower end of the 95% interval of {of}.",
    "_ci_high": "The upper end of the 95% interval of {of}.",
    "_skill": "Where {of} lies between the floor (0) and the ceiling (1) of the board.",
    "_sd": "The standard deviation of {of} over split seeds.",
    "_null_p": "How often labels permuted at random give as high a value as the row has; small = not by chance ({of}).",
    "_null": "What labels permuted at random give on average, in place of {of}.",
    "_mrr_chance": "What a random order of the candidates gives for the mean reciprocal rank of {of}.",
    "_chance": "What is reached by chance, to read {of} against.",
    "_candidates": "How many candidates are ordered in {of}, on average.",
}


def of_column(name: str, known: frozenset[str]) -> str:
    """What a column says that is named after a metric or a number.

    Args:
        name: The column.
        known: Names of metrics, of numbers and of families.

    Returns:
        A sentence; ``""`` where the column is none of these.

    Example:
        >>> of_column("r2_ci_low", frozenset({"r2"}))
        "The lower end of the 95% interval of 'r2'."
    """
    for end, text in _ENDS.items():
        of = name.removesuffix(end)
        if of != name and (of in known or end not in ("_ci_low", "_ci_high", "_skill", "_sd")):
            return text.format(of=f"'{of}'")
    return ""
