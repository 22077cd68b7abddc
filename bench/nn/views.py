"""Augmented views of cells: thinned counts, jitter, hidden genes. Shared by every objective that compares views."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.nn.masking import Mask, exact_mask


def thin(cells: Tensor, keep: Tensor, generator: torch.Generator) -> Tensor:
    """Thin cells as if fewer molecules had been read, and normalise again.

    Counts are recovered up to the cell's depth, which is not known: the smallest positive value is taken for one
    molecule, and other values are rounded to whole ones.

    Args:
        cells: log1p expression ``[B, G]``.
        keep: Share of molecules kept ``[B, 1]``.
        generator: Random stream.

    Returns:
        log1p expression ``[B, G]``, of the same total per cell.
    """
    rates = torch.expm1(cells)
    positive = torch.where(rates > 0, rates, torch.inf)
    one = positive.amin(dim=1, keepdim=True)
    counts = torch.where(torch.isfinite(one), rates / one, 0.0)
    # Drawn where the generator lives, so that a seed gives the same views on every device.
    kept = torch.binomial(counts.round().cpu(), keep.cpu().expand(counts.shape), generator=generator).to(cells.device)
    scale = rates.sum(dim=1, keepdim=True) / kept.sum(dim=1, keepdim=True).clamp_min(1e-6)
    return torch.log1p(kept * scale)


def view(
    cells: Tensor, mask: float, least_kept: float, jitter: float, generator: torch.Generator
) -> tuple[Tensor, Mask]:
    """One augmented view of each cell, drawn independently of every other.

    Views never pair a perturbed cell with a control: that would use labels.

    Args:
        cells: log1p expression ``[B, G]``.
        mask: Share of genes that are hidden.
        least_kept: Smallest share of molecules that thinning keeps; each cell's share is uniform from there to 1.
        jitter: SD of Gaussian noise on what is not zero.
        generator: Random stream, on the CPU.

    Returns:
        log1p expression ``[B, G]``, and which genes of it an encoder may not see.
    """
    keep = least_kept + (1 - least_kept) * torch.rand(len(cells), 1, generator=generator)
    seen = thin(cells, keep.to(cells.device), generator)
    if jitter:
        noise = jitter * torch.randn(cells.shape, generator=generator).to(cells.device)
        seen = torch.where(seen > 0, (seen + noise).clamp_min(0.0), seen)
    return seen, exact_mask(len(cells), cells.shape[1], mask, generator).to(cells.device)
