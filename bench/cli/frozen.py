"""``bench frozen``: how well perturbations are recognised from a frozen encoder's embeddings of held-out cells."""

from __future__ import annotations

from collections.abc import Sequence

from bench.cli.question import ask

_DESCRIPTION = (
    "Pretrain a model's encoder (or load it from a finished run), freeze it, embed cells of test conditions, and print "
    "how well their perturbations can be recognised from the embeddings, beside principal components, a random "
    "projection and shuffled labels. The model's response head is not used. Latents of any other tool come from a file."
)


def frozen(argv: Sequence[str]) -> int:
    """``bench frozen``."""
    from bench.tracks import registry

    return ask(registry.by_verb("frozen"), argv, _DESCRIPTION)
