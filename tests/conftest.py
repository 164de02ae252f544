"""Fixtures for all tests."""

import gc
import itertools
import os
import sys

import pytest

LONGEST = (
    "execution/test_run.py",
    "execution/test_study_file.py",
    "execution/test_multi_worker.py",
    "execution/test_growing_cluster.py",
    "execution/test_object_storage.py",
    "execution/test_termination.py",
    "execution/test_searches.py",
    "execution/test_fused_sweep.py",
    "execution/test_code.py",
    "execution/test_exposure.py",
    "training/test_fit.py",
    "training/test_distributed.py",
)
_numbers = itertools.count()

# Hundreds of processes are started that import the package and what it needs: only the first compiles each module.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Several programs share each core here: threads that wait for one another by spinning take it from those they wait for.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_xdist_auto_num_workers(config):
    """A process per core, of which the container's share counts; more than four would need much memory.

    One alone where tests are chosen that kill processes or set up hosts: they need the machine for themselves.
    """
    from loky import cpu_count

    alone = not {"not chaos", "not cluster"} <= set(config.option.markexpr.split(" and "))
    return 0 if alone else min(4, max(2, cpu_count()))


def pytest_collection_modifyitems(items):
    """Files that take a minute or more come first: short ones fill the gaps at the end."""

    def place(item):
        file = item.nodeid.split("::")[0].removeprefix("tests/")
        return LONGEST.index(file) if file in LONGEST else len(LONGEST)

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What is imported and made for tests stays: to look for garbage among it, then and later, takes 40 s of a core."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def a_core_each():
    """As there is a process for each core, threads of one would only wait for each other; programs that it starts may
    have as many as ever."""
    import torch  # not with this file: pytest's own process, which runs no test, needs none of it
    from threadpoolctl import threadpool_limits

    torch.get_num_threads()  # or torch, asked for the first time, would forget the limit
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def no_width(monkeypatch):
    """What runs the tests may say how wide its terminal is, which tables then fit."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def s3_server():
    pytest.importorskip("moto", reason="the extra 'test' is not installed")
    from tests.s3 import S3

    server = S3()
    yield server
    server.close()


@pytest.fixture
def s3(s3_server, monkeypatch, tmp_path):
    """The server, with this test's own bucket as `s3.url`; processes that are started find it too."""
    import s3fs

    s3_server.environment = {
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": "user",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # it knows earlier credentials
    bucket = f"bucket{next(_numbers)}"
    s3fs.S3FileSystem().mkdir(bucket)
    s3_server.url = f"s3://{bucket}"
    s3_server.requests.clear()
    yield s3_server
    s3_server.spoil, s3_server.clock = lambda _environment: None, lambda stamp: stamp
    s3fs.S3FileSystem.clear_instance_cache()
