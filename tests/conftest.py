"""Fixtures for all tests."""

import itertools

import pytest

_numbers = itertools.count()


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
