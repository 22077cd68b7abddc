"""What was done to a cell, as a vector: features of the target, kind of intervention, and identity."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.core.errors import BenchError, unknown
from bench.nn.initialise import linear

MODES = (
    "crispri",
    "crispra",
    "overexpression",
    "knockout",
    "inhibitor",
    "agonist",
    "degrader",
    "binder",
    "control",
    "unknown",
)

# As large as a projected feature vector: identities must tell perturbations apart within the few dozen steps before a
# response overfits. With 0.02 they were still near zero when the val error was smallest.
_EMBEDDING_STD = 0.5


class Composer(nn.Module):
    """Action vectors ``a = c * (1 + s) + t``.

    ``c`` is the mean of the linear maps of the known feature modalities, plus (optionally) a learned vector for the
    perturbation's identity. ``s`` and ``t`` are linear maps, zero at the start, of an embedding of the mode; those of
    dose and time are added to them, so that a compound's vector is scaled and shifted by its dose as by its mode.

    The identity vector lets a model fit each training perturbation; in training it is dropped at random per action, so
    that the features alone must work too, as they have to for perturbations never seen.

    Args:
        feature_widths: Feature width of each modality.
        width: Width ``E`` of an action.
        n_modes: Number of modes.
        mode_width: Width of the mode embedding.
        n_identities: Perturbations that have an identity vector; 0 = none.
        identity_dropout: Probability that an action's identity is dropped in training.
        n_treatments: Numbers that say dose and time; 0 = there are none.

    Raises:
        BenchError: If there is neither a modality nor an identity.

    Source: BioJEPAC report v0.4 (protein 320, chemical 768, dna 1536, width 320, mode 64: 882,880 parameters);
    averaging modalities, identities, dose and time are additions.
    """

    def __init__(
        self,
        feature_widths: Mapping[str, int],
        width: int = 320,
        n_modes: int = len(MODES),
        mode_width: int = 64,
        n_identities: int = 0,
        identity_dropout: float = 0.5,
        n_treatments: int = 0,
    ) -> None:
        super().__init__()
        if not feature_widths and not n_identities:
            raise BenchError("an action composer needs features or identities; give a feature bank or n_identities.")
        if not 0 <= identity_dropout <= 1:
            raise BenchError(f"identity_dropout is {identity_dropout:g}; expected a probability in [0, 1].")
        self.width, self.identity_dropout = width, identity_dropout
        # In a fixed order, so that the same seed gives the same weights however the mapping was built; keys are
        # prefixed because a module may not be called e.g. "type".
        self.modalities = tuple(sorted(feature_widths))
        self.project = nn.ModuleDict({_key(name): linear(feature_widths[name], width) for name in self.modalities})
        self.mode = nn.Embedding(n_modes, mode_width)
        self.scale = linear(mode_width, width, zero=True)
        self.shift = linear(mode_width, width, zero=True)
        # Row 0 stands for every unseen perturbation: a padding row, zero and without gradient.
        self.identity = nn.Embedding(n_identities + 1, width, padding_idx=0) if n_identities else None
        if self.identity is not None:
            nn.init.normal_(self.identity.weight[1:], std=_EMBEDDING_STD)
        self.treatment_scale = linear(n_treatments, width, bias=False, zero=True) if n_treatments else None
        self.treatment_shift = linear(n_treatments, width, bias=False, zero=True) if n_treatments else None

    def forward(
        self,
        features: Mapping[str, Tensor],
        known: Mapping[str, Tensor],
        mode: Tensor,
        identity: Tensor | None = None,
        generator: torch.Generator | None = None,
        treatment: Tensor | None = None,
    ) -> Tensor:
        """Compose actions of any leading shape, e.g. ``[B, A]``.

        Args:
            features: Finite features of each modality, ``[..., F_m]``; ignored where not known.
            known: Whether a modality's features are known, bool ``[...]``.
            mode: Index into the modes, int64 ``[...]``.
            identity: 1 + index of the perturbation, 0 for unseen, int64 ``[...]``; ignored without identities.
            generator: Random stream for dropping identities in training.
            treatment: Standardised logarithms of dose and time ``[..., n_treatments]``; ignored without any.

        Returns:
            ``[..., E]``. Exactly zero, whatever the mode, for an action of which nothing is known.

        Raises:
            BenchError: If a modality is missing.
        """
        content = torch.zeros((), device=mode.device)
        count = torch.zeros(mode.shape, device=mode.device)
        for name in self.modalities:
            if name not in features:
                raise unknown("modality in the features of a batch", name, features)
            has = known[name]
            content = content + self.project[_key(name)](features[name]) * has.unsqueeze(-1)
            count = count + has
        content = content / count.clamp(min=1).unsqueeze(-1)
        defined = count > 0
        if self.identity is not None and identity is not None:
            kept = self._drop(identity, generator)
            content = content + self.identity(kept)
            defined = defined | (kept > 0)
        embedded = self.mode(mode)
        scale, shift = self.scale(embedded), self.shift(embedded)
        if self.treatment_scale is not None and self.treatment_shift is not None and treatment is not None:
            scale, shift = scale + self.treatment_scale(treatment), shift + self.treatment_shift(treatment)
        action = content * (1 + scale) + shift
        out: Tensor = action * defined.unsqueeze(-1)
        return out

    def _drop(self, identity: Tensor, generator: torch.Generator | None) -> Tensor:
        if not self.training or self.identity_dropout == 0:
            return identity
        device = identity.device if generator is None else generator.device
        chance = torch.rand(identity.shape, generator=generator, device=device).to(identity.device)
        return torch.where(chance < self.identity_dropout, 0, identity)


def _key(name: str) -> str:
    return f"from_{name.replace('.', '_')}"
