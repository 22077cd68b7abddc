"""The curves of MCC: a panel for each axis that was made, a line for each row."""

import pandas as pd
import pytest

from bench.reports.figures.curves import chart, draw_curves
from bench.reports.figures.style import GREY


def made(axes=("noise", "hits")):
    rows = [
        {"axis": axis, "value": value, "model": model, "mcc_within": level / (1 + value), "n_seeds": 3}
        for axis in axes
        for value in (1.0, 2.0, 10.0)
        for model, level in (("ica", 0.8), ("noise", 0.0))
    ]
    return pd.DataFrame(rows).assign(
        kind=lambda t: t["model"].map({"ica": "model", "noise": "control"}),
        mcc_within_ci_low=lambda t: t["mcc_within"] - 0.2,
        mcc_within_ci_high=lambda t: t["mcc_within"] + 2.0,
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


def test_no_two_rows_look_alike():
    names = [f"model{i:02d}" for i in range(20)] + [f"bar{i}" for i in range(6)]
    part = {"axis": "noise", "value": 1.0, "n_seeds": 3, "mcc_within_ci_low": 0.1, "mcc_within_ci_high": 0.2}
    kinds = {name: "head-room" if name.startswith("bar") else "model" for name in names}
    rows = [{**part, "model": name, "kind": kinds[name], "mcc_within": 1 / (i + 1)} for i, name in enumerate(names)]
    layers = chart(pd.DataFrame(rows), "g1").to_dict()["hconcat"][0]["layer"]
    found = layers[1]["encoding"]
    assert found["color"]["scale"]["domain"] == found["shape"]["scale"]["domain"] == names
    look = list(zip(found["color"]["scale"]["range"], found["shape"]["scale"]["range"], strict=True))
    assert len(set(look)) == len(names)
    assert {colour for colour, _ in look[20:]} == {GREY} and GREY not in {colour for colour, _ in look[:20]}
