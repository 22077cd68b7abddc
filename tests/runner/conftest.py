"""Fixtures of tests that call the package from Python, as in a notebook."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import screens


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, and nothing published."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("BENCH_LEADERBOARDS", str(tmp_path / "none"))
    return work


@pytest.fixture(scope="session")
def adata():
    """Counts of a small screen."""
    counts, obs = screens.tiny_counts(cells=12, controls=60)
    return anndata.AnnData(sp.csr_matrix(counts.astype(np.float32)), obs=obs, var=pd.DataFrame(index=screens.GENES))
