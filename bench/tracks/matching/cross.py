"""Cross-modality matching: do compounds and genetic perturbations of one target find each other?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.tracks.matching.consensus import Consensus
from bench.tracks.matching.options import Options
from bench.tracks.matching.outcome import Outcome, among, design, failed, names_of, outcome_of
from bench.tracks.matching.pairs import LABELS, multi_label
from bench.tracks.matching.precision import rank


def cross_matching(
    compounds: Consensus,
    genes: Consensus,
    replicable_compounds: frozenset[str] | None,
    replicable_genes: frozenset[str] | None,
    options: Options,
) -> Outcome:
    """Ask it of the consensus profiles of a group of compounds and a group of genetic perturbations.

    Positive pairs: of different modality, with a target in common. Negative pairs: of different modality, with none.
    Similarity: absolute cosine. Lists of targets are restricted to genes that are perturbed.

    Args:
        compounds: Of one group.
        genes: Of another.
        replicable_compounds: Those that the gate lets through; ``None`` = all.
        replicable_genes: The same of genetic perturbations.
        options: How labels are judged.
    """
    counts: dict[str, float | None] = {"n_perturbations": float(len(compounds) + len(genes))}
    perturbed = frozenset(name for names in genes.targets for name in names)
    compounds = compounds.restricted(perturbed)
    genes = genes.restricted(frozenset(name for names in compounds.targets for name in names) | perturbed)
    if not len(compounds):
        return failed("no_overlap", "no compound is known to act on a gene that is perturbed", counts)
    n = len(compounds)
    # A list in every row: a mixture of lists and words is refused by the query.
    meta = pd.DataFrame(
        {
            LABELS: [list(names) for names in (*compounds.targets, *genes.targets)],
            "modality": [compounds.modality] * n + [genes.modality] * len(genes),
        }
    )
    x = np.concatenate([compounds.x, genes.x])
    paired = multi_label(meta, pos_diffby=["modality"], neg_diffby=["modality"])
    counts |= {"n_pos_pairs": float(paired.counts[0]), "n_neg_pairs": float(paired.counts[1])}
    whole = rank(x, paired.positives, paired.negatives, absolute=True)
    if not len(whole.query):
        return failed("unpaired", "no compound and gene without a common target to be told apart from", counts)
    labels, chance = design(whole, names_of(whole, paired))
    names = [*compounds.perturbation, *genes.perturbation]
    gates = [replicable_compounds] * n + [replicable_genes] * len(genes)
    passed = [i for i, (name, gate) in enumerate(zip(names, gates, strict=True)) if gate is None or name in gate]
    counts["n_gated"] = float(len(names) - len(passed))
    gated = whole if len(passed) == len(names) else among(passed, x, paired, True)
    given = names_of(gated, paired), names, meta["modality"].tolist()
    return outcome_of(gated, given, (labels, chance), len(passed), options, counts)
