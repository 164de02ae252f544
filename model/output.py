"""One form for what networks return."""

from __future__ import annotations

from torch import Tensor

from sweeper.study import Output


def as_output(answer: Tensor | Output) -> Output:
    """What a network returned, as an ``Output``: plain logits have no branches."""
    return answer if isinstance(answer, Output) else Output(answer, {}, {})
