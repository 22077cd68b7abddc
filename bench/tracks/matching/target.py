"""Target matching: do perturbations of one target find each other before those of other targets?"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from bench.data.profiles.wells import COMPOUND
from bench.tracks.matching.consensus import Consensus
from bench.tracks.matching.options import Options
from bench.tracks.matching.outcome import Outcome, among, design, failed, names_of, outcome_of
from bench.tracks.matching.pairs import LABELS, multi_label, single_label
from bench.tracks.matching.precision import Precision, rank


def target_matching(profiles: Consensus, replicable: frozenset[str] | None, options: Options) -> Outcome:
    """Ask it of the consensus profiles of one group.

    Compounds: alike with a target in common, unlike with none, by the absolute cosine, as an inhibitor may undo what an
    activator does. Genetic perturbations ("sisters"): guides of one gene, by the cosine.

    What is asked for is fixed by the design. Perturbations that were not found replicable take no part, and a target
    that thereby loses all its pairs counts as not found, at chance: abstaining never pays.

    Args:
        profiles: Of one group.
        replicable: Perturbations that the gate lets through; ``None`` = all.
        options: How labels are judged.
    """
    counts: dict[str, float | None] = {"n_perturbations": float(len(profiles))}
    known = [i for i, names in enumerate(profiles.targets) if names]
    bare = len(profiles) - len(known)
    said = (f"{bare} of {len(profiles)} perturbations have no known target and take no part",) if bare else ()
    profiles = profiles.take(known)
    if len(profiles) < 2:
        return failed("unpaired", "fewer than two perturbations with a known target", counts)
    compounds = profiles.modality == COMPOUND
    if compounds:
        paired = multi_label(pd.DataFrame({LABELS: [list(names) for names in profiles.targets]}))
    else:
        meta = pd.DataFrame({"gene": [names[0] for names in profiles.targets]})
        paired = single_label(meta, ["gene"], [], ["gene"])
    counts |= {"n_pos_pairs": float(paired.counts[0]), "n_neg_pairs": float(paired.counts[1])}
    whole = rank(profiles.x, paired.positives, paired.negatives, absolute=compounds)

    def names(ranked: Precision) -> list[str]:
        return names_of(ranked, paired) if compounds else [profiles.targets[i][0] for i in ranked.query.tolist()]

    if not len(whole.query):
        what = "no two perturbations share a target" if not paired.counts[0] else "all perturbations share a target"
        return failed("unpaired", what, counts)
    labels, chance = design(whole, names(whole))
    passed = [i for i, name in enumerate(profiles.perturbation) if replicable is None or name in replicable]
    counts["n_gated"] = float(len(profiles) - len(passed))
    gated = whole if len(passed) == len(profiles) else among(passed, profiles.x, paired, compounds)
    given = names(gated), profiles.perturbation, [profiles.modality] * len(profiles)
    found = outcome_of(gated, given, (labels, chance), len(passed), options, counts)
    return replace(found, warnings=(*said, *found.warnings))
