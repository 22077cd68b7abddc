"""Doses and times: units, how they stand in a condition's name, and that a genetic name has none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.conditions import (
    AT,
    constituents,
    from_label,
    from_written,
    identity,
    identity_name,
    merge_spellings,
    single,
    spellings,
    treated,
    treatment_of,
    written,
)  # fmt: skip
from bench.core.doses import HOURS, MOLAR, Treatment, amount, read_treatment


@pytest.mark.parametrize(
    ("text", "default", "micromolar"),
    [
        ("10", "uM", 10.0), ("10", "nM", 0.01), ("10 nM", "uM", 0.01), ("0.5uM", "nM", 0.5), ("2 µM", "nM", 2.0),
        ("2 μM", "nM", 2.0), ("1e-3 mM", "uM", 1.0), (".25", "mM", 250.0), ("3 pM", "uM", 3e-6), ("1 M", "uM", 1e6),
        ("0", "uM", None), ("-1", "uM", None), ("nan", "uM", None), ("", "uM", None), ("5 ng", "uM", None),
        ("high", "uM", None), ("1e400", "uM", None), ("1,5", "uM", None), ("5 m", "uM", None),
    ],
)  # fmt: skip
def test_a_dose_is_read_in_its_unit(text, default, micromolar):
    found = amount(text, MOLAR, default)
    assert found is None if micromolar is None else found == pytest.approx(micromolar, rel=1e-6, abs=1e-12)


def test_times_are_hours():
    assert [amount(text, HOURS, "h") for text in ("24", "24hr", "3 d", "90 min")] == [24.0, 24.0, 72.0, 1.5]


AMOUNTS = st.floats(1e-6, 1e6).map(lambda value: float(f"{value:.6g}"))


@given(st.one_of(st.none(), AMOUNTS), st.one_of(st.none(), AMOUNTS))
def test_what_is_written_is_read_again(dose, time):
    treatment = Treatment(dose, time)
    if not treatment.text():
        assert read_treatment("") is None
        return
    assert read_treatment(treatment.text()) == treatment
    label = from_label("(+)-JQ1", [], "")
    name = treated(label, treatment.text())
    for text in (written(name), written(name).replace("+ctrl @", " @")):
        assert from_written(text, {**spellings([label]), **spellings([name])}) == name


def test_dose_is_part_of_what_a_condition_is_and_no_constituent():
    low, high = (treated("JQ1+ctrl", f"{dose} uM") for dose in (1, 10))
    assert constituents(low) == constituents(high) == ("JQ1",)
    assert len({identity(low), identity(high), identity("JQ1+ctrl")}) == 3
    assert identity(treated("B+A", "1 uM")) == identity(treated("A+B", "1 uM"))
    assert merge_spellings([treated("B+A", "1 uM"), treated("A+B", "1 uM")]).keys() == {f"B+A{AT}1 uM", f"A+B{AT}1 uM"}
    assert identity_name(treated("B+A", "1 uM")) == f"A+B{AT}1 uM" and single("A", "1 uM") == f"A+ctrl{AT}1 uM"


def test_people_may_use_any_unit_and_genes_with_an_at_sign_stay_genes():
    assert from_written("JQ1 @ 100 nM", {}) == from_written("JQ1+ctrl @ 0.1 µM", {}) == f"JQ1+ctrl{AT}0.1 uM"
    assert from_written("JQ1@1uM 1 d", {}) == f"JQ1+ctrl{AT}1 uM 24 h"
    assert from_written("HLA@B", {}) == "HLA@B+ctrl" and treatment_of(from_written("HLA@5", {})) == ""


def test_distance_is_in_logarithms():
    at = Treatment(1.0, 24.0)
    assert at.distance(Treatment(10.0, 24.0)) == pytest.approx(2.302585, rel=1e-6)
    assert at.distance(Treatment(0.1, 48.0)) == pytest.approx(2.302585 + 0.693147, rel=1e-6)
