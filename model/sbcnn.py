"""SB-CNN: Salamon and Bello 2017, "Deep Convolutional Neural Networks and Data Augmentation for Environmental Sound
Classification", IEEE Signal Processing Letters 24(3):279-283. 241 k parameters for 10 classes and 128 frames, as Abdoli
et al. 2019 (Expert Systems with Applications 136:252-263) count them: the small, plain log-mel network.

    picture     log-mel spectrogram, 128 bands, frames of 23 ms that don't overlap
    conv 5x5, 24, max-pool 4x2, ReLU | conv 5x5, 48, max-pool 4x2, ReLU | conv 5x5, 48, ReLU
    dense 64, ReLU; linear; dropout 0.5 before each

Convs have a bias and are not padded.

Differences to the paper
- It hears the whole clip of the recipe. Theirs hears 3 s (128 frames) and averages over all such patches.
- Each band of the spectrogram is brought to mean 0 and variance 1 by a batch normalisation without parameters; what
  theirs does is not said.
- Bands reach up to half of the recipe's rate, theirs to 22,050 Hz. The window is Hann's, the Fourier transform has 2048
  points at least, so that no band is empty.
- Initial values as ``model.initialisation`` says; trained as the recipe says, theirs by SGD at a constant 0.01 with an
  L2 penalty of 0.001 on the dense layers.
"""

from __future__ import annotations

from torch import Tensor, nn

from sweeper.model.rivals import SBCNNConfig
from sweeper.model.spectra import LogMel
from sweeper.study import Output


class SBCNN(nn.Module):
    """``[batch, 1, time] -> Output`` for clips of exactly ``config.samples``."""

    def __init__(self, config: SBCNNConfig) -> None:
        super().__init__()
        self.picture = LogMel(config.sample_rate, config.bands, config.window, config.window)
        self.norm = nn.BatchNorm1d(config.bands, affine=False)
        self.convs = nn.Sequential(
            *(nn.Conv2d(1, 24, 5), nn.MaxPool2d((4, 2)), nn.ReLU(inplace=True)),
            *(nn.Conv2d(24, 48, 5), nn.MaxPool2d((4, 2)), nn.ReLU(inplace=True)),
            *(nn.Conv2d(48, 48, 5), nn.ReLU(inplace=True)),
        )
        rows = ((config.bands - 4) // 4 - 4) // 4 - 4
        self.dense = nn.Sequential(
            *(nn.Dropout(config.dropout), nn.Linear(48 * rows * config.columns, 64)),
            *(nn.ReLU(inplace=True), nn.Dropout(config.dropout)),
        )
        self.head = nn.Linear(64, config.classes)

    def forward(self, waveform: Tensor) -> Output:
        """Classify clips; ``features["fused"]`` is what the last layer reads, ``[batch, 64]``."""
        picture = self.norm(self.picture(waveform)).unsqueeze(1)
        feature = self.dense(self.convs(picture).flatten(1))
        return Output(self.head(feature), {"fused": feature}, {})
