"""Audio: data sets, splits, the clip store and augmentation on the device."""
