"""Networks by others, trained by the same loop on the same splits, to stand beside the ablations.

EAT-S (reference [17] of the paper: Tables 1, 2 and 4) and ACDNet (reference [61]: Table 1). They take part in no
comparison with the reference: they differ from it in everything.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from sweeper.model.config import ACDNetConfig, EATConfig

EAT_SHORTEST = 32_768  # samples; shorter than its reflection padding reaches


def eat_s(classes: int, sample_rate: int, length: int) -> EATConfig:
    """EAT-S for clips of `length` samples.

    Raises:
        ValueError: the clips are too short for it.
    """
    if length < EAT_SHORTEST:
        raise ValueError(
            f"EAT-S needs clips of at least {EAT_SHORTEST} samples, this recipe's have {length} "
            f"({length / sample_rate:g} s at {sample_rate} Hz); leave out eat-s or take the recipe paper"
        )
    return EATConfig(classes=classes, samples=max(EATConfig().samples, length))


def acdnet(classes: int, sample_rate: int, length: int) -> ACDNetConfig:
    """ACDNet, its front end at this sample rate (Hz); any `length`."""
    return ACDNetConfig(classes=classes, sample_rate=sample_rate)


PEERS: Mapping[str, Callable[[int, int, int], EATConfig | ACDNetConfig]] = MappingProxyType(
    {"eat-s": eat_s, "acdnet": acdnet}
)
