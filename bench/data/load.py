"""``--data NAME|CARD|FILE`` -> cells."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.files import sha256_arrays, sha256_json
from bench.core.typing import Floats
from bench.data.cards import Card, find_card, names
from bench.data.dataset import Dataset, build
from bench.data.guess import guess_card
from bench.data.io.read import read_h5ad
from bench.data.simulate.screens import GENERATOR_VERSION, SIMULATED, Simulation, SimulationParameters, simulate
from bench.data.values import normalise

#: Cards of the data loaded in this process, by name and content: models get the data alone, features need the card.
_cards: dict[tuple[str, str], Card] = {}

#: Gene names and feature tables of the simulations of this process; their cells are not kept.
_tables: dict[SimulationParameters, tuple[tuple[str, ...], dict[str, Floats]]] = {}

#: What `view_a` is a noisy view of. No feature bank: no model but the oracle may be told.
_networks: dict[SimulationParameters, Floats] = {}


def resolve(name: str) -> tuple[Card, bool]:
    """Find the card of a data set.

    Args:
        name: A shipped name, a card file (``*.yaml``) or an h5ad file.

    Returns:
        The card, and whether it was guessed from the file.

    Raises:
        BenchError: Unknown name, or no such file.
    """
    if name.endswith((".h5ad", ".h5", ".hdf5")) or (Path(name).is_file() and not name.endswith((".yaml", ".yml"))):
        return guess_card(Path(name)), True
    if "/" in name and not name.endswith((".yaml", ".yml")):
        raise BenchError(f"no such file: {name}")
    return find_card(name), False


def load(card: Card) -> Dataset:
    """Read, or generate, the cells of a card."""
    data = generate(card) if card.source == "simulated" else read_h5ad(card.path(), card)
    _cards[data.name, data.hash] = card
    return data


def card_of(dataset: Dataset) -> Card | None:
    """Return the card that data were loaded from, else the shipped card of their name, else None."""
    if card := _cards.get((dataset.name, dataset.hash)):
        return card
    return find_card(dataset.name) if dataset.name in names() else None


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


def _simulate(parameters: SimulationParameters) -> Simulation:
    cells = simulate(parameters)
    _tables[parameters] = tuple(cells.genes.tolist()), cells.feature_tables
    _networks[parameters] = cells.truth.network_features
    return cells


def feature_tables(parameters: SimulationParameters) -> tuple[tuple[str, ...], dict[str, Floats]]:
    """The gene feature tables that simulated data ship.

    Returns:
        Gene names ``[G]``, and each table ``[G, F]`` by its name.
    """
    if parameters not in _tables:
        _simulate(parameters)
    return _tables[parameters]


def true_features(parameters: SimulationParameters) -> tuple[tuple[str, ...], Floats]:
    """The generator's own features of the genes, of which the table `view_a` is a noisy view.

    Returns:
        Gene names ``[G]``, and of each gene its total effect on every module and on the stress program ``[G, M + 1]``,
        in log change per log change.
    """
    genes, _ = feature_tables(parameters)
    return genes, _networks[parameters]


def generate(card: Card) -> Dataset:
    """Generate the cells of a card with ``source: simulated``.

    The identity is that of the generator (version, parameters) and of its integer counts: floating-point values may
    differ in the last bit between platforms.

    Raises:
        BenchError: If the card sets a parameter that the simulator does not have.
    """
    parameters = parameters_of(card)
    cells = _simulate(parameters)
    counts = sha256_arrays(cells.counts.indptr, cells.counts.indices, cells.counts.data.astype("int64"), cells.ncounts)
    identity = sha256_json({"generator": GENERATOR_VERSION, "parameters": asdict(parameters), "counts": counts})
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
    )
