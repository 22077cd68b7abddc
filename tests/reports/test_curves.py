"""The curves of MCC: a panel for each axis that was made, a line for each row."""

import pandas as pd
import pytest

from bench.reports.figures.curves import chart, draw_curves


def made(axes=("noise", "hits")):
    rows = [
        {"axis": axis, "value": value, "model": model, "mcc_within": level / (1 + value), "n_seeds": 3}
        for axis in axes
        for value in (1.0, 2.0, 10.0)
        for model, level in (("ica", 0.8), ("noise", 0.0))
    ]
    return pd.DataFrame(rows).assign(
        mcc_within_ci_low=lambda t: t["mcc_within"] - 0.2, mcc_within_ci_high=lambda t: t["mcc_within"] + 2.0
    )


@pytest.mark.ci
def test_each_axis_has_a_panel_and_values_stand_in_their_order(tmp_path):
    found = chart(made(), "g1").to_dict()
    assert len(found["hconcat"]) == 2
    first = found["hconcat"][0]["layer"][0]["encoding"]
    assert first["x"]["sort"] == ["1", "2", "10"]
    assert first["color"]["scale"]["domain"] == ["ica", "noise"]
    assert len(chart(made(["noise"]), "g1").to_dict()["hconcat"]) == 1
    files = draw_curves(made(["noise"]), "g1", tmp_path)
    assert {path.name for path in files} == {"curves.pdf", "curves.svg", "curves.png"}
    assert b"noise of a gene" in (tmp_path / "curves.svg").read_bytes()
