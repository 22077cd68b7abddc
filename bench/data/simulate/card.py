"""What a card whose ``source`` is a generator asks it for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from bench.core.errors import BenchError
from bench.core.files import safe_name
from bench.data import generator_parameters
from bench.data.cards import Card
from bench.data.simulate.base import DrawnGenes
from bench.data.simulate.generators import GENERATORS, Generator


def generator_of(card: Card) -> Generator[Any] | None:
    """The generator that a card's source names; None = the source is a file."""
    return GENERATORS.get(card.source)


def genes_of(card: Card | None) -> DrawnGenes | None:
    """The genes that a card's generator draws, and their feature tables; None for data that were not generated."""
    generator = generator_of(card) if card else None
    return generator.genes(parameters_of(card)) if card and generator else None


def varied(name: str, find: Callable[[str], Card]) -> Card:
    """The card of a simulated data set with other parameters: ``simulated:seed=2`` is another network of the same kind.

    Args:
        name: The data set's name, a colon, and ``parameter=value`` parted by commas.
        find: Finds a card by name.

    Raises:
        BenchError: Data that are not simulated; a parameter without value, or one that the generator does not have.
    """
    base, _, given = name.partition(":")
    card = find(base)
    if generator_of(card) is None:
        raise BenchError(f"'{name}': parameters are for simulated data; '{base}' is read from {card.source}.")
    values = generator_parameters.read(given, f"'{name}'")
    parameters = {**card.parameters, **values}
    parameters_of(card.model_copy(update={"parameters": parameters}), f"'{name}'")
    suffix = "_".join(f"{key}{value}" for key, value in values.items())
    return card.model_copy(update={"name": safe_name("data set", f"{base}_{suffix}"), "parameters": parameters})


def asked_as(name: str, known: Iterable[str], find: Callable[[str], Card]) -> str:
    """How a data set of this name is asked for: ``simulated_seed2`` is ``simulated:seed=2``; others by their name.

    Args:
        name: As records and boards have it.
        known: Names of cards.
        find: Finds a card by name.
    """
    for base in sorted((each for each in known if name.startswith(f"{each}_")), key=len, reverse=True):
        if name in known or (generator := generator_of(find(base))) is None:
            continue
        keys = "|".join(sorted((field.name for field in fields(generator.defaults)), key=len, reverse=True))
        given = re.compile(rf"_({keys})(-?[0-9][0-9.e+-]*|True|False)")
        rest = name[len(base) :]
        if re.fullmatch(rf"(?:{given.pattern})+", rest):
            return f"{base}:" + ",".join(f"{key}={value}" for key, value in given.findall(rest))
    return name


def parameters_of(card: Card, called: str = "") -> Any:
    """The parameters of a card's generator: its defaults, with those that the card sets.

    Args:
        card: The card.
        called: What to call it in messages; empty = by its name.

    Raises:
        BenchError: If the source is no generator, or the card sets a parameter that the generator does not have, or a
            value of another type or that it refuses.
    """
    called = called or f"card '{card.name}'"
    generator = generator_of(card)
    if generator is None:
        raise BenchError(f"{called}: source '{card.source}' is no generator ({', '.join(GENERATORS)}).")
    return generator_parameters.changed(generator.defaults, card.parameters, called)
