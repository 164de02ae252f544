"""Statistics on arrays: pure NumPy and SciPy functions, no I/O, randomness as a parameter.

Which function answers which question:

- How sure is an arm's mean over folds and seeds? `mean_interval`
- Is an arm better than the reference over paired blocks, and by how much? `compare_paired`
- Could the signs of the differences be chance, and how small can that p get? `sign_flip_p`, `smallest_p`
- Several arms were tested: which p-values stand? `holm`
- A single split: how sure is an accuracy, or a difference? `bootstrap_accuracy`, `bootstrap_difference`
- A single split: do two trained networks err differently? `mcnemar_clustered`
- Before running: what difference can be found? `smallest_detectable_difference`
- Before running: can any arm become significant at all? `blocks_needed`, `reach_sentence`

A *block* is a fold × seed on which both arms were run. `tests/statistics/simulate.py` prints the error rates
of each method beside those of the naive one.
"""

from sweeper.statistics.arms import ArmComparison, compare_arms, verdicts
from sweeper.statistics.bootstrap import bootstrap_accuracy, bootstrap_difference
from sweeper.statistics.intervals import Interval, mean_interval
from sweeper.statistics.mcnemar import McNemarResult, mcnemar_clustered
from sweeper.statistics.multiple import holm
from sweeper.statistics.paired import PairedComparison, compare_paired
from sweeper.statistics.power import blocks_needed, reach_sentence, smallest_detectable_difference
from sweeper.statistics.sign_flip import sign_flip_p, smallest_p

__all__ = [
    "ArmComparison",
    "Interval",
    "McNemarResult",
    "PairedComparison",
    "blocks_needed",
    "bootstrap_accuracy",
    "bootstrap_difference",
    "compare_arms",
    "compare_paired",
    "holm",
    "mcnemar_clustered",
    "mean_interval",
    "reach_sentence",
    "sign_flip_p",
    "smallest_detectable_difference",
    "smallest_p",
    "verdicts",
]
