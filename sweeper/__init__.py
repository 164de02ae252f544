"""Which parts of an audio network earn their place? Paired, resumable ablation sweeps."""

__version__ = "0.1.0"
