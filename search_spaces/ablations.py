"""The paper's ablation grid: twelve arms, read by two tables (Sun et al. 2025, Tables 6 and 7).

Table 6 has ten rows and Table 7 three; the last row of each is the same network, so twelve different networks are
trained, each once. An arm says what it switches relative to the network it is an ablation of, and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sweeper.model.config import ModelConfig

REFERENCE = "full"


@dataclass(frozen=True)
class Arm:
    """One row of the ablation tables.

    `switches` are the fields of `ModelConfig` that differ from the reference (the full network). `factor` says in
    words the one thing that the arm takes away; the plan refuses an arm whose resolved configuration differs from the
    reference in any field that is not declared here.
    """

    name: str
    factor: str
    switches: Mapping[str, Any]

    def model(self, reference: ModelConfig) -> ModelConfig:
        """The arm's network: the reference with this arm's switches."""
        return replace(reference, **dict(self.switches))


def _arm(name: str, factor: str, **switches: Any) -> Arm:
    return Arm(name, factor, MappingProxyType(switches))


_ARMS = (
    _arm("semantic-only", "detail branch and all modules", detail=False, macem_a=False, macem_b=False, garm=False),
    _arm("detail-only", "semantic branch and all modules", semantic=False, macem_a=False, macem_b=False, garm=False),
    _arm("dual-branch", "all modules", macem_a=False, macem_b=False, garm=False),
    _arm("macem-a", "MACEM-B and GARM", macem_b=False, garm=False),
    _arm("macem-b", "MACEM-A and GARM", macem_a=False, garm=False),
    _arm("garm", "MACEM-A and MACEM-B", macem_a=False, macem_b=False),
    _arm("macem-a+b", "GARM", garm=False),
    _arm("macem-b+garm", "MACEM-A", macem_a=False),
    _arm("macem-a+garm", "MACEM-B", macem_b=False),
    _arm(REFERENCE, "nothing: the reference"),
    _arm("fusion-sum", "guided fusion, for a sum", fusion="sum"),
    _arm("fusion-concat", "guided fusion, for concatenation", fusion="concat"),
)

ARMS: Mapping[str, Arm] = MappingProxyType({arm.name: arm for arm in _ARMS})

# Rows in the order in which the paper prints them.
TABLE_6: tuple[str, ...] = tuple(arm.name for arm in _ARMS[:10])
TABLE_7: tuple[str, ...] = ("fusion-sum", "fusion-concat", REFERENCE)
TABLES: Mapping[str, tuple[str, ...]] = MappingProxyType({"6": TABLE_6, "7": TABLE_7})
