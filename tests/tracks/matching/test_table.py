"""The board of profiles as it is printed."""

import pytest

from bench.tracks.matching.table import _cell


@pytest.mark.parametrize(
    ("level", "high", "text"),
    [
        (-1e-17, -1e-17, ".00±.00"),
        (-0.004, 0.02, ".00±.02"),
        (-0.19, None, "-.19"),
        (0.82, 0.92, ".82±.10"),
        (1, None, "1.00"),
    ],
)
def test_numbers_have_no_sign_where_they_are_nought(level, high, text):
    row = {"map_normalised": level} | ({} if high is None else {"map_normalised_ci_high": high})
    assert _cell(row, "map_normalised") == text
    assert _cell({"map": float("nan")}, "map") == "-"
