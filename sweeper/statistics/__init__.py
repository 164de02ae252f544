"""Statistics on arrays: pure NumPy and SciPy functions, no I/O, randomness as a parameter.

Which function answers which question:

- Does an arm differ from the reference, by how much, how sure is its own mean? `compare_arms`; in a word: `verdicts`
- What is each part worth? `effects` of the factorial that `find_factorial` finds; where nothing was run twice: `lenth`
- Several data sets: is a difference the same on all? `heterogeneity`; which arm leads on most? `ranking`
- Does a difference agree with a published one? `agreement`
- Before running: what difference can be found? `detectable_difference`; how wide will intervals be? `half_widths`
- A single split: how sure is an accuracy, or a difference, for other recordings? `bootstrap_accuracy`,
  `recordings_interval`
- A single split: do two trained networks err differently? `mcnemar_clustered`

A *unit* is what counts as one piece of evidence: a fold (its seeds averaged), or a seed where there is one fold.
`tests/statistics/simulate.py` prints how often each errs.
"""

from sweeper.statistics.agreement import agreement
from sweeper.statistics.arms import ArmComparison, compare_arms, verdicts
from sweeper.statistics.bootstrap import bootstrap_accuracy
from sweeper.statistics.data_sets import Heterogeneity, Ranking, heterogeneity, ranking
from sweeper.statistics.detectable import detectable_difference, half_widths
from sweeper.statistics.effects import Effects, effects
from sweeper.statistics.factorial import find_factorial
from sweeper.statistics.lenth import lenth
from sweeper.statistics.mcnemar import mcnemar_clustered
from sweeper.statistics.recordings import recordings_interval

__all__ = [
    "ArmComparison",
    "Effects",
    "Heterogeneity",
    "Ranking",
    "agreement",
    "bootstrap_accuracy",
    "compare_arms",
    "detectable_difference",
    "effects",
    "find_factorial",
    "half_widths",
    "heterogeneity",
    "lenth",
    "mcnemar_clustered",
    "ranking",
    "recordings_interval",
    "verdicts",
]
