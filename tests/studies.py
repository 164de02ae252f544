"""The paper's study, as tests ask for it."""

from sweeper.augmentation_config import AugmentationConfig
from sweeper.model.config import ModelConfig
from sweeper.plan import Source
from sweeper.search_spaces.paper import STUDY
from sweeper.search_spaces.recipes import paper, quick, small
from sweeper.study import DistillationConfig, EMAConfig, Recipe, TrainingConfig

PAPER = Source("paper", STUDY)
__all__ = ["ARMS", "PAPER", "RECIPES", "REFERENCE", "STUDY", "TABLES", "former_small"]
ARMS = STUDY.by_name
RECIPES = {"quick": quick, "small": small, "paper": paper}
TABLES = {table.name: table for table in STUDY.tables}
REFERENCE = STUDY.reference


def former_small():
    """The recipe `small` as it was in 0.1, value by value: its trials keep their ids."""
    network = ModelConfig(
        patch=4,
        semantic_widths=(8, 16, 32, 32, 64),
        detail_widths=(16, 16, 32, 32, 64),
        transformer_width=64,
        transformer_layers=2,
        heads=4,
        feedforward=256,
        attention_reduction=8,
    )
    training = TrainingConfig(
        epochs=12,
        batch_size=32,
        max_lr=2e-3,
        ema=EMAConfig(decay=0.99),
        distillation=DistillationConfig(),
        augmentation=AugmentationConfig.signal_only(),
    )
    return Recipe("small", network=network, training=training, sample_rate=8_000, seconds=1.0)
