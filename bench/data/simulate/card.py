"""What a card with ``source: simulated`` asks the simulator for."""

from __future__ import annotations

from dataclasses import asdict, replace

from bench.core.errors import BenchError
from bench.data.cards import Card
from bench.data.simulate.parameters import SIMULATED, SimulationParameters

SOURCE = "simulated"


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
