"""How many seeds of one arm and fold train as one program. No Ray here."""

import heapq
import math
from collections import Counter
from collections.abc import Hashable, Sequence

from sweeper.plan import TrialSpec

MOST_MEASURED = 8  # seeds at once where nobody said how many: more gained little more, and hold more memory


def alike(spec: TrialSpec) -> Hashable:
    """What trials that differ by their seeds alone have in common, among those of an ablation's plan."""
    return spec.arm, spec.data.fold


def most_alike(trials: Sequence[TrialSpec], seeds: int) -> int:
    """How many seeds there are in the largest group, if groups have at most `seeds`."""
    return min(seeds, max(Counter(map(alike, trials)).values()))


def programs(trials: Sequence[TrialSpec], seeds: int) -> int:
    """How many programs train them."""
    return sum(math.ceil(count / seeds) for count in Counter(map(alike, trials)).values())


def that_keep_busy(trials: Sequence[TrialSpec], at_once: int) -> int:
    """As many seeds for each program as leave no worker idle that they would not leave idle one by one.

    Of several numbers with which a sweep would end as early, if a program of n seeds took as long as n trials, the
    largest.
    """
    counts = Counter(map(alike, trials)).values()

    def ends(seeds: int) -> int:
        workers = [0] * min(max(1, at_once), len(trials))
        for round_ in range(math.ceil(max(counts) / seeds)):
            for count in counts:
                heapq.heapreplace(workers, workers[0] + max(0, min(seeds, count - round_ * seeds)))
        return max(workers)

    return min(range(1, most_alike(trials, MOST_MEASURED) + 1), key=lambda seeds: (ends(seeds), -seeds))
