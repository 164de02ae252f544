"""Networks by others, trained by the same loop on the same splits, to stand beside the arms.

EAT-S (reference [17] of the paper: Tables 1, 2 and 4) and ACDNet (reference [61]: Table 1). They take part in no
comparison with the reference: they differ from it in everything.
"""

from collections.abc import Mapping
from types import MappingProxyType

from sweeper.model.config import ACDNetConfig, EATConfig
from sweeper.study import Network

PEERS: Mapping[str, Network] = MappingProxyType({"eat-s": EATConfig(), "acdnet": ACDNetConfig()})
