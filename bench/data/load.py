"""A name, a card or a file -> cells."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.core.files import sha256_arrays, sha256_json
from bench.data.cards import Card, find_card, names
from bench.data.dataset import Dataset, build
from bench.data.guess import Guess, guess_file, is_complete
from bench.data.io.read import read_h5ad
from bench.data.simulate.card import asked_as, generator_of, parameters_of, varied
from bench.data.simulate.generators import Generator
from bench.data.values import normalise


def resolve(source: str | Path | Card) -> tuple[Card, bool]:
    """Find the card of a data set.

    Args:
        source: A shipped name (of simulated data also ``simulated:seed=2``, with other parameters), a card file
            (``*.yaml``), an h5ad file, or the card itself.

    Returns:
        The card, and whether it was guessed from the file.

    Raises:
        BenchError: Unknown name, or no such file.
    """
    guess, guessed = _find(source)
    return guess.card, guessed


def inspect(source: str | Path | Card) -> tuple[Card, Guess, bool]:
    """Find the card of a data set and guess what it leaves out.

    Returns:
        The card as it was found, the complete one with remarks, and whether there was none.

    Raises:
        BenchError: As :func:`resolve` and :func:`complete`.
    """
    guess, guessed = _find(source)
    return guess.card, guess if guessed else complete(guess.card), guessed


def _find(source: str | Path | Card) -> tuple[Guess, bool]:
    if isinstance(source, Card):
        return Guess(source, ()), False
    name = str(source)
    name = asked_as(name, names(), find_card)
    if ":" in name and not Path(name).exists():
        return Guess(varied(name, find_card), ()), False
    if name.endswith((".h5ad", ".h5", ".hdf5")) or (Path(name).is_file() and not name.endswith((".yaml", ".yml"))):
        return guess_file(Path(name)), True
    if "/" in name and not name.endswith((".yaml", ".yml")):
        raise BenchError(f"no such file: {name}")
    return Guess(find_card(name), ()), False


def complete(card: Card) -> Guess:
    """Guess what a card leaves out, as without a card; generated data need no guess.

    Raises:
        BenchError: No file, or nothing in it that the card would have to name.
    """
    if generator_of(card) or is_complete(card):
        return Guess(card, ())
    return guess_file(card.path(), card)


def load(card: Card, needs_perturbed: bool = True, guessed: bool = False) -> Dataset:
    """Read, or generate, the cells of a card.

    Args:
        card: The card.
        needs_perturbed: Whether cells that are perturbed must be among them.
        guessed: Whether the card was guessed, so that messages do not refer to it.
    """
    generator = generator_of(card)
    if generator:
        return generate(card, generator)
    return read_h5ad(card.path(), complete(card).card, needs_perturbed, guessed)


def generate(card: Card, generator: Generator[Any]) -> Dataset:
    """Generate the cells of a card whose source is a generator.

    The identity is that of the generator (version, parameters) and of its integer counts: floating-point values may
    differ in the last bit between platforms.

    Raises:
        BenchError: If the card sets a parameter that the generator does not have.
    """
    parameters = parameters_of(card)
    cells = generator.cells(parameters)
    counts = sha256_arrays(cells.counts.indptr, cells.counts.indices, cells.counts.data.astype("int64"), cells.ncounts)
    identity = sha256_json({"generator": generator.version, "parameters": asdict(parameters), "counts": counts})
    return build(
        card.name,
        normalise(cells.counts, cells.ncounts),
        genes=cells.genes,
        barcodes=cells.barcodes,
        condition=cells.condition,
        context=cells.context,
        batch=cells.batch,
        source=card.name,
        min_cells=card.min_cells,
        evidence=card.evidence,
        identity=identity,
        card=card,
    )
