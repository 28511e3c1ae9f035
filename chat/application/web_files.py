"""The files of the web client: each in one piece, and asked about whenever the page is opened, so that all that a
browser has is of one version.

Starlette sends a file from a task of its own. That task holds itself in a circle when the reader leaves meanwhile, and
all of the request with it, until a collection.
"""

from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

KEPT: Final = ("content-type", "etag", "last-modified")  # of what Starlette says of a file; ranges are not offered


class WebFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if isinstance(response, FileResponse):
            content = await run_in_threadpool(Path(response.path).read_bytes)
            response = Response(content, headers={name: response.headers[name] for name in KEPT})
        response.headers["Cache-Control"] = "no-cache"
        return response
