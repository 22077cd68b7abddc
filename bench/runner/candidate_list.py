"""What a plan may choose from: perturbations by name, all that a model knows, pairs of them, compounds at doses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from bench.core.conditions import (
    CONTROL,
    bare,
    constituents,
    identity,
    read_treated,
    single,
    treated,
    treatment_of,
    written,
)
from bench.core.doses import MOLAR, MOLAR_NAMES, Treatment, amount
from bench.core.errors import BenchError
from bench.data.features.bank import shorten
from bench.runner import known
from bench.runner.home import SavedModel

ALL, PAIRS = "all", "pairs"
#: Pairs at most, where features of very many genes are known.
MAX_PAIRS = 1_000_000


def listed(
    model: SavedModel,
    knows: known.Known,
    candidates: str | Path | Sequence[str],
    avoid: str | Sequence[str],
    doses: str | Sequence[str | float],
) -> tuple[list[str], list[str]]:
    """List candidates, and what there is to say of them.

    Args:
        model: Who is asked.
        knows: What it knows.
        candidates: ``all``, ``pairs``, a file with a name per line, or names.
        avoid: Perturbations that no candidate may hold; text is cut at commas.
        doses: Of the compounds of a chemical screen, likewise; none = those that it measured.

    Raises:
        BenchError: No candidates, or doses of what has none.
    """
    met = dict.fromkeys(treatment_of(name) for name in model.described.conditions if name != CONTROL)
    measured = [text for text in met if text]
    asked, notes = _treatments(measured, knows, _words(doses)), list[str]()
    if isinstance(candidates, str) and candidates == PAIRS:
        if measured:
            raise BenchError("candidates 'pairs': a chemical screen at doses has single compounds only; leave it out.")
        names, notes = _pairs(knows)
    elif isinstance(candidates, str) and candidates == ALL:
        names = list(knows.singles())
        if measured and knows.kept is None:
            names = [single(compound, text) for compound in knows.genes for text in asked]
        elif measured:
            names = [name for name in names if treatment_of(name) in asked]
    else:
        names = []
        for name in _named(model, candidates):  # one without a dose is asked for at all of them
            names += [treated(name, text) for text in asked] if measured and not treatment_of(name) else [name]
    known_as = {identity(name): name for name in knows.kept or ()}
    names = list(dict.fromkeys(known_as.get(identity(name), name) for name in names))
    kept, said = _without(names, _words(avoid))
    said = [*notes, *said]
    if not kept:
        everything = shorten(list(map(written, knows.genes)), 5)
        raise BenchError(
            f"no candidates left{' after --avoid' if names else ''}: the model knows {len(knows.genes)} perturbations "
            f"({everything})."
        )
    new = sorted({text for name in kept if (text := treatment_of(name)) and text not in met})
    if new:
        said.append(
            f"not measured in the screen: {shorten(new, 5)}; there the model goes between or beyond what was "
            f"({shorten(sorted(measured, key=lambda text: read_treated(treated('x', text))), 8)})"
        )
    return kept, said


def _words(given: str | Sequence[str | float]) -> list[str]:
    words = given.split(",") if isinstance(given, str) else [str(word) for word in given]
    return [word.strip() for word in words if word.strip()]


def _treatments(measured: Sequence[str], knows: known.Known, doses: Sequence[str]) -> list[str]:
    """Doses and times at which compounds are asked for, as names have them.

    Raises:
        BenchError: A dose that is none, that these data cannot have, or that the model cannot be asked for.
    """
    if not doses:
        return list(measured)
    read = [read_treated(treated("x", text)) for text in measured]
    if not any(one.dose for one in read):
        raise BenchError("--doses: the data that this model was fitted on have none; leave it out.")
    found = []
    for word in doses:
        micromolar = amount(word, MOLAR, "uM")
        if micromolar is None:
            raise BenchError(
                f"--doses: '{word}' is no dose; expected numbers above 0 in uM, or with one of {MOLAR_NAMES}."
            )
        found += [Treatment(micromolar, time).text() for time in dict.fromkeys(one.time for one in read)]
    strange = [text for text in found if text not in measured]
    if strange and "dose" not in knows.takes:
        raise BenchError(
            f"--doses: the dose enters no action of this model, which keeps what it predicted at "
            f"{shorten(list(measured), 8)}; it cannot be asked for {shorten(strange, 5)}."
        )
    return list(dict.fromkeys(found))


def _pairs(knows: known.Known) -> tuple[list[str], list[str]]:
    """All pairs; of a model with features of very many genes those of the genes that it met, and that this is so."""
    if knows.kept is not None:
        spelled = {identity(name): name for name in knows.kept}
        return [spelled[frozenset(pair)] for pair in knows.pairs()], []
    count = math.comb(len(knows.genes), 2)
    if count <= MAX_PAIRS:
        return ["+".join(pair) for pair in knows.pairs()], []
    met = sorted(knows.met)
    if len(met) < 2:
        raise BenchError(
            f"candidates 'pairs': those of {len(knows.genes):,} perturbations are {count:,}, over {MAX_PAIRS:,}; give "
            f"a file with those that matter by --candidates."
        )
    said = f"pairs of {len(met)} perturbations met in training; those of all {len(knows.genes):,} are {count:,}"
    return ["+".join(pair) for pair in combinations(met, 2)], [said]


def _without(names: Sequence[str], avoid: Sequence[str]) -> tuple[list[str], list[str]]:
    """Leave out what holds one of these: a perturbation, or a compound at a dose (``JQ1 @ 10 uM``)."""
    left_out = set(avoid)
    if not left_out:
        return list(names), []

    def held(name: str) -> set[str]:
        own = {text for gene in constituents(name) for text in (gene, written(gene))}
        return own | {written(treated(gene, treatment_of(name))) for gene in own} if treatment_of(name) else own

    kept, met = [], set()
    for name in names:
        hit = held(name) & left_out
        met |= hit
        if not hit:
            kept.append(name)
    absent = sorted(left_out - met)
    return kept, [f"to be avoided, and in no candidate: {shorten(absent, 5)}"] if absent else []


def _named(model: SavedModel, candidates: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Candidates by name, or a name per line of a file.

    Raises:
        BenchError: No such file, or no name.
    """
    if isinstance(candidates, str | Path):
        path = Path(candidates)
        if not path.is_file():
            raise BenchError(
                f"candidates '{candidates}': expected 'all', 'pairs', or a text file with a perturbation per line."
            )
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BenchError(
                f"{path}: not a text file with a perturbation per line ({type(error).__name__})."
            ) from error
        words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not words:
            raise BenchError(f"{path}: no candidates: expected a perturbation per line, such as KLF1 or SET+KLF1.")
        candidates = words
    return model.names(list(candidates))


def shown(name: str) -> dict[str, str]:
    """A candidate as people write it: its perturbations, and dose and time where it has any."""
    treatment = read_treated(name)
    parts = {"perturbation": written("+".join(constituents(bare(name))))}
    if treatment.dose is not None:
        parts["dose"] = Treatment(dose=treatment.dose).text()
    if treatment.time is not None:
        parts["time"] = Treatment(time=treatment.time).text()
    return parts
