"""PerturbedVAE's network before it is trained: its sizes without separation, and data that it refuses."""

from typing import ClassVar

import pytest
import torch
from perturbed_fits import fitted

from bench.core.errors import BenchError
from bench.data.features.treatments import Treatments
from bench.models.perturbed_vae.net import PerturbedNet
from bench.models.perturbed_vae.perturbed_vae import PerturbedVAE


class Table(torch.nn.Module):
    identities = 80
    widths: ClassVar = {"view_a": 16, "view_b": 16}
    treatments = Treatments()


@pytest.mark.parametrize("genes", [500, 2_000])
def test_without_separation_there_are_as_many_parameters(genes):
    def parameters(name):
        model = PerturbedVAE(ablation=name)
        target = torch.nn.Module()
        target.table = Table()
        shape = model.shape(genes, target)
        return shape, sum(p.numel() for p in PerturbedNet(target, shape, model.settings).parameters())

    (full, wanted), (one, got) = parameters("full"), parameters("no_sep")
    assert (full.invariant, full.perturbed, one.invariant, one.perturbed) == (70, 35, 0, 105)
    assert one.hidden > full.hidden
    assert abs(got / wanted - 1) < 0.02


def test_counts_that_are_none_are_refused(ten):
    with pytest.raises(BenchError, match=r"likelihood=nb needs counts, and \d+ of 920 cells of 'planted'.*gaussian"):
        fitted(ten, likelihood="nb", features="pca")
