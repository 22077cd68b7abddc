"""Draws in a file: read as they were kept, also as earlier versions kept them."""

import numpy as np
import pyarrow as pa

from bench.results import draws, parquet

RNG = np.random.default_rng(0)
#: Two owners; changes of every size, none, the largest of a float16, and one that is no number.
FOUND = {
    "b": {("all", "r"): RNG.normal(size=7) * 1e-3, ("all", "size"): np.zeros(7)},
    "a": {
        ("all", "r", "-pc1"): RNG.normal(size=7) * 1e4,
        ("sub", "r", "mean"): np.array([np.nan, 65504, -1e-7, *[0] * 4]),
    },
}


def test_what_is_read_is_what_was_kept_to_eleven_bits():
    read = draws.unstacked(parquet.read("draws", parquet.pack(draws.stacked(FOUND))))
    assert list(read) == ["a", "b"]
    for owner, some in FOUND.items():
        assert [key[: len(given)] for key, given in zip(read[owner], sorted(some))] == sorted(some)
        for key, row in zip(read[owner].values(), (some[key] for key in sorted(some))):
            np.testing.assert_array_equal(key, row.astype(np.float16).astype(float))


def test_columns_of_an_earlier_version_are_read():
    rows = [(owner, *key, *[""] * (3 - len(key))) for owner, some in sorted(FOUND.items()) for key in sorted(some)]
    values = np.array([some[key] for _, some in sorted(FOUND.items()) for key in sorted(some)]).astype(np.float16)
    columns = dict(zip(("owner", "scope", "metric", "answer"), map(pa.array, zip(*rows, strict=True)), strict=True))
    before = pa.table({**columns, **{f"draw{i:02d}": pa.array(values[:, i]) for i in range(7)}})
    old, new = draws.unstacked(before), draws.unstacked(draws.stacked(FOUND))
    assert [list(of) for of in old.values()] == [list(of) for of in new.values()]
    for owner, some in old.items():
        for key, row in some.items():
            np.testing.assert_array_equal(row, new[owner][key])
