"""Where Ray does not start."""

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
