"""Models: one file each. A file here or in ``baselines/`` that defines one public model registers it by its name."""
