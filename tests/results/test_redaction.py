"""A password in a URL is shown nowhere: neither by us nor in what a library says of the URL."""

import pytest

from sweeper.results.redaction import redact


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("postgresql://user:hunter2@host/db", "hunter2"),
        ("postgresql://user:hunt%40er@host/db", "hunt@er"),  # as a library decodes it
        ("postgresql://user:hunt%40er@host/db", "hunt%40er"),
        ("mysql+pymysql://user:a:b@host/db", "a:b"),
        ("postgresql://host/db?user=u&password=hunter2", "hunter2"),
        ("s3://bucket/x?token=hunter2", "hunter2"),
        ("postgresql://user:pass/word@host/db", "word"),  # which a library takes for the place
    ],
)
def test_a_secret_is_hidden(url, secret):
    message = f"could not connect: {url} ({secret!r} is wrong)"
    assert secret not in redact(message, url)


@pytest.mark.parametrize("url", ["sqlite:///optuna.db", "journal.log", "postgresql://user@host/db", "results", ""])
def test_where_there_is_no_secret_nothing_is_hidden(url):
    message = f"can't open {url}: no such host"
    assert redact(message, url) == message


def test_the_place_is_still_named():
    url = "postgresql://user:hunter2@db.example.org:5432/optuna"
    assert redact(f"no answer from {url}", url) == "no answer from postgresql://user:***@db.example.org:5432/optuna"
