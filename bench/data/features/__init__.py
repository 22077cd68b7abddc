"""Gene feature banks: what a model is told about the genes that are perturbed."""
