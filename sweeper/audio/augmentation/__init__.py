"""Batched audio augmentation on the device: ``augment``, ``augment_each`` of several runs, and their result."""

from sweeper.audio.augmentation.pipeline import Augmented, augment, augment_each

__all__ = ["Augmented", "augment", "augment_each"]
