"""Models: one file each. A file here or in ``baselines/`` that defines one public model registers it by its name.

``base``, ``encoder_model`` and ``pretrained`` are templates that models fill in. What they are made of is in packages:
``learning`` (what they share), ``response`` (the second stage of every encoder) and ``perturbed`` (parts
of PerturbedVAE).
"""
