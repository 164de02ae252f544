"""EnvNet-v2: Tokozume, Ushiku, Harada 2018, "Learning from Between-class Examples for Deep Sound Recognition", ICLR
(reference [54] of Sun et al. 2025). 101 M parameters for 50 classes and clips of 66,650 samples at 44.1 kHz, as Abdoli
et al. 2019 (Expert Systems with Applications 136:252-263) and reference [61] count them.

    front end   conv of 64 taps at stride 2, 1 -> 32; conv of 16 taps at stride 2, 32 -> 64; max-pool by 64; the 64
                channels become the frequency axis of a one-channel picture [64, columns]
    back end    pairs of convs, each pair followed by a max-pool:
                8x8, 32, pool 5x3 | 1x4, 64, pool 1x2 | 1x2, 128, pool 1x2 | 1x2, 256, pool 1x2
                dense layers of 4096 and 4096, with ReLU and dropout 0.5; linear

Each conv is followed by batch normalisation and ReLU, has no bias and is not padded; the last columns are pooled too
where fewer are left than the pool is wide.

Differences to the authors' code
- At another rate, the first pool is as long in time (5.8 ms): 12 outputs at 8 kHz. Taps and strides stay.
- The first dense layer is as wide as the clip makes it: it has 84 M weights for 66,650 samples at 44.1 kHz, and 52 M
  for 1 s at 8 kHz.
- Initial values as ``model.initialisation`` says.
- How it is trained and tested is the recipe's, see ``search_spaces.rival_recipes``.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from sweeper.model.network import check_waveform
from sweeper.model.rivals import EnvNetV2Config
from sweeper.study import Output

# Of each pair: channels, kernel, pool.
PAIRS = ((32, (8, 8), (5, 3)), (64, (1, 4), (1, 2)), (128, (1, 2), (1, 2)), (256, (1, 2), (1, 2)))


class EnvNetV2(nn.Module):
    """``[batch, 1, time] -> Output`` for clips of exactly ``config.samples``."""

    def __init__(self, config: EnvNetV2Config) -> None:
        super().__init__()
        self.samples = config.samples
        self.front = nn.Sequential(
            *_conv(nn.Conv1d(1, 32, 64, stride=2, bias=False)),
            *_conv(nn.Conv1d(32, 64, 16, stride=2, bias=False)),
            nn.MaxPool1d(config.pool, ceil_mode=True),
        )
        layers: list[nn.Module] = []
        in_channels = 1
        for channels, kernel, pool in PAIRS:
            for i, o in pairwise((in_channels, channels, channels)):
                layers += _conv(nn.Conv2d(i, o, kernel, bias=False))
            layers.append(nn.MaxPool2d(pool, ceil_mode=True))
            in_channels = channels
        self.back = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Linear(in_channels * 10 * config.columns, config.width),
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(config.width, config.width),
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
        )
        self.head = nn.Linear(config.width, config.classes)

    def forward(self, waveform: Tensor) -> Output:
        """Classify clips; ``features["fused"]`` is what the last layer reads, ``[batch, width]``.

        Raises:
            ValueError: if the shape is another one, or the clips are of another length.
        """
        check_waveform(waveform, self.samples)
        if waveform.shape[2] != self.samples:
            raise ValueError(f"expected {self.samples} samples per clip, got a waveform of {list(waveform.shape)}")
        feature = self.dense(self.back(self.front(waveform).unsqueeze(1)).flatten(1))
        return Output(self.head(feature), {"fused": feature}, {})


def _conv(convolution: nn.Conv1d | nn.Conv2d) -> tuple[nn.Module, ...]:
    """The convolution, its batch normalisation and ReLU."""
    norm = nn.BatchNorm1d if isinstance(convolution, nn.Conv1d) else nn.BatchNorm2d
    return convolution, norm(convolution.out_channels), nn.ReLU(inplace=True)
