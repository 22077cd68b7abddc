"""Evaluation 6, pathways: do the vectors of genes that work together lie together?

Published: a nearest-neighbour classifier is scored on the points that it was fitted on, so that every gene is its own
nearest neighbour; and action vectors come through the projector of another modality. Corrected: a gene is never its own
neighbour; related pairs are told from others by their cosine; and beside both stands what the expression level of the
genes alone does, since genes of one complex are expressed alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.core.typing import Floats
from bench.evaluations.biojepac.inputs import Codes, Pathways, SuiteInputs, Vectors
from bench.evaluations.biojepac.interval import resampled
from bench.evaluations.biojepac.row import Row, absent, best_of
from bench.stats.embedding import normalise
from bench.stats.geometry import silhouettes

NAME = "6 pathways"
#: Neighbours that vote.
NEIGHBOURS = 5
#: A group needs this many genes that have a vector.
MIN_GROUP = 5


def groups_of_pairs(pairs: Sequence[tuple[str, str]], genes: Sequence[str], least: int = MIN_GROUP) -> dict[str, str]:
    """Cut a table of pairs in groups: the gene with most partners that are still free, and these partners, time and
    again. A group is called by that gene; ties go to the first name.

    Args:
        pairs: Related genes.
        genes: Those that may be in a group.
        least: Genes of the smallest group.

    Returns:
        Group by gene; genes of no group are left out.
    """
    free = set(genes)
    partners: dict[str, set[str]] = {gene: set() for gene in free}
    for a, b in pairs:
        if a in free and b in free and a != b:
            partners[a].add(b)
            partners[b].add(a)
    found: dict[str, str] = {}
    while free:
        hub = min(free, key=lambda gene: (-len(partners[gene] & free), gene))
        members = {hub, *(partners[hub] & free)}
        if len(members) < least:
            break
        found |= dict.fromkeys(members, hub)
        free -= members
    return found


def published_knn(x: Floats, label: Codes, k: int = NEIGHBOURS) -> float:
    """Accuracy of a nearest-neighbour classifier on the points that it was fitted on: the published form."""
    from sklearn.neighbors import KNeighborsClassifier

    return float(KNeighborsClassifier(min(k, len(x))).fit(x, label).score(x, label))


def neighbours(x: Floats, k: int = NEIGHBOURS) -> NDArray[np.int64]:
    """The nearest other points of each point ``[n, k]``."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=min(k, len(x) - 1)).fit(x).kneighbors(return_distance=False)
    return np.asarray(found, dtype=np.int64)


def left_out_knn(x: Floats, label: Codes, k: int = NEIGHBOURS) -> NDArray[np.float64]:
    """Whether the nearest *other* points vote for the right group ``[n]``; groups with as many votes share the vote."""
    votes = label[neighbours(x, k)]
    count = np.stack([(votes == group).sum(axis=1) for group in range(int(label.max()) + 1)], axis=1)
    top = count == count.max(axis=1, keepdims=True)
    return np.asarray(top[np.arange(len(label)), label] / top.sum(axis=1))


def pair_auroc(score: Floats, related: NDArray[np.bool_]) -> float:
    """Chance that a related pair has the higher score of a related and another pair ``[P]``; NaN without either."""
    from sklearn.metrics import roc_auc_score

    if related.all() or not related.any():
        return float("nan")
    return float(roc_auc_score(related, score))


def rows(inputs: SuiteInputs) -> Sequence[Row]:
    """All measures of the evaluation, for gene vectors and for action vectors, by each table."""
    if not inputs.pathways:
        return [absent(NAME, "gene vectors", inputs.why("pathways"))]
    found: list[Row] = []
    for what, vectors in (("gene vectors", inputs.gene_vectors), ("action vectors", inputs.action_vectors)):
        if vectors is None:
            found.append(absent(NAME, what, inputs.why(what)))
            continue
        for table in inputs.pathways:
            found += _rows(f"{what}, {table.name}", vectors, table, inputs)
    return found


