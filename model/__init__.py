"""The networks; they know torch and nothing else of this project.

Read in this order: ``config`` (what can be switched), ``layers``, ``attention``, ``macem``, ``garm``, ``fusion``,
``branches``, ``network``, ``initialisation``, ``build``; then the peers, ``eat``, ``acdnet``,
``envnet``, ``sbcnn``, ``cnn10`` and ``timnet``, of which the last three look at ``spectra``. Nothing is
imported here, so that a plan can be made from ``model.config`` without torch.
"""
