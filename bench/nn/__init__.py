"""Neural network parts shared by every learned model: encoders, masks, predictors, decoders, the action composer, EMA.

Torch only. An objective (JEPA, MAE, VICReg, ...) may choose among these parts and may not change them.
"""
