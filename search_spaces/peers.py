"""Networks by others, trained by the same loop on the same splits, to stand beside the arms.

On the waveform: EAT-S (reference [17] of the paper: Tables 1, 2 and 4), ACDNet ([61]: Table 1) and EnvNet-v2 ([54]:
Table 1). On what is made of it: SB-CNN and CNN10 on log-mel spectrograms (CNN10, pre-trained, is in Table 2), TIM-Net
on MFCCs ([72]: Table 3). They take part in no comparison of the arms: they differ from the reference in everything.
"""

from collections.abc import Mapping
from types import MappingProxyType

from sweeper.model.config import ACDNetConfig, EATConfig
from sweeper.model.rivals import CNN10Config, EnvNetV2Config, SBCNNConfig, TIMNetConfig
from sweeper.study import Network

PEERS: Mapping[str, Network] = MappingProxyType(
    {
        "eat-s": EATConfig(),
        "acdnet": ACDNetConfig(),
        "envnet-v2": EnvNetV2Config(),
        "sb-cnn": SBCNNConfig(),
        "cnn10": CNN10Config(),
        "tim-net": TIMNetConfig(),
    }
)
