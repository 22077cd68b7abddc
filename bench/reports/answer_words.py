"""What answers that know nothing of the question are called below a board, and the words of planning and of suites."""

from __future__ import annotations

#: Answers of which the floor is made, by name; parts that are put before or behind one are in :func:`of_answer`.
ANSWERS: dict[str, str] = {
    "nothing": "No change: every gene stays as in the control cells.",
    "mean": "The mean change of the training conditions, the same for all.",
    "ranks": "The genes in the order in which the training conditions change them on average, up or down.",
    "sign_rms": (
        "As large a change of each gene as is usual among training conditions (root mean square), with the sign that "
        "the gene mostly has there."
    ),
    "pc1": "The direction of gene space along which training conditions differ most.",
    "pc2": "The direction of gene space along which training conditions differ most, after the first.",
    "pc3": "The direction of gene space along which training conditions differ most, after the first two.",
    "c_in": "The expression of the control cells themselves, as a direction of change.",
    "control_sd": "How much each gene varies between control cells, as a direction of change.",
    "ones": "The same change of every gene.",
    "span": (
        "The best mixture of all these directions, found on half of the test conditions and scored on the other half, "
        "a hundred times: in hindsight, so that no answer that does not know the condition does better."
    ),
    "size_mean": "A change as strong as the training conditions' mean change.",
    "size_median": "A change as strong as that of the middle training condition.",
    "size_rms": "A change as strong as the training conditions' root mean square.",
    "size_sign_rms": "A change as strong as the usual change of each gene with the sign that it mostly has.",
    "size_number": "A change as strong as training conditions of as many perturbed genes have.",
    "number": "An order by how many genes are perturbed.",
    "chance": "A random order.",
    "same_perturbation": (
        "What the same perturbation does in other contexts, on average: who remembers it need not look at this context."
    ),
    "two_way_sum": (
        "What the same perturbation does in other contexts, plus what this context's own training conditions have "
        "beyond theirs; the number behind it is the percentage of the second part that is added."
    ),
    "largest": "Candidates in the order of how strong they are predicted to be, the strongest first.",
    "smallest": "Candidates in the order of how strong they are predicted to be, the weakest first.",
    "seen": "Candidates that were among the training conditions first.",
    "unseen": "Candidates that were not among the training conditions first.",
    "unseen_largest": "Candidates that were not among the training conditions first, the strongest of them first.",
    "unseen_smallest": "Candidates that were not among the training conditions first, the weakest of them first.",
}

#: Tables of ``bench plan --task``, the tool, and ``bench suite``.
ASKED_WORDS: dict[str, str] = {
    "raw": "The same with what all perturbations have in common left in; elsewhere it is taken off.",
    "overlap": (
        "Of the pair that was really done, what share of its genes the best candidates hold: the first one, or the "
        "mean of the first ten."
    ),
    "hit@5": "In what share of the queries the right candidate is among the first five.",
    "regret": (
        "How much farther from the goal the chosen perturbation really leads than the best one, as a share of what "
        "there was to gain; 0 is the best choice, 1 no better than doing nothing. Both are measured, none is predicted."
    ),
    "of random": "The same excess distance as a share of that of a random choice; 1 = as bad as chance.",
    "10 calls": "The result where the model was called for the 10 pairs only that sums of its singles put first.",
    "50 calls": "The result where the model was called for the 50 pairs only that sums of its singles put first.",
    "200 calls": "The result where the model was called for the 200 pairs only that sums of its singles put first.",
    "5 cells": "Queries are means of bags of five cells.",
    "20 cells": "Queries are means of bags of twenty cells.",
    "100 cells": "Queries are means of bags of a hundred cells, or of half of a condition's where it has fewer.",
    "perturbation": "What is done: a gene, a pair of genes, or a compound; its dose and time stand beside it.",
    "dose": "The dose at which the compound is given, in micromolar.",
    "time": "How long after the perturbation the cells were measured, in hours.",
    "before": (
        "Distance from the start to the goal over the model's genes (log1p units), less what sampling noise adds."
    ),
    "after": "Distance from the predicted outcome to the goal over the model's genes, less what sampling noise adds.",
    "share": (
        "Which share of the way from start to goal is predicted to be gone: 1 less after over before. Negative = it "
        "leads farther off."
    ),
    "uncertainty": "How much the model's own networks differ in 'after' (standard deviation); empty where it has one.",
    "known": (
        "What the model knows of it: train = it was in training conditions; features only = in none, what is "
        "predicted rests on its features; nothing = there is no prediction, and it comes last."
    ),
    "evaluation": "Which of the eight evaluations of the suite, in their published order.",
    "measure": "What is measured; the number in brackets is that of the note below the table.",
    "published": "The number as the published code computes it, with its mistakes.",
    "(trivial)": "What the published form gives to an answer that knows nothing.",
    "corrected": "The number with the mistakes of the published form mended.",
    "95% interval": "Where the corrected number would lie in 95 of 100 repetitions with other units.",
    "trivial": "What the corrected form gives to an answer that knows nothing, which is named.",
    "measured": "What the measured data themselves reach in the corrected form: half of the cells as the prediction.",
}


def of_answer(name: str) -> str:
    """What an answer is, by its name: a leading minus, ``_by_number``, ``_by_dose``, a percentage and ``@``.

    Returns:
        Sentences; empty where it is no name of an answer.
    """
    plain, _, scope = name.partition("@")
    plain, ends = plain.removeprefix("-"), list[str]()
    for suffix, said in (
        ("_by_number", "It is another for each number of perturbed genes."),
        ("_by_dose", "It is another for each dose and time."),
    ):
        if plain.endswith(suffix):
            plain, ends = plain.removesuffix(suffix), [said]
    head, _, percent = plain.rpartition("_")
    if head == "two_way_sum" and percent.isdigit():
        plain = head
    if plain not in ANSWERS:
        return ""
    if name.startswith("-"):
        ends.append("The minus turns it round.")
    if scope:
        ends.append(f"Behind the @ stand the conditions that it is fitted to: {scope}.")
    return " ".join([ANSWERS[plain], *ends, "It knows nothing of the condition; the best such answer is the floor."])
