"""Losses of the self-supervised objectives as pure functions: tensors in, scalar out. Torch only."""
