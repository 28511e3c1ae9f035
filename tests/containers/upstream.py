"""A node's stand-in behind a proxy: it keeps every request that reaches it, and answers what it is told to."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final, NamedTuple

from tests.running import free_port

HANGS_UP: Final = 0  # instead of a status: the connection is closed over the request


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Upstream:
    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.status = 200
        upstream = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                upstream.asked.append(Asked(self.command, self.path, headers, body))
                if upstream.status == HANGS_UP:
                    self.close_connection = True
                    return
                self.send_response(upstream.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Not to the screen."""

        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """From now on connections are refused."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@contextmanager
def upstreams(number: int) -> Iterator[list[Upstream]]:
    started = [Upstream() for _ in range(number)]
    try:
        yield started
    finally:
        for each in started:
            each.stop()
