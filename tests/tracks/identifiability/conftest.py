"""A small screen of known latents, drawn once."""

import pytest

from bench.data.known_latents import load

TINY = "perturbations=12,cells=100,controls=200,d_v=4,d_i=3,genes=24"


@pytest.fixture(scope="session")
def problem():
    return load(f"g1:{TINY}", 1)
