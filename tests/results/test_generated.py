"""CSV text of tables: pandas' own, but that no name is a formula to a spreadsheet."""

import io

import numpy as np
import pandas as pd
import pytest

from bench.results.generated import plain_csv, to_csv

NAMES = ["=1+1", "@SUM(A1)", "-rf", "+x", "\tx", "KLF1", "it's", "a=b", "-1.5", "+3", "-.5E-3", "-inf", "", "-", "日本"]
WANTED = ["'=1+1", "'@SUM(A1)", "'-rf", "'+x", "'\tx", *NAMES[5:12], "", "'-", "日本"]


@pytest.mark.parametrize("kind", [object, "string", "category"])
@pytest.mark.parametrize("write", [to_csv, plain_csv])
def test_names_are_no_formulas(write, kind):
    table = pd.DataFrame({"=name": pd.Series(NAMES, dtype=kind), "value": -np.arange(float(len(NAMES))), "n": 1})
    back = pd.read_csv(io.StringIO(write(table)), dtype={"'=name": str}, keep_default_na=False)
    assert back["'=name"].tolist() == WANTED
    assert back["value"].tolist() == table["value"].tolist() and back.columns[1:].tolist() == ["value", "n"]
    assert table["=name"].tolist() == NAMES  # the table itself is as it was


def test_a_table_without_such_names_is_written_as_pandas_does():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"gene": ["A", None, "C"], "x": [*rng.normal(size=2), np.nan], "de": [True, False, True]})
    table["both"] = [1, "x", 2.5]
    assert plain_csv(table) == table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    assert plain_csv(table.iloc[:0]) == "gene,x,de,both\n"
