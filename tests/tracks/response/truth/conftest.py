"""The truth of the tiny screen."""

import pytest

from bench.data.task import Task
from bench.tracks.response.truth import truth


@pytest.fixture(scope="module")
def facts(tiny, tiny_split):
    return truth.compute(Task(tiny, tiny_split))
