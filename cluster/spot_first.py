"""Which kind of node Ray's autoscaler adds: spot first, on demand for half an hour after there was no spot capacity.

Ray 2.60 has no such fallback: it asks for the same kind again and again. But its first autoscaler (not v2) lets a
function choose (`RAY_AUTOSCALER_UTILIZATION_SCORER=sweeper.cluster.spot_first.score`), and tells it which kinds were
refused in the last 30 minutes. Kinds whose names end in `-on-demand` are the fallback.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Score = tuple[bool, bool, float]


def score(
    node: Mapping[str, float], demands: Sequence[Mapping[str, float]], kind: str, *, node_availability_summary: Any
) -> Score | None:
    """How much the autoscaler wants a node of this kind; it adds the highest, and None never.

    Args:
        node: resources of such a node.
        demands: resources of what waits, a mapping for each.
        kind: its name in the cluster's file.
        node_availability_summary: Ray's record of which kinds could be had.
    """
    left, fits = dict(node), 0
    for demand in demands:
        # "node:…" is Ray's mark of any node.
        if all(amount <= left.get(name, 0.0) for name, amount in demand.items() if not name.startswith("node:")):
            left = {name: amount - demand.get(name, 0.0) for name, amount in left.items()}
            fits += 1
    if not fits:
        return None
    record = node_availability_summary.node_availabilities.get(kind)
    used = [1 - left[name] / node[name] for name in ("CPU", "GPU") if node.get(name)]
    return record is None or record.is_available, not kind.endswith("-on-demand"), min(used, default=0.0)
