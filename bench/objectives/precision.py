"""Losses are computed in at least float32, whatever autocast made of their inputs."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor itself, or its float32 copy if it is in half precision."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
