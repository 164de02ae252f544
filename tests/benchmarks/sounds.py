"""A study: the paper's arms on sounds of some seconds, of which there are a few hundred, within minutes on a CPU.

    python -m sweeper run ablations tests/benchmarks/sounds.py --dataset esc10 --data ESC-50 --seeds 1 --peers sb-cnn
    python -m sweeper run ablations tests/benchmarks/sounds.py --dataset urbansound8k --data UrbanSound8K \\
        --epochs 30 --seeds 1 --peers sb-cnn
    python -m sweeper run ablations tests/benchmarks/sounds.py --dataset esc10 --data ESC-50 --recipe slower \\
        --seeds 1 --arm full --peers sb-cnn

`small` with the network of `quick`, in 60 epochs of batches half as large, for so few sounds; and each test clip is
heard at five places, as one second of five may be silent. Values were chosen before anything was trained, not tuned.
`slower` has a quarter of the learning rate, for SB-CNN, which did not learn at all on some folds.
"""

from dataclasses import replace

from sweeper.model.config import SIZES
from sweeper.search_spaces.paper import STUDY as PAPER
from sweeper.search_spaces.recipes import small
from sweeper.study import Recipe

_SMALL = small()
RECIPE = Recipe(
    "sounds",
    network=SIZES["tiny"],
    training=replace(_SMALL.training, epochs=60, batch_size=16, crops=5),
    sample_rate=_SMALL.sample_rate,
    seconds=_SMALL.seconds,
)
SLOWER = replace(RECIPE, name="slower", training=replace(RECIPE.training, max_lr=RECIPE.training.max_lr / 4))
STUDY = replace(PAPER, recipes=(SLOWER, RECIPE))  # the last is the default
