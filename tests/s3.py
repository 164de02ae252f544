"""A real S3 server on this machine (moto's), whose requests can be counted and spoilt."""

import io
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Environment = dict[str, Any]


class S3:
    """The server, from when it is made to `close`.

    Attributes:
        requests: `(method, key)` of every request so far; of a listing, `("LIST", prefix)`.
        spoil: called with each request's WSGI environment before it is answered.
        clock: what the server says instead of its own time, of an object's last change.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.spoil: Callable[[Environment], None] = lambda _environment: None
        self.clock: Callable[[str], str] = lambda stamp: stamp
        self._application = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.endpoint = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def counts(self, part: str) -> Counter[tuple[str, str]]:
        """How often each `(method, folder)` was asked for, of keys that contain `part`."""
        return Counter((method, key.split("/")[-2]) for method, key in self.requests if part in key.rstrip("/"))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environment: Environment, start: Any) -> Any:
        query = parse_qs(environment.get("QUERY_STRING", ""))
        if "list-type" in query:
            self.requests.append(("LIST", query.get("prefix", [""])[0]))
        else:
            self.requests.append((environment["REQUEST_METHOD"], environment["PATH_INFO"].split("/", 2)[-1]))
        self.spoil(environment)
        length = int(environment.get("CONTENT_LENGTH") or 0)
        body = environment["wsgi.input"].read(length) if length else b""
        if len(body) < length:  # the client is gone: as S3, forget it
            start("400 Bad Request", [])
            return [b""]
        environment["wsgi.input"] = io.BytesIO(body)

        def begin(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            said = [(name, self.clock(value) if name.lower() == "last-modified" else value) for name, value in headers]
            return start(status, said, *rest)

        with self._lock:  # moto looks for an object and puts one in two steps; S3 does both at once
            return self._application(environment, begin)
