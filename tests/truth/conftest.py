"""The truth of the tiny screen."""

import pytest

from bench.tracks.response.truth import truth


@pytest.fixture(scope="module")
def facts(tiny, tiny_split):
    return truth.compute(tiny, tiny_split)
