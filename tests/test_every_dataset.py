"""The contract of a data set card, run over every card that is shipped."""

import numpy as np
import pytest

from bench.core.conditions import CONTROL
from bench.core.errors import BenchError
from bench.core.files import configs_dir
from bench.data.cards import find_card, names
from bench.data.load import load
from bench.data.simulate.card import generator_of
from bench.data.splits.kinds import kinds


@pytest.mark.parametrize("name", names())
def test_a_card_says_what_the_data_are_and_whose(name):
    card = find_card(name)
    assert card.description and "\n" not in card.description
    assert card.split in kinds() and card.split != "custom"
    if generator_of(card):
        assert card.licence and card.expression == "counts" and not card.url
    else:
        assert card.citation and card.url and ("https://" in card.url or "github.com/" in card.url)


@pytest.mark.parametrize("name", [n for n in names() if not generator_of(find_card(n))])
def test_a_card_whose_file_is_absent_says_where_to_get_and_put_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    card = find_card(name)
    with pytest.raises(BenchError) as caught:
        load(card)
    for word in (name, card.url, str(tmp_path / card.source)):
        assert word in str(caught.value)
    assert not card.source.startswith("/")


#: Their generators are tested on small screens; a whole one takes seconds.
_WHOLE = ("simulated_contexts", "latents")
LARGE = {name for name in names() if find_card(name).source in _WHOLE} | {"simulated_hard"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in LARGE else []) for n in names()])
def test_a_data_set_that_is_here_loads(name, request, monkeypatch):
    card = find_card(name)
    if not generator_of(card):
        folder = request.getfixturevalue("real_data")
        monkeypatch.setenv("BENCH_DATA", str(folder))
        if not (folder / card.source).is_file():
            pytest.skip(f"{card.source} is not in {folder.name}")
    dataset = load(card)
    assert dataset.name == name and dataset.evidence == card.evidence
    assert dataset.x.dtype == np.float32 and dataset.x.has_canonical_format
    assert dataset.x.data.min() > 0 and dataset.x.data.max() < np.log1p(1e4) + 1e-3
    least = 10 if dataset.evidence == "full" else 2  # data that carry no claim may have a single perturbation
    assert CONTROL in dataset.conditions and len(dataset.conditions) >= least
    assert len(dataset.hash) == 64 and load(card).hash == dataset.hash


def test_every_file_in_the_folder_is_a_card():
    assert {path.stem for path in (configs_dir() / "datasets").iterdir()} == set(names())
