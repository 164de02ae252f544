"""Where Ray does not start, and the environment that it is started in."""

import os
from pathlib import Path

import pytest

from sweeper.execution import cluster as module
from sweeper.execution.cluster import cluster
from sweeper.plan import PlanError

REFUSED = "RPC error: InvalidAuthToken: Authentication token is missing or incorrect. Ensure that …"


def test_a_process_that_keeps_another_token_is_told(monkeypatch):
    """Ray's own answer speaks of files in ~/.ray, which have nothing to do with it."""
    asked = []

    def init(**_settings):
        asked.append(1)
        raise RuntimeError("Failed to start GCS.") from Exception(REFUSED)

    monkeypatch.setattr(module.ray, "init", init)
    monkeypatch.setattr(module.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(module.ray, "shutdown", lambda: None)
    monkeypatch.setattr(module, "find_cluster", lambda _address: None)
    with (
        pytest.raises(PlanError, match=r"this Python process has used Ray before.*restart the notebook's kernel"),
        cluster(None, 0),
    ):
        pass
    assert asked == [1], "a second attempt would be refused as the first was"


def test_memory_is_the_users_business_where_they_chose_an_allocator(monkeypatch):
    for name in ("LD_PRELOAD", *module.ALLOCATOR):
        monkeypatch.delenv(name, raising=False)
    with module._own_environment(Path("room")):
        assert {name: os.environ[name] for name in module.ALLOCATOR} == module.ALLOCATOR
    monkeypatch.setenv("MALLOC_CONF", "stats_print:true")
    with module._own_environment(Path("room")):
        assert (os.environ["RAY_LD_PRELOAD_ON_WORKERS"], os.environ["MALLOC_CONF"]) == ("1", "stats_print:true")
    monkeypatch.setenv("LD_PRELOAD", "libmimalloc.so")
    with module._own_environment(Path("room")):
        assert "RAY_LD_PRELOAD_ON_WORKERS" not in os.environ
    monkeypatch.delenv("LD_PRELOAD")
    monkeypatch.delenv("MALLOC_CONF")
    monkeypatch.setenv("RAY_LD_PRELOAD_ON_WORKERS", "0")
    with module._own_environment(Path("room")):
        assert os.environ["RAY_LD_PRELOAD_ON_WORKERS"] == "0" and "MALLOC_CONF" not in os.environ
