"""A run gene by gene, drawn: what is shown, which genes are named, and the files."""

import numpy as np
import pandas as pd
import pytest

from bench.reports.figures import genes as figures


@pytest.fixture
def table():
    """Twelve conditions of growing strength, 20 genes; of each condition two genes are DE, one with the wrong sign."""
    rows = []
    for c in range(12):
        for g in range(20):
            loud = g in (c, c + 1)
            observed = (c + 1) * (1.0 if loud else 0.01) * (-1) ** g
            predicted = observed * (0.5 if g != c else -0.5)
            rows.append((f"P{c:02d}+ctrl", "K562", f"g{g:02d}", predicted, observed, 9.0 * loud, loud, g != c))
    names = ["condition", "context", "gene", "predicted", "observed", "z", "de", "sign_right"]
    return pd.DataFrame(rows, columns=names)


def test_the_strongest_conditions_are_drawn_and_their_loud_genes_named(table):
    drawn = figures.scatter_table(table)
    assert set(drawn["unit"]) == {f"P{c:02d}" for c in range(3, 12)}
    for c in range(3, 12):
        mine = drawn[drawn["unit"] == f"P{c:02d}"]
        assert set(mine["label"]) - {""} == {f"g{c:02d}", f"g{c + 1:02d}"}
        kind = mine.set_index("gene")["kind"]
        assert kind[f"g{c:02d}"] == "DE, sign wrong" and kind[f"g{c + 1:02d}"] == "DE, sign right"
        assert (kind == "not DE").sum() == 18
    assert drawn.loc[drawn["label"] == "", "label_y"].isna().all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 0.1, 5.0], [-0.45, 0.55, 5.0]), ([3.0, 1.0, 1.0], [3.0, 0.5, 1.5]), ([2.0], [2.0]), ([], [])],
)
def test_names_stand_apart_and_near_their_points(values, expected):
    np.testing.assert_allclose(figures.spread(np.array(values), 1.0), expected, rtol=0, atol=1e-12)


def test_the_heat_map_has_the_surest_genes_of_the_strongest_conditions(table):
    heat = figures.heat_table(table)
    assert set(heat["gene"]) == {f"g{g:02d}" for g in range(13)}
    for what in ("observed", "predicted"):
        part = heat[heat["what"] == what].set_index(["unit", "gene"])["shift"]
        given = figures.with_units(table).set_index(["unit", "gene"])[what]
        pd.testing.assert_series_equal(part, given.loc[part.index], check_names=False)
    assert heat["de"].sum() == 2 * 24


def test_conditions_of_several_contexts_are_told_apart(table):
    both = pd.concat([table, table.assign(context="RPE1")], ignore_index=True)
    assert "P11 | RPE1" in set(figures.scatter_table(both)["unit"])


def test_like_rows_and_columns_stand_side_by_side():
    rows = pd.DataFrame([[1, 0, 1], [0, 1, 0], [1.1, 0, 1]], index=list("abc"), columns=list("xyz"))
    units, genes = figures.ordered(rows)
    assert abs(units.index("a") - units.index("c")) == 1 and abs(genes.index("x") - genes.index("z")) == 1


def test_both_figures_are_written_as_files(table, tmp_path):
    paths = figures.draw(table, figures.Heading("ridge | tiny", True), tmp_path)
    assert [path.name for path in paths] == [
        f"{stem}.{form}" for stem in ("genes_scatter", "genes_heatmap") for form in ("pdf", "svg", "png")
    ]
    svg = (tmp_path / "genes_scatter.svg").read_text()
    assert "g12" in svg and "ridge | tiny" in svg and "Smoke data" in svg
    assert (tmp_path / "genes_heatmap.png").read_bytes().startswith(b"\x89PNG")
