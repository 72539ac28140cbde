"""An S3 on loopback (moto), for all tests of a session, and faults to put in front of it."""

from __future__ import annotations

import logging
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

Rule = Callable[
    [str, str], str
]  # from method and path of a request to a fault: "500", "gone", "hang", "slow"; "" is none
SLOW_SECONDS = 0.05  # what a slow request takes longer
_ANSWERS = {
    "500": ("500 Internal Server Error", "InternalError"),
    "403": ("403 Forbidden", "AccessDenied"),
    "gone": ("404 Not Found", "NoSuchBucket"),
    "hang": ("500 Internal Server Error", "InternalError"),
}


class S3:
    """endpoint: host:port.  bucket: one for the test.  requests: (method, path) of each that has arrived."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.endpoint = ""
        self.bucket = ""
        self.requests: list[tuple[str, str]] = []
        self.rule: Rule | None = None
        self.released = threading.Event()  # ends whatever hangs

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path))
        fault = self.rule(method, path) if self.rule is not None else ""
        if fault == "slow":
            self.released.wait(SLOW_SECONDS)
        if fault in ("", "slow"):
            return self._app(environ, start_response)  # type: ignore[no-any-return]
        if fault == "hang":
            self.released.wait()
        status, code = _ANSWERS[fault]
        start_response(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()]

    def fresh(self) -> None:
        """A bucket of its own for a test, and no faults."""
        self.rule = None
        self.requests.clear()
        self.released.clear()
        self.bucket = f"bucket-{uuid.uuid4().hex[:8]}"
        request = urllib.request.Request(f"http://{self.endpoint}/{self.bucket}", method="PUT")
        urllib.request.urlopen(request).close()

    def uri(self, path: str = "sweeps") -> str:
        return f"s3://{self.bucket}/{path}?endpoint_override={self.endpoint}&scheme=http"

    def away(self) -> None:
        """The bucket vanishes, until the rule is set anew."""
        self.rule = lambda method, path: "gone"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    s3 = S3(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, s3, threaded=True)
    s3.endpoint = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, name="s3", daemon=True)
    thread.start()
    yield s3
    s3.released.set()
    server.shutdown()
    thread.join()


@pytest.fixture
def s3(s3_server: S3, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """The server with a new bucket, and a cache of this test's own for live journals."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    s3_server.fresh()
    yield s3_server
    s3_server.rule = None
    s3_server.released.set()
