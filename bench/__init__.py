"""perturb-ssl-bench: compare models of single-cell perturbation response on equal terms."""

__version__ = "0.1.0"
