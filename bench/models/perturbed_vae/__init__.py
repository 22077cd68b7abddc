"""Parts of PerturbedVAE; the model itself is in :mod:`bench.models.perturbed_vae.perturbed_vae`."""
