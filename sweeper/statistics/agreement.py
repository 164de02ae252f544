"""Does a difference that was measured agree with one that was published? Asked so that noise can't say yes.

"The published value lies within our interval" is no agreement: the noisier the study, the more it agrees with. Here the
whole interval of (ours − theirs) must lie within a tolerance, as in a test of equivalence (two one-sided tests):
Schuirmann, J. Pharmacokin. Biopharm. 15 (1987) 657–680. The tolerance is 2 points, or the published difference itself
where that is smaller, so that what agrees also has the published sign.
"""

import math
from typing import Literal

Agreement = Literal["consistent", "contradicted", "inconclusive"]
POINTS_2 = 0.02


def agreement(
    diff: float, half_width: float, published_diff: float, published_half_width: float, *, tolerance: float = POINTS_2
) -> Agreement:
    """Judge a difference to the reference against the published one, both with their errors.

    Args:
        diff: ours, arm minus reference.
        half_width: of its interval; NaN where there is none.
        published_diff: theirs.
        published_half_width: of an interval for theirs, of the same confidence.
        tolerance: largest gap that still counts as the same, in the unit of the differences.

    Returns:
        "consistent": the interval of the gap, ours − theirs, lies within ±tolerance and within ± the published
            difference. Widening an interval never makes a verdict "consistent".
        "contradicted": not consistent, and that interval excludes 0.
        "inconclusive": anything else, and wherever an argument is NaN.
    """
    margin, gap = math.hypot(half_width, published_half_width), abs(diff - published_diff)
    if not math.isfinite(margin + gap):
        return "inconclusive"
    if gap + margin <= min(tolerance, abs(published_diff)):
        return "consistent"
    return "contradicted" if gap > margin else "inconclusive"
