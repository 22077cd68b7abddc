"""Cards: where a file is looked for, and what is said about a card that is wrong."""

import pytest
from screens import tiny_counts, write_h5ad

from bench.core.errors import BenchError
from bench.data.cards import Card, find_card, names, read_card
from bench.data.load import load, resolve


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def refuse(path, *words):
    with pytest.raises(BenchError) as caught:
        read_card(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


def test_a_minimal_card(tmp_path):
    card = read_card(write(tmp_path / "mine.yaml", "source: a.h5ad\ncontrol: NT\n"))
    assert (card.name, card.source, card.control, card.folder) == ("mine", "a.h5ad", ("NT",), tmp_path)
    assert (card.separator, card.expression, card.min_cells, card.split) == ("+", "log1p", 10, "simulation")


def test_numbers_in_labels_are_labels(tmp_path):
    card = read_card(write(tmp_path / "m.yaml", "source: a.h5ad\ncontrol: [0, NT]\nfilter: {lane: 3}\n"))
    assert card.control == ("0", "NT") and card.filter == {"lane": "3"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source: [a\n b: c\n", ["YAML"]),
        ("just text", ["mapping", "source"]),
        ("", ["mapping"]),
        ("- a\n- b\n", ["mapping"]),
        ("control: NT\n", ["'source'", "required"]),
        ("source: a.h5ad\ncontol: NT\n", ["'contol'", "'control'"]),
        ("source: a.h5ad\ncolumns: {conditon: x}\n", ["'conditon'", "'condition'"]),
        ("source: a.h5ad\nmin_cells: many\n", ["'min_cells'", "integer"]),
        ("source: a.h5ad\nmin_cells: 1\n", ["'min_cells'", "2"]),
        ("source: a.h5ad\nexpression: raw\n", ["'expression'", "'counts'", "'log1p'"]),
        ("source: a.h5ad\nevidence: none\n", ["'evidence'", "'full'", "'smoke'"]),
        ("source: a.h5ad\nname: ../../etc\n", ["'name'"]),
        ("source: a.h5ad\ncolumns: condition\n", ["'columns'"]),
        ("source: a.h5ad\nfeatures: []\n", ["'features'", "one feature bank an entry"]),
        ("source: a.h5ad\nfeatures: [pca, card]\n", ["'features'", "one feature bank an entry"]),
        ("source: a.h5ad\nfeatures: pca+x.csv\n", ["'features'", "one feature bank an entry"]),
        ("source: a.h5ad\nfeatures: {a: b}\n", ["'features'"]),
    ],
)
def test_a_wrong_card_is_named_with_its_field(tmp_path, text, words):
    refuse(write(tmp_path / "bad.yaml", text), *words)


def test_a_card_that_is_no_text(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    refuse(tmp_path / "x.yaml", "YAML")


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(BenchError, match=r"unknown data set 'norman_slise'. Did you mean 'norman_slice'\?"):
        find_card("norman_slise")
    for name in ("gone.yaml", "gone.h5ad", "./gone", "folder/gone.h5ad"):
        with pytest.raises(BenchError, match=f"no such file: {name}"):
            resolve(name)


def test_a_source_is_looked_for_beside_the_card_then_in_bench_data(tmp_path, monkeypatch):
    card_folder, data = tmp_path / "cards", tmp_path / "data"
    for folder in (card_folder, data / "sub"):
        folder.mkdir(parents=True)
    monkeypatch.setenv("BENCH_DATA", str(data))
    card = read_card(write(card_folder / "t.yaml", "source: sub/x.h5ad\nurl: https://example.org/x\n"))
    with pytest.raises(BenchError, match=rf"no file sub/x\.h5ad.*https://example\.org/x.*{data}/sub/x\.h5ad"):
        card.path()
    (data / "sub" / "x.h5ad").touch()
    assert card.path() == data / "sub" / "x.h5ad"
    (card_folder / "sub").mkdir()
    (card_folder / "sub" / "x.h5ad").touch()
    assert card.path() == card_folder / "sub" / "x.h5ad"
    absolute = Card(name="t", source=str(tmp_path / "abs.h5ad"), folder=card_folder)
    with pytest.raises(BenchError, match=r"abs\.h5ad.*put it there"):
        absolute.path()
    (tmp_path / "abs.h5ad").touch()
    assert absolute.path() == tmp_path / "abs.h5ad"


def test_without_bench_data_the_message_says_to_set_it(tmp_path, monkeypatch):
    monkeypatch.delenv("BENCH_DATA", raising=False)
    with pytest.raises(BenchError, match=r"FOLDER/x\.h5ad and set BENCH_DATA=FOLDER"):
        Card(name="t", source="x.h5ad", folder=tmp_path).path()


def test_features_default_to_pca_and_one_needs_no_list(tmp_path):
    assert read_card(write(tmp_path / "a.yaml", "source: a.h5ad\n")).features == ("pca",)
    assert read_card(write(tmp_path / "b.yaml", "source: a.h5ad\nfeatures: pairs:x.csv\n")).features == ("pairs:x.csv",)
    assert find_card("simulated").features == find_card("simulated_hard").features == ("view_a", "view_b")


def test_a_card_and_its_file_load(tmp_path):
    counts, obs = tiny_counts(cells=5, controls=20)
    write_h5ad(tmp_path / "x.h5ad", counts, obs.rename(columns={"condition": "pert"}))
    text = "source: x.h5ad\ncolumns: {condition: pert, context: context}\nexpression: counts\nmin_cells: 4\n"
    card, guessed = resolve(str(write(tmp_path / "t.yaml", text)))
    dataset = load(card)
    assert not guessed
    assert (dataset.name, dataset.min_cells, len(dataset.conditions), dataset.contexts) == ("t", 4, 23, ("line0",))


def test_an_unknown_parameter_of_the_simulator():
    with pytest.raises(BenchError, match=r"card 's'.*'cels'.*Parameters: "):
        load(Card(name="s", source="simulated", parameters={"cels": 3}))


def test_a_value_that_the_simulator_refuses():
    with pytest.raises(BenchError, match=r"card 's'.*n_singles = 900: expected 1 to"):
        load(Card(name="s", source="simulated", parameters={"n_singles": 900}))


def test_shipped_names_are_their_files_names():
    assert {"simulated", "simulated_hard", "norman", "norman_slice"} <= set(names())
    assert all(find_card(name).name == name for name in names())
