"""Which parts of the *recipe* earn their place? The full network, each arm trained without one part of the recipe.

The paper ablates its modules and keeps the recipe; its text names most parts of that in one sentence (Section 4.1.2).
What each adds is asked here, of the recipe `paper` as of the smaller ones: these have no noise, mixing or
distillation, so the reference adds them, and each arm takes away one.
"""

from dataclasses import replace
from typing import Any

from sweeper.augmentation_config import AugmentationConfig, MixingConfig
from sweeper.model.config import SIZES
from sweeper.search_spaces.recipes import paper, quick, small
from sweeper.search_spaces.tuning import SPACE
from sweeper.study import Arm, Recipe, Study, Table
from sweeper.training_config import DistillationConfig

SIGNAL_SET = ("gain", "polarity", "time_shift", "time_mask", "segment_gain", "cyclic_shift")
_OFF = {f"augmentation.signal.{effect}_probability": 0.0 for effect in SIGNAL_SET}


def _whole(recipe: Recipe) -> Recipe:
    """The recipe with every part that the paper's has; mixing begins after a quarter of the training at the latest."""
    training = recipe.training
    warmup = min(MixingConfig().warmup_epochs, training.epochs // 4)
    augmentation = AugmentationConfig(mixing=MixingConfig(warmup_epochs=warmup))
    return replace(recipe, training=replace(training, augmentation=augmentation, distillation=DistillationConfig()))


def _arm(name: str, removes: str, switches: dict[str, Any]) -> Arm:
    return Arm(name, removes, training=switches)


ARMS = (
    Arm("full", "nothing: the reference"),
    _arm("no-ema", "moving average of the weights", {"ema.decay": 0.0}),
    _arm("no-distillation", "self-distillation", {"distillation": None}),
    _arm("no-mixing", "mixing of clips", {"augmentation.mixing.probability": 0.0}),
    _arm("no-noise", "noise", {"augmentation.noise.probability": 0.0}),
    _arm("no-signal-set", "augmentations of the signal", _OFF),
    _arm("no-resampling", "resampling", {"augmentation.resampling.probability": 0.0}),
    _arm("no-smoothing", "label smoothing", {"label_smoothing": 0.0}),
    _arm("no-clipping", "clipping of gradients", {"clip_norm": None}),
    _arm("no-one-cycle", "one-cycle schedule, for a constant rate and first beta", {"schedule": "constant"}),
)

STUDY = Study(
    network=SIZES["paper"],
    arms=ARMS,
    tables=(Table("recipe", tuple(arm.name for arm in ARMS), "Parts of the recipe", columns={}),),
    recipes=(_whole(quick()), _whole(small()), paper()),
    space=SPACE,
)