def _rows(what: str, vectors: Vectors, table: Pathways, inputs: SuiteInputs) -> list[Row]:
    group = dict(table.group) or groups_of_pairs(sorted(table.pairs), vectors.genes)
    size = Counter(group[gene] for gene in vectors.genes if gene in group)
    kept = [i for i, gene in enumerate(vectors.genes) if gene in group and size[group[gene]] >= MIN_GROUP]
    place = {gene: i for i, gene in enumerate(inputs.truth.genes)}
    level = np.array([inputs.level[place[g]] if g in place else np.nan for g in vectors.genes])
    out = []
    label = np.unique([group[vectors.genes[i]] for i in kept], return_inverse=True)[1] if kept else np.zeros(0, int)
    if len(kept) >= 2 * MIN_GROUP and label.max() > 0:
        at = np.array(kept)
        out += _grouped(what, vectors, at, label.astype(np.int64), level[at])
    else:
        reason = f"fewer than two groups of {MIN_GROUP} genes that have a vector ({len(vectors.genes)} genes have one)"
        out.append(absent(NAME, f"{what}: kNN", reason))
    return [*out, _paired(what, vectors, table, level)]


def _grouped(what: str, vectors: Vectors, at: NDArray[np.int64], label: Codes, level: Floats) -> list[Row]:
    z = normalise(vectors.values[at])
    before = z if vectors.published is None else normalise(vectors.published[at])
    votes = left_out_knn(z, label)
    value = resampled(lambda which: float(votes[which].mean()), len(votes))
    alone = float(left_out_knn(level[:, None], label).mean()) if np.isfinite(level).all() else None
    best, which = best_of({"largest group": float(np.bincount(label).max() / len(label)), "expression level": alone})
    width = silhouettes(z, label)
    far = resampled(lambda some: float(width[some].mean()), len(width), seed=1)
    own = "published: every gene is its own nearest neighbour"
    return [
        Row(
            NAME,
            f"{what}: kNN",
            published_knn(before, label),
            published_knn(np.random.default_rng(0).standard_normal(z.shape), label),
            *value.numbers,
            best,
            which,
            None,
            len(label),
            f"{label.max() + 1} groups; {own}; its trivial answer is noise{vectors.note and '; '}{vectors.note}",
        ),
        Row(
            NAME,
            f"{what}: silhouette",
            float(silhouettes(before, label).mean()),
            None,
            *far.numbers,
            float(_silhouette_of_level(level, label)) if np.isfinite(level).all() else None,
            "expression level",
            None,
            len(label),
            "",
        ),
    ]


def _silhouette_of_level(level: Floats, label: Codes) -> float:
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(level[:, None], label))


def _paired(what: str, vectors: Vectors, table: Pathways, level: Floats) -> Row:
    measure = f"{what}: related pairs"
    names = {gene: i for i, gene in enumerate(vectors.genes)}
    related = np.zeros((len(names), len(names)), dtype=np.bool_)
    pairs = table.pairs or frozenset(
        (a, b) for a in names for b in names if a < b and table.group.get(a, a) == table.group.get(b, b)
    )
    for a, b in pairs:
        if a in names and b in names and a != b:
            related[names[a], names[b]] = related[names[b], names[a]] = True
    in_any = np.flatnonzero(related.any(axis=1))
    if len(in_any) < 2 * MIN_GROUP:
        return absent(NAME, measure, f"{len(in_any)} of {len(names)} genes with a vector are in a pair of the table")
    z, known = normalise(vectors.values[in_any]), related[np.ix_(in_any, in_any)]
    cosine, near = z @ z.T, -np.abs(level[in_any][:, None] - level[in_any])

    def over(score: Floats, which: NDArray[np.int64]) -> float:
        a, b = np.triu_indices(len(which), 1)
        a, b = which[a], which[b]
        apart = a != b  # a gene that is drawn twice is no pair
        return pair_auroc(score[a[apart], b[apart]], known[a[apart], b[apart]])

    value = resampled(lambda which: over(cosine, which), len(in_any))
    alone = over(near, np.arange(len(in_any))) if np.isfinite(near).all() else None
    best, which = best_of({"chance": 0.5, "expression level": alone})
    return Row(
        NAME,
        measure,
        None,
        None,
        *value.numbers,
        best,
        which,
        None,
        len(in_any),
        f"AUROC of {int(known.sum()) // 2} related pairs of genes of the table by cosine; not published",
    )


def pathways_of(name: str, group: Mapping[str, str], pairs: Sequence[tuple[str, str]] = ()) -> Pathways:
    """Put a table together; pairs are unordered."""
    return Pathways(name, dict(group), frozenset((min(a, b), max(a, b)) for a, b in pairs))
