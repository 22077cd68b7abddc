"""Tasks of PerturbedVAE's parts."""

import pytest
from perturbed_fits import planted_task, tiny_task


@pytest.fixture(scope="module")
def task():
    return tiny_task()


@pytest.fixture(scope="module")
def ten():
    return planted_task()
