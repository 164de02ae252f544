"""SIGTERM at random moments of a command's life: the same command then completes, with the undisturbed scores."""

import os
import random
import shutil
import signal
import time

import pandas as pd
import pytest

from tests.execution.conftest import Command

pytestmark = pytest.mark.chaos
STUDY = "ablations-demo-quick-2epochs"
SMALL = ("run", "ablations", "--epochs", "2", "--seeds", "2", "--arm", "full", "detail-only")
WAYS = (("--workers-per-trial", "1"), ("--workers-per-trial", "2"))
TIMES = ["seconds", "evaluation_seconds", "finished", "attempts", "device_seconds", "waste_device_seconds", "evidence"]


def leaderboard(command):
    rows = pd.read_parquet(command.folder / "results" / STUDY / "leaderboard.parquet")
    return rows.drop(columns=TIMES, errors="ignore")


@pytest.fixture(scope="module", params=WAYS, ids=["alone", "two workers"])
def undisturbed(request, tmp_path_factory):
    """Options, cache, rows and seconds of a command that nothing disturbed, its clips decoded on the way."""
    cache = tmp_path_factory.mktemp("cache")
    command = Command(tmp_path_factory.mktemp("undisturbed"), cache)
    begin = time.monotonic()
    command(*SMALL, *request.param)
    return request.param, cache, leaderboard(command), time.monotonic() - begin


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("group", [False, True], ids=["one", "group"])
def test_ended_at_random_moments(tmp_path, undisturbed, number, group):
    options, cache, rows, seconds = undisturbed
    draw = random.Random(f"{number} {group} {options}")
    command = Command(tmp_path, cache)
    codes = []
    for _ in range(4):
        process = command.start(*SMALL, *options, "--grace", "1")
        time.sleep(draw.uniform(0.3, seconds))
        if process.poll() is None:
            os.killpg(process.pid, number) if group else process.send_signal(number)
        output, _ = process.communicate(timeout=120)
        codes.append(process.returncode)
        # -number: it came before Python listened; 0: after the last trial, or while the tables were printed.
        assert process.returncode in (0, 128 + number, -number), output
        assert "***" not in output
        assert "Traceback" not in output
        command.wait_until_ray_is_gone(10)
        if not process.returncode:  # all was done: the next one has something to interrupt again
            shutil.rmtree(command.folder / "results")
    assert any(codes), "none of them came in time"
    command(*SMALL, *options)
    pd.testing.assert_frame_equal(leaderboard(command), rows)
    checkpoints = command.folder / "results" / STUDY / "checkpoints"
    assert list(checkpoints.iterdir()) == []


def test_twice_stops_now(tmp_path, undisturbed):
    _options, cache, _rows, _seconds = undisturbed
    command = Command(tmp_path, cache)
    long = ("run", "ablations", "--epochs", "500", "--arm", "full", "--seeds", "2", "--study", "s", "--grace", "600")
    process = command.start(*long)
    while not list((command.folder / "results" / "s").glob("attempts/*")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(signal.SIGTERM)
    time.sleep(1)
    assert process.poll() is None, "it has ten minutes"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=40)
    assert process.returncode == 143, output
    command.wait_until_ray_is_gone(10)
