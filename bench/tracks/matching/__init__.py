"""Profiles of wells: are replicates, perturbations of one target, and modalities that share a target found again?

Source: the evaluation of CPJUMP1 (Chandrasekaran et al. 2024) and that of CellCLIP, on copairs.
"""
