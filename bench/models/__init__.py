"""Models, and how they are put together.

A model is anything with ``fit(datamodule)`` and ``predict_step(batch) -> [cells, genes]`` (``base``). A file here or in
``baselines/`` that defines one registers it under the file's name; a class from elsewhere is known by its dotted path
(``registry``, ``outside``). A constructor's typed arguments are the model's flags, and are checked in one place
(:mod:`bench.core.arguments`).

Models with an encoder are composed of two parts (``encoder_model``), each with arguments of its own::

    EncoderModel = EncoderMaker                     makes the encoder, which is then frozen: controls/, or
                     Pretrained                     objective + EncoderConfig + PretrainConfig (pretrained)
                 + Response                         fitted on the frozen encoder (response/): the same for all
                     OnMeans | OnTokens             by its ResponseConfig

An objective (``ssl/``) says which views of a cell there are, which heads it needs and what its loss is
(:class:`bench.training.objective.Objective`). Encoder, cells, order, optimiser, budget and the choice of the step are
those of :class:`bench.training.pretraining.Pretraining`, which no objective can reach. A registered class names its
parts in its constructor and takes their arguments by name: ``JEPA(mask=0.5, width=64, head_steps=100)``.
"""
