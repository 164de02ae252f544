"""Rivals of Tables 1-4 besides EAT-S and ACDNet, as plain data: one on the waveform, three on what is made of it.

    EnvNetV2Config   the waveform            ``model.envnet``   Tokozume et al. 2018 (reference [54])
    SBCNNConfig      log-mel spectrogram     ``model.sbcnn``    Salamon and Bello 2017
    CNN10Config      log-mel spectrogram     ``model.cnn10``    Kong et al. 2020 (what reference [63] trained)
    TIMNetConfig     MFCC, for emotions      ``model.timnet``   Ye et al. 2023 (reference [72])

Each hears the same clips as the dual-branch network, spectrograms and coefficients are computed inside. This file
imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sweeper.model.checks import check_dropout, check_positive
from sweeper.study import Network

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class EnvNetV2Config(Network):
    """EnvNet-v2, see ``model.envnet``. By default its authors' rate and length, and ESC-50's classes.

    Attributes:
        classes: number of logits.
        sample_rate: in Hz; the first pooling is as long as published in time, whatever the rate.
        samples: of a clip; the first dense layer has weights for just so many.
        width: of the two dense layers.
        dropout: after each of them.

    Raises:
        ValueError: for a value that names no network.
    """

    classes: int = 50
    sample_rate: int = 44_100
    samples: int = 66_650
    width: int = 4096
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_positive(self, "classes", "sample_rate", "samples", "width")
        check_dropout(self.dropout)

    @property
    def pool(self) -> int:
        """How many outputs of the front end make one column of the picture: 5.8 ms."""
        return max(1, round(64 * self.sample_rate / 44_100))

    @property
    def columns(self) -> int:
        """How many columns are left of the picture where the dense layers begin; less than 1 if the clip is short."""
        length = (self.samples - 64) // 2 + 1
        length = ((length - 16) // 2 + 1 + self.pool - 1) // self.pool
        for kernel, pool in ((8, 3), (4, 2), (2, 2), (2, 2)):
            length = -(-(length - 2 * (kernel - 1)) // pool)
        return length

    def filled(self, classes: int, sample_rate: int, samples: int) -> Self:
        """See ``Network``."""
        network = super().filled(classes, sample_rate, samples)
        if network.columns < 1:
            raise ValueError(
                f"EnvNet-v2 needs clips of about 0.4 s, this recipe's have {samples} samples "
                f"({samples / sample_rate:g} s at {sample_rate} Hz); leave out envnet-v2 or take longer clips"
            )
        return network

    def build(self) -> nn.Module:
        """``sweeper.model.envnet.EnvNetV2``."""
        from sweeper.model.envnet import EnvNetV2

        return EnvNetV2(self)


@dataclass(frozen=True, kw_only=True)
class SBCNNConfig(Network):
    """SB-CNN, see ``model.sbcnn``. By default its authors' rate and length, and UrbanSound8K's classes.

    Attributes:
        classes: number of logits.
        sample_rate: in Hz; a frame is 23 ms, whatever the rate.
        samples: of a clip; the dense layer has weights for just so many.
        bands: of the log-mel spectrogram.
        dropout: before each dense layer.

    Raises:
        ValueError: for a value that names no network.
    """

    classes: int = 10
    sample_rate: int = 44_100
    samples: int = 131_072
    bands: int = 128
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_positive(self, "classes", "sample_rate", "samples")
        check_dropout(self.dropout)
        if self.bands < 108:
            raise ValueError(f"bands={self.bands} are fewer than its convolutions use up; choose at least 108")

    @property
    def window(self) -> int:
        """Samples of a frame; frames don't overlap."""
        return max(1, round(1024 * self.sample_rate / 44_100))

    @property
    def columns(self) -> int:
        """How many columns are left of the picture where the dense layers begin; less than 1 if the clip is short."""
        return ((self.samples // self.window - 4) // 2 - 4) // 2 - 4

    def filled(self, classes: int, sample_rate: int, samples: int) -> Self:
        """See ``Network``."""
        network = super().filled(classes, sample_rate, samples)
        if network.columns < 1:
            raise ValueError(
                f"SB-CNN needs clips of {32 * network.window} samples, this recipe's have {samples} "
                f"({samples / sample_rate:g} s at {sample_rate} Hz); leave out sb-cnn or take longer clips"
            )
        return network

    def build(self) -> nn.Module:
        """``sweeper.model.sbcnn.SBCNN``."""
        from sweeper.model.sbcnn import SBCNN

        return SBCNN(self)


@dataclass(frozen=True, kw_only=True)
class CNN10Config(Network):
    """CNN10 of PANNs, see ``model.cnn10``. By default its authors' rate, length and classes (AudioSet's).

    Attributes:
        classes: number of logits.
        sample_rate: in Hz; windows of 32 ms, 10 ms apart, whatever the rate.
        samples: of a clip.
        bands: of the log-mel spectrogram.
        width: channels of the first block; each further one has twice as many.

    Raises:
        ValueError: for a value that names no network.
    """

    classes: int = 527
    sample_rate: int = 32_000
    samples: int = 320_000
    bands: int = 64
    width: int = 64

    def __post_init__(self) -> None:
        check_positive(self, "classes", "sample_rate", "samples", "width")
        if self.bands < 8:
            raise ValueError(f"bands={self.bands} are halved three times; choose at least 8")

    def filled(self, classes: int, sample_rate: int, samples: int) -> Self:
        """See ``Network``."""
        if samples < 0.102 * sample_rate:
            raise ValueError(
                f"CNN10 needs clips of 0.11 s, this recipe's have {samples} samples ({samples / sample_rate:g} s at "
                f"{sample_rate} Hz); leave out cnn10 or take longer clips"
            )
        return super().filled(classes, sample_rate, samples)

    def build(self) -> nn.Module:
        """``sweeper.model.cnn10.CNN10``."""
        from sweeper.model.cnn10 import CNN10

        return CNN10(self)


@dataclass(frozen=True, kw_only=True)
class TIMNetConfig(Network):
    """TIM-Net, see ``model.timnet``. By default its authors' rate, the length and the classes of their RAVDESS.

    Attributes:
        classes: number of logits.
        sample_rate: in Hz; windows of 50 ms, 12.5 ms apart, whatever the rate.
        samples: of a clip.
        coefficients: MFCCs of a frame.
        width: channels of each block.
        dilations: blocks in each direction, of dilation 1, 2, 4, …
        dropout: of whole channels, twice in each block.

    Raises:
        ValueError: for a value that names no network.
    """

    classes: int = 8
    sample_rate: int = 22_050
    samples: int = 110_000
    coefficients: int = 39
    width: int = 39
    dilations: int = 8
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_positive(self, "classes", "sample_rate", "samples", "coefficients", "width", "dilations")
        check_dropout(self.dropout)

    def filled(self, classes: int, sample_rate: int, samples: int) -> Self:
        """See ``Network``."""
        if samples < 0.1 * sample_rate:
            raise ValueError(
                f"TIM-Net needs clips of 0.1 s, this recipe's have {samples} samples ({samples / sample_rate:g} s at "
                f"{sample_rate} Hz); leave out tim-net or take longer clips"
            )
        return super().filled(classes, sample_rate, samples)

    def build(self) -> nn.Module:
        """``sweeper.model.timnet.TIMNet``."""
        from sweeper.model.timnet import TIMNet

        return TIMNet(self)
