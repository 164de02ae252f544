"""ACDNet: Mohaimenuzzaman et al. 2023, "Environmental Sound Classification on the Edge", Pattern Recognition
133:109025 (reference [61] of Sun et al. 2025). 4.74 M parameters published, for 50 classes and clips of
30,225 samples at 20 kHz.

    front end   conv of 9 taps at stride 2, 1 -> 8; conv of 5 taps at stride 2, 8 -> 64; max-pool to frames
                of 10 ms; the 64 channels become the frequency axis of a one-channel picture [64, frames]
    back end    3x3 convs in groups, each group followed by a 2x2 max-pool:
                32 | 64, 64 | 128, 128 | 256, 256 | 512, 512
                dropout; 1x1 conv to one channel per class; mean over what is left of the picture; linear

Each conv is followed by batch normalisation and ReLU and has no bias. The front end's convs are not padded.

Differences to the authors' code
- Logits, not probabilities, are returned. The linear layer starts as ``model.initialisation`` says.
- Any length is accepted: an axis that has shrunk to 1 is pooled no further (as theirs), and the last mean is
  over the whole picture (theirs is over a window of the same size, fixed when the network is made).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from sweeper.model.config import ACDNetConfig
from sweeper.model.network import check_waveform
from sweeper.study import Output

FRONT_WIDTHS = (8, 64)
BACK_WIDTHS = ((32,), (64, 64), (128, 128), (256, 256), (512, 512))


class ACDNet(nn.Module):
    """``[batch, 1, time] -> Output`` for any time of at least one frame of 10 ms."""

    def __init__(self, config: ACDNetConfig) -> None:
        super().__init__()
        frame = config.sample_rate // 100
        self.min_samples = frame + 16  # the unpadded convolutions use up 16 samples
        first, second = FRONT_WIDTHS
        self.front = nn.Sequential(
            *_conv(nn.Conv1d(1, first, 9, stride=2, bias=False)),
            *_conv(nn.Conv1d(first, second, 5, stride=2, bias=False)),
            nn.MaxPool1d(frame // 4),
        )
        groups = []
        in_channels = 1
        for widths in BACK_WIDTHS:
            layers = [_conv(nn.Conv2d(i, o, 3, padding=1, bias=False)) for i, o in pairwise((in_channels, *widths))]
            groups.append(nn.Sequential(*(layer for block in layers for layer in block)))
            in_channels = widths[-1]
        self.groups = nn.ModuleList(groups)
        self.dropout = nn.Dropout(config.dropout)
        self.to_classes = nn.Sequential(*_conv(nn.Conv2d(in_channels, config.classes, 1, bias=False)))
        self.head = nn.Linear(config.classes, config.classes)

    def forward(self, waveform: Tensor) -> Output:
        """Classify clips; ``features["fused"]`` is what the linear layer reads, ``[batch, classes]``.

        Args:
            waveform: ``[batch, 1, time]``.

        Raises:
            ValueError: if the shape is another one, or the clips are too short.
        """
        check_waveform(waveform, self.min_samples)
        picture = self.front(waveform).unsqueeze(1)
        for group in self.groups:
            picture = group(picture)
            height, width = picture.shape[2:]
            picture = functional.max_pool2d(picture, (min(2, height), min(2, width)))
        feature = self.to_classes(self.dropout(picture)).mean((2, 3))
        return Output(self.head(feature), {"fused": feature}, {})


def _conv(convolution: nn.Conv1d | nn.Conv2d) -> tuple[nn.Module, ...]:
    """The convolution, its batch normalisation and ReLU."""
    norm = nn.BatchNorm1d if isinstance(convolution, nn.Conv1d) else nn.BatchNorm2d
    return convolution, norm(convolution.out_channels), nn.ReLU(inplace=True)
