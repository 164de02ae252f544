"""CNN10 of PANNs: Kong et al. 2020, "PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern
Recognition", IEEE/ACM TASLP 28:2880-2894. 5,219,279 parameters for AudioSet's 527 classes. What Table 2 of Sun et al.
2025 calls CNN10 [63] is this network, pre-trained; here it starts from nothing.

    picture     log-mel spectrogram, 64 bands, windows of 32 ms, 10 ms apart; batch normalisation of each band
    blocks      of 64, 128, 256 and 512 channels: two 3x3 convs, each with batch normalisation and ReLU; then the mean
                over 2x2, after the last block of nothing
    aggregate   mean over frequency; the largest value over time plus the mean; dense 512, ReLU; linear

Dropout of 0.2 after each block, 0.5 before each dense layer. Convs are padded and have no bias.

Differences to the authors' code
- No pre-training, and no SpecAugment: augmentations are the recipe's, of the waveform.
- Bands reach from 0 to half of the recipe's rate; theirs from 50 Hz to 14 kHz at 32 kHz.
- Their logits are of many labels at once; here softmax and cross-entropy, as for all networks.
- Initial values as ``model.initialisation`` says (theirs: Xavier's).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from sweeper.model.rivals import CNN10Config
from sweeper.model.spectra import LogMel
from sweeper.study import Output

BLOCKS = 4


class CNN10(nn.Module):
    """``[batch, 1, time] -> Output`` for any time of at least 11 frames of 10 ms."""

    def __init__(self, config: CNN10Config) -> None:
        super().__init__()
        window, hop = round(0.032 * config.sample_rate), round(0.01 * config.sample_rate)
        self.picture = LogMel(config.sample_rate, config.bands, window, hop)
        self.norm = nn.BatchNorm1d(config.bands)
        widths = [config.width * 2**block for block in range(BLOCKS)]
        self.blocks = nn.ModuleList(_block(i, o) for i, o in pairwise((1, *widths)))
        self.dense = nn.Linear(widths[-1], widths[-1])
        self.head = nn.Linear(widths[-1], config.classes)

    def forward(self, waveform: Tensor) -> Output:
        """Classify clips; ``features["fused"]`` is what the last layer reads."""
        picture = self.norm(self.picture(waveform)).unsqueeze(1)
        for number, block in enumerate(self.blocks):
            picture = block(picture)
            if number < BLOCKS - 1:
                picture = functional.avg_pool2d(picture, 2)
            picture = functional.dropout(picture, 0.2, self.training)
        steps = picture.mean(2)
        pooled = functional.dropout(steps.amax(2) + steps.mean(2), 0.5, self.training)
        feature = functional.dropout(functional.relu(self.dense(pooled)), 0.5, self.training)
        return Output(self.head(feature), {"fused": feature}, {})


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, o in pairwise((in_channels, out_channels, out_channels)):
        layers += [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
