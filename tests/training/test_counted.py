"""What was counted once is known, and only that."""

from dataclasses import replace

import pytest

from sweeper.model.config import SIZES
from sweeper.training import cost, counted
from sweeper.training.counted import FOLDER, known

TINY = SIZES["tiny"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path))
    return tmp_path / FOLDER


def counting(*answers):
    """A count that gives these answers, one after another, and no more."""
    return iter(answers).__next__


def test_it_is_counted_once(cache):
    assert known("GFLOP", TINY, [8000], counting(0.25)) == 0.25
    assert known("GFLOP", TINY, [8000], counting()) == 0.25
    assert [file.suffix for file in cache.iterdir()] == [".json"]


def test_what_can_not_be_counted_is_known_too(cache):
    assert known("GFLOP", TINY, [8000], counting(None)) is None
    assert known("GFLOP", TINY, [8000], counting()) is None


def test_whatever_decides_it_makes_it_another_one(cache, monkeypatch):
    known("GFLOP", TINY, [8000], counting(1.0))
    assert known("GFLOP", TINY, [8001], counting(2.0)) == 2.0
    assert known("bytes", TINY, [8000], counting(6)) == 6
    assert known("GFLOP", replace(TINY, fusion="sum"), [8000], counting(3.0)) == 3.0
    monkeypatch.setattr(counted, "_code", lambda: "changed")
    assert known("GFLOP", TINY, [8000], counting(4.0)) == 4.0
    monkeypatch.setattr(counted.torch, "__version__", "9.9")
    assert known("GFLOP", TINY, [8000], counting(5.0)) == 5.0


@pytest.mark.parametrize("damage", ["", "{", '"0.25"', "-1.0", "NaN", "Infinity", "[0.25]", "true"])
def test_a_damaged_file_is_counted_again(cache, damage):
    known("GFLOP", TINY, [8000], counting(1.0))
    (file,) = cache.iterdir()
    file.write_text(damage)
    assert known("GFLOP", TINY, [8000], counting(2.0)) == 2.0
    assert known("GFLOP", TINY, [8000], counting()) == 2.0


def test_a_cache_that_can_not_be_written_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SWEEPER_CACHE", str(tmp_path / "file"))
    assert known("GFLOP", TINY, [8000], counting(1.0)) == 1.0


def test_the_networks_of_the_package_are_counted_so(cache, monkeypatch):
    cost.gflops_per_clip.cache_clear()
    gflops = cost.gflops_per_clip(TINY, 2048)
    assert gflops == cost.count_operations(TINY, 2048).gflops
    cost.gflops_per_clip.cache_clear()
    monkeypatch.setattr(cost, "count_operations", None)
    assert cost.gflops_per_clip(TINY, 2048) == gflops
