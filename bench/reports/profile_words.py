"""What the words of ``bench profiles`` mean, for readers who know Cell Painting and not this program."""

from __future__ import annotations

#: A word as a table, a row's name or ``groups.csv`` prints it -> what it means, in sentences.
PROFILE_WORDS: dict[str, str] = {
    # The table
    "profiles": (
        "The name of the row: what the numbers of a well are. 'profile' = the measured features, 'embedding' = numbers "
        "that another tool made of the images, else an encoder of this project. Options that differ from the defaults "
        "stand in brackets behind it."
    ),
    "profile": "The row of the measured features themselves, as the table of wells has them, without any encoder.",
    "embedding": (
        "The row of numbers that another tool made of a plate's images, read from one .h5 file per plate in place of "
        "the measured features."
    ),
    "mAP*": (
        "How well profiles find their like, between chance (0) and perfect (1): each profile orders all that it is "
        "compared with by similarity, and average precision is high where its partners come first. Averaged over the "
        "profiles of a perturbation or target, then over all of these, also over those that the gate left out, which "
        "count as chance. With ± 95% over perturbations or targets. Look at this number first."
    ),
    "mAP": (
        "Mean average precision, as mAP* but not corrected for chance: a random order is above 0, and the more so the "
        "fewer wells a profile is compared with. Compare rows of one table only."
    ),
    "found": (
        "The share of perturbations (or of targets) that are found: their mean average precision is so high that fewer "
        "than 5% of what is called found would be by chance alone (q below the threshold). It is over all that the "
        "design asks for, so that leaving some out does not help."
    ),
    "mAP pub.": (
        "Mean average precision as the published scripts print it: over the perturbations or targets that the gate "
        "leaves. These are others in every row, so that a row that keeps one easy target can have 1.00."
    ),
    "pub.": (
        "Short for published: the number as the published scripts print it, over the perturbations or targets that "
        "the gate leaves, which are others in every row. The number without 'pub.' is over all of the design."
    ),
    "found pub.": (
        "The share of found perturbations or targets as the published scripts print it: only of those that the gate "
        "leaves, which are others in every row."
    ),
    "plate": (
        "How well negative controls find those of their own plate among those of other plates. Nothing was done to "
        "either, so that it should be 0; near 1 the plate is written in every profile, and replicates on one plate may "
        "be alike for that reason alone. '-' = there is one plate only."
    ),
    "status": (
        "Why a row has no result, or one at chance: missing, empty, unpaired, no_overlap or control-limited, each of "
        "which 'bench explain' knows. Empty where all is well."
    ),
    "labels": (
        "What is asked for: perturbations where replicates look for each other, targets where perturbations do. How "
        "many there are is fixed by the design, and is the same for every row of a table."
    ),
    # Why there is no result
    "missing": "The experiment's table of plates names plates of this group of which no file was found.",
    "empty": "The plates of this group are there, but hold no wells, or none but negative controls.",
    "unpaired": (
        "There is nothing to look for: no perturbation has a second well, no two perturbations share a target, or the "
        "gate left no two that do. Where only the gate is the reason, all labels count as chance."
    ),
    "no_overlap": (
        "Compounds and genetic perturbations of these two groups have no target in common, as far as is known, so that "
        "neither can look for the other."
    ),
    "control-limited": (
        "There are too few negative controls (DMSO, non-targeting guides): none to rank replicates against, or fewer "
        "than four to fit a correction on. Where that keeps all perturbations from passing the gate, all labels of the "
        "matching behind it count as chance."
    ),
    "nothing to be asked for": (
        "The group has no perturbation or target that could be looked for, by any row; the column 'status' says why."
    ),
    # What is asked
    "replicability": (
        "Do wells of the same perturbation resemble each other more than they resemble the negative controls of their "
        "plate? By the cosine of two profiles."
    ),
    "target": (
        "Do perturbations of the same target, or compounds of one mechanism, resemble each other more than those of "
        "other targets? The profile of a perturbation is the median over its wells. Compounds may resemble each other "
        "or be opposite, as an inhibitor may undo what an activator does."
    ),
    "cross": (
        "Do compounds and genetic perturbations (CRISPR guides, ORF constructs) of the same target find each other, "
        "among those of other targets? Alike or opposite both count."
    ),
    "compound": "Wells to which a chemical was added; their negative controls got its solvent alone, such as DMSO.",
    "crispr": "Wells in which a gene was cut by a CRISPR guide; several guides of one gene are called sisters.",
    "orf": (
        "Wells in which a gene is overexpressed from an open reading frame. There is one construct per gene, so that "
        "targets are not matched among constructs."
    ),
    "short": "The earlier of two times at which plates were fixed: 24 h for compounds, 48 h for ORF, 96 h for CRISPR.",
    "long": "The later of two times at which plates were fixed; also any time that is not the early one of its kind.",
    # What the published scripts do differently: options
    "gate": (
        "Which perturbations may take part in 'target' and 'cross': those whose replicates were found. gate=both asks "
        "it of compounds and of genetic perturbations, gate=compound of compounds only."
    ),
    "gate=compound": (
        "Only compounds must have been found replicable to be matched by target; genetic perturbations all take part, "
        "as in CellCLIP's script, in which their gate is commented out."
    ),
    "correction": (
        "What is done to profiles before they are compared, so that plates look alike. It is fitted on negative "
        "controls alone and then applied to all wells."
    ),
    "correction=plate_z": (
        "Each feature is centred and scaled by the mean and spread of the negative controls of the same plate."
    ),
    "correction=kpca": (
        "Profiles are described by the directions in which negative controls of all plates vary (at most 500 principal "
        "components, by a linear kernel), as in CellCLIP's script."
    ),
    "correction=sphering": (
        "Directions in which negative controls vary much are shrunk, those in which they vary little are stretched, "
        "until controls vary alike in all (typical variation normalisation)."
    ),
    "plate_scale": (
        "Whether each plate is standardised by all of its wells (wells), treated ones too, before any correction; "
        "CellCLIP's script does so with embeddings."
    ),
    "aggregation": (
        "How evidence of the wells of a perturbation is put together: mean_ap_null compares their mean average "
        "precision with that of random orders; geomean_p takes the geometric mean of a p of each well."
    ),
    "aggregation=geomean_p": (
        "As earlier versions of copairs and CellCLIP's script: each well gets a p, and a perturbation the geometric "
        "mean of these. It finds more than the default."
    ),
    "controls": (
        "Whether a correction is fitted on the same negative controls that replicates are ranked against (shared, as "
        "in both published scripts) or on every other one, which then takes no other part (split)."
    ),
    "controls=split": (
        "The correction is fitted on every other negative control of a plate, and replicates are ranked against the "
        "rest. With shared controls even noise can look replicable, as a correction centres these controls and not "
        "the replicates."
    ),
    "universe": (
        "Which wells are scored at all: all of them, or those of a list, whose fingerprint then stands here. Another "
        "list is another question, on a board of its own."
    ),
    "universe_by": (
        "How a list of wells is applied: to each plate its own, or, as CellCLIP's script does it, accumulated: plates "
        "of a group keep only the positions that all later lists have too."
    ),
    "threshold": "A perturbation or target counts as found where its q is below this number; .05 is the default.",
    "null_size": "How many random orders a p is taken from: with 100,000 no p can be below .00001.",
    # Numbers of groups.csv and of the CSV of a board
    "batch_leak": (
        "How well negative controls find those of their own batch on other plates: as 'plate', for batches. It should "
        "be 0."
    ),
    "n_wells": "How many wells the group has, negative controls among them.",
    "n_plates": "How many plates the group has wells on, those left out that are missing or empty.",
    "n_controls": "How many negative-control wells the group has that replicates can be ranked against.",
    "n_perturbations": "How many different perturbations the group has; in 'cross' those of both groups together.",
    "n_gated": "How many perturbations take no part in matching by target, as their replicates were not found.",
    "n_looked_for": "How many perturbations or targets are left to be looked for after the gate.",
    "n_pos_pairs": "How many pairs of profiles should be alike by the design, before the gate.",
    "n_neg_pairs": "How many pairs of profiles should not be alike by the design, before the gate.",
    "n_fitted_on": "How many negative-control wells the correction was fitted on; empty without a correction.",
    "n_components": "How many dimensions the correction leaves a profile with, where it chooses some.",
}
