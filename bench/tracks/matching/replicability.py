"""Replicability: do wells of a perturbation find each other before the negative controls of their plates?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.data.profiles.wells import Wells
from bench.tracks.matching.options import Options
from bench.tracks.matching.outcome import Outcome, design, failed, judged
from bench.tracks.matching.pairs import single_label
from bench.tracks.matching.precision import Pairs, rank
from bench.tracks.matching.significance import few_pairs

#: Said where noise is found too.
_SHARED = (
    "these profiles are centred on the very controls that replicates are ranked against, on the same plate: what is "
    "left of that centre makes any two wells alike, so that noise scores above chance; rank with --controls split"
)


def _centred_on_rivals(wells: Wells, positives: Pairs) -> bool:
    """Whether the controls of plates that hold replicates have a mean of 0, to rounding."""
    plate = wells.plate[positives]
    here = np.unique(plate[:, 0][plate[:, 0] == plate[:, 1]])
    if not len(here) or (plate[:, 0] == plate[:, 1]).mean() < 0.5:
        return False

    def centred(name: str) -> bool:
        controls = wells.x[wells.control & (wells.plate == name)]
        spread = float(np.sqrt(controls.var(axis=0).sum())) if len(controls) > 1 else 0.0
        return spread > 0 and float(np.linalg.norm(controls.mean(axis=0))) < 1e-4 * spread

    return all(centred(name) for name in here.tolist())


def replicability(wells: Wells, options: Options) -> Outcome:
    """Ask it of the wells of one group.

    Positive pairs: wells of one perturbation. Negative pairs: a well and a negative control of its plate. Similarity:
    cosine. A well's average precision is averaged over the wells of its perturbation; controls are not asked.

    Args:
        wells: Corrected; some are no controls.
        options: How labels are judged.

    Source: the evaluation of CPJUMP1, as CellCLIP's script calls it.
    """
    treated = np.flatnonzero(~wells.control)
    counts: dict[str, float | None] = {
        "n_perturbations": float(len(np.unique(wells.perturbation[treated]))),
    }
    if not wells.control.any():
        return failed("control-limited", "no negative controls on these plates", counts)
    meta = pd.DataFrame(
        {"perturbation": wells.perturbation, "plate": wells.plate, "control": wells.control.astype(np.int64)}
    )
    paired = single_label(meta, ["perturbation"], ["plate"], ["control"], asked=treated.tolist())
    ranked = rank(wells.x, paired.positives, paired.negatives)
    counts |= {"n_pos_pairs": float(paired.counts[0]), "n_neg_pairs": float(paired.counts[1])}
    if not len(ranked.query):
        why = "no perturbation is in two wells" if not paired.counts[0] else "no well has a control on its plate"
        return failed("unpaired", why, counts)
    names = wells.perturbation[ranked.query].tolist()
    labels, chance = design(ranked, names)
    ap, found = judged(ranked, names, wells.perturbation.tolist(), wells.modality.tolist(), options)
    ap = ap.assign(plate=wells.plate[ranked.query], well=wells.well[ranked.query])
    without = len(np.setdiff1d(np.unique(np.concatenate(paired.positives)), ranked.query))
    said = [f"{without} replicate wells have no negative control on their plate and are left out"] if without else []
    alone = int(counts["n_perturbations"] or 0) - len(labels)
    said += [f"{alone} perturbations have one well only and are not asked for"] if alone else []
    said += [few] if (few := few_pairs(ap, options)) else []
    said += [_SHARED] if _centred_on_rivals(wells, paired.positives[0]) else []
    counts["n_gated"] = 0.0
    return Outcome(labels=labels, chance=chance, found=found, ap=ap, counts=counts, warnings=tuple(said))
