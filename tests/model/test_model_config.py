"""ModelConfig refuses what names no network, and says what to change."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from sweeper.model.config import SIZES, ModelConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"semantic": False, "detail": False}, "no network"),
        ({"semantic": False}, "macem_a=True, macem_b=True need the semantic branch"),
        ({"semantic": False, "macem_a": False}, "macem_a=False, macem_b=True need the semantic branch"),
        ({"detail": False}, "garm=True needs the detail branch"),
        ({"fusion": "product"}, "fusion='product'.*'guided', 'sum', 'concat'"),
        ({"garm_pooling": "space"}, "garm_pooling='space'.*'time', 'channel'"),
        ({"semantic_widths": (8, 8)}, r"semantic_widths=\(8, 8\).*5 widths"),
        ({"detail_widths": [8, 8, 8, 8, 8]}, r"detail_widths=\[8.*tuple"),
        ({"detail_widths": (8, 8, 0, 8, 8)}, "detail_widths=.*at least 1"),
        ({"classes": 0}, "classes=0"),
        ({"patch": 0}, "patch=0"),
        ({"transformer_width": 9, "heads": 3}, "transformer_width=9 is odd"),
        ({"heads": 3}, "heads=3 does not divide the Transformer's width 128"),
        ({"dropout": 1.0}, "dropout=1.0"),
    ],
)
def test_impossible_combinations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(ModelConfig(), **changes)


def test_sizes_differ_in_sizes_only() -> None:
    switches = (
        "semantic",
        "detail",
        "macem_a",
        "macem_b",
        "garm",
        "fusion",
        "garm_pooling",
        "branch_heads",
        "classes",
    )
    for name, config in SIZES.items():
        assert [getattr(config, s) for s in switches] == [getattr(ModelConfig(), s) for s in switches], name


def test_a_plan_needs_no_torch() -> None:
    code = "import sys, model.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
