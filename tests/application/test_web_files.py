"""The files of the web client over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chat.application import http
from tests.client import request
from tests.running import Server, running

FILES = Path(http.__file__).parent / "web"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("files"), database="memory:") as server:
        yield server


@pytest.mark.parametrize(
    ("path", "file", "kind"),
    [("/", "index.html", "text/html"), ("/web/app.js", "app.js", "text/javascript"), ("/web/icon.svg", "icon.svg", "")],
)
def test_a_file_comes_whole_and_once(server: Server, path: str, file: str, kind: str) -> None:
    first = request(server.address, "GET", path)
    assert (first.status, first.body) == (200, (FILES / file).read_bytes())
    assert first.headers["content-length"] == str(len(first.body))
    assert first.headers["content-type"].startswith(kind)
    assert first.headers["cache-control"] == "no-cache"
    again = request(server.address, "GET", path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body, again.headers["cache-control"]) == (304, b"", "no-cache")
    other = request(server.address, "GET", path, headers={"If-None-Match": '"another"'})
    assert (other.status, other.body) == (200, first.body)


def test_what_a_file_is_can_be_asked_without_it(server: Server) -> None:
    told = request(server.address, "HEAD", "/web/app.js")
    assert (told.status, told.body) == (200, b"")
    assert told.headers["content-length"] == str((FILES / "app.js").stat().st_size)


def test_a_part_of_a_file_is_not_offered(server: Server) -> None:
    told = request(server.address, "GET", "/web/app.js", headers={"Range": "bytes=0-9"})
    assert (told.status, told.body) == (200, (FILES / "app.js").read_bytes())
    assert "accept-ranges" not in told.headers
