"""The second stage, shared by every frozen encoder: from its latents and a condition's actions to the response.

``mean_*`` fit it on condition means, ``token_*`` (as published) on pairs of cells; ``settings`` says which.
"""
