"""What a card with ``source: simulated`` asks the simulator for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import yaml

from bench.core.errors import BenchError
from bench.core.files import safe_name
from bench.data.cards import Card
from bench.data.simulate.parameters import SIMULATED, SimulationParameters

SOURCE = "simulated"


def varied(name: str, find: Callable[[str], Card]) -> Card:
    """The card of a simulated data set with other parameters: ``simulated:seed=2`` is another network of the same kind.

    Args:
        name: The data set's name, a colon, and ``parameter=value`` parted by commas.
        find: Finds a card by name.

    Raises:
        BenchError: Data that are not simulated; a parameter without value, or one that the simulator does not have.
    """
    base, _, given = name.partition(":")
    card = find(base)
    if card.source != SOURCE:
        raise BenchError(f"'{name}': parameters are for simulated data; '{base}' is read from {card.source}.")
    values: dict[str, Any] = {}
    for part in given.split(","):
        key, equals, value = part.partition("=")
        if not key or not equals or not value:
            raise BenchError(f"'{name}': expected parameter=value after the colon, got '{part}'.")
        values[key.strip()] = yaml.safe_load(value)
    suffix = "_".join(f"{key}{value}" for key, value in values.items())
    made = card.model_copy(
        update={"name": safe_name("data set", f"{base}_{suffix}"), "parameters": {**card.parameters, **values}}
    )
    parameters_of(made)
    return made


def parameters_of(card: Card) -> SimulationParameters:
    """The simulator's parameters of a card with ``source: simulated``.

    Raises:
        BenchError: If the card sets a parameter that the simulator does not have, or a value that it refuses.
    """
    try:
        return replace(SIMULATED, **card.parameters)
    except (TypeError, ValueError) as error:
        known = ", ".join(asdict(SIMULATED))
        raise BenchError(f"card '{card.name}': {error}. Parameters: {known}.") from error
