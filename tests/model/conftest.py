"""The paper's twelve arms as configs, and quiet, single-threaded torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from sweeper.model.config import SIZES, ModelConfig

NO_MODULES = {"macem_a": False, "macem_b": False, "garm": False}
ARMS: dict[str, dict[str, object]] = {
    "semantic only": {"detail": False, **NO_MODULES},
    "detail only": {"semantic": False, **NO_MODULES},
    "both": NO_MODULES,
    "A": {**NO_MODULES, "macem_a": True},
    "B": {**NO_MODULES, "macem_b": True},
    "G": {**NO_MODULES, "garm": True},
    "A+B": {"garm": False},
    "B+G": {"macem_a": False},
    "A+G": {"macem_b": False},
    "A+B+G": {},
    "sum": {"fusion": "sum"},
    "concat": {"fusion": "concat"},
}


@pytest.fixture(params=list(ARMS))
def switches(request: pytest.FixtureRequest) -> dict[str, object]:
    """The switches of one arm, as they differ from the full network."""
    return ARMS[request.param]


@pytest.fixture(params=list(SIZES))
def arm(request: pytest.FixtureRequest, switches: dict[str, object]) -> ModelConfig:
    """One arm in one size."""
    return replace(SIZES[request.param], **switches)


@pytest.fixture
def tiny() -> ModelConfig:
    return SIZES["tiny"]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def fixed_draws() -> None:
    torch.manual_seed(0)
