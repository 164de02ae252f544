"""The rates, lengths and crops of ACDNet's and EnvNet-v2's own papers, as recipes; the rest is said to differ.

They are for `run benchmark`: whatever networks are named hear what these two heard. Both average the answers to ten
crops of each test clip, evenly from its start to its end.

What differs from both papers
- Between-class learning: theirs mixes two sounds of different classes in every example, by their levels, and learns the
  ratio (KL divergence). Ours mixes by EAT's set, of which mixup by levels is a fourth, with both labels in full.
- SGD with Nesterov's momentum 0.9, 0.1 at first (a tenth of that for the first ten epochs), a tenth after 0.3, 0.6 and
  0.9 of the epochs; ours is AdamW by a one-cycle schedule, as for all networks. Their weight decay, 5e-4, is ours here.
- Clips are padded by half of the input's length at both ends before they are cropped, in training and in tests. Ours
  are not, so each crop lies within the clip.
- Training clips are stretched by up to 1.25 and amplified by up to 6 dB at random; ours are resampled by 0.8 to 1.2 and
  augmented by EAT's set.
- Clips are divided by full scale; ours are brought to a peak of 0.95, each.
- The last epoch's weights count, as for EnvNet-v2; ACDNet's code keeps those of the best epoch on the test clips.

What differs from one of them: see the functions.
"""

from sweeper.model.config import SIZES
from sweeper.study import EMAConfig, Recipe, TrainingConfig

CROPS = 10


def _training(epochs: int) -> TrainingConfig:
    return TrainingConfig(
        epochs=epochs,
        batch_size=64,
        max_lr=1e-3,
        weight_decay=5e-4,
        label_smoothing=0.0,
        ema=EMAConfig(),
        distillation=None,
        crops=CROPS,
    )


def acdnet() -> Recipe:
    """30,225 samples at 20 kHz (1.51 s), 2000 epochs in batches of 64 (Mohaimenuzzaman et al. 2023).

    Wants a GPU. The learning rate is ours: 1e-3 suits AdamW as 0.1 suits SGD, and was not tuned.
    """
    return Recipe(
        "acdnet", network=SIZES["paper"], training=_training(2000), sample_rate=20_000, seconds=30_225 / 20_000
    )


def envnet_v2() -> Recipe:
    """1.5 s at 44.1 kHz, 2000 epochs in batches of 64 (Tokozume et al. 2018, with between-class learning, ESC-50).

    Wants a GPU. The authors' code takes 66,650 samples, the paper says 1.5 s. It trains 1200 epochs on ESC-10 and
    UrbanSound8K, on the former at a tenth of the rate. The learning rate is ours, as for `acdnet`.
    """
    return Recipe("envnet-v2", network=SIZES["paper"], training=_training(2000), sample_rate=44_100, seconds=1.5)
