"""Batched audio augmentation on the device: ``augment`` and its result."""

from sweeper.audio.augmentation.pipeline import Augmented, augment

__all__ = ["Augmented", "augment"]
