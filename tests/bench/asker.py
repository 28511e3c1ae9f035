"""Questions by HTTP over one connection."""

import http.client
import json
import time
from typing import Any, Final
from urllib.parse import urlencode

from tests.bench.ground import Running

KEPT_ALIVE: Final = 2.0  # seconds that a connection may rest; the server gives it 5
JSON: Final = {"Content-Type": "application/json"}


class Asker:
    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}"}
        self._asked = time.monotonic()

    def ask(self, query: str, **fields: Any) -> Any:
        return json.loads(self._request("GET", f"/api/{query}?{urlencode(fields)}", None, {}))

    def do(self, command: str, **fields: Any) -> Any:
        return json.loads(self._request("POST", f"/api/{command}", json.dumps(fields), JSON))

    def close(self) -> None:
        self._connection.close()

    def _request(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> bytes:
        if time.monotonic() - self._asked > KEPT_ALIVE:
            self._connection.close()  # it opens itself again
        self._connection.request(method, path, body, {**self._headers, **headers})
        response = self._connection.getresponse()
        answer = response.read()
        assert response.status == 200, (path, response.status, answer)
        self._asked = time.monotonic()
        return answer

    def search(self, text: str) -> Any:
        """The messages found, each of which holds all the words."""
        found = self.ask("search_messages", text=text)["messages"]
        assert all(set(text.split()) <= set(hit["text"].split()) for hit in found), (text, found)
        return found

    def room(self, at: int = 0) -> str:
        """The id of the room in which most is said."""
        rooms = sorted(self.ask("list_rooms")["rooms"], key=lambda room: -room["seq"])
        return str(rooms[at]["id"])


def asker_of(running: Running, account: int = 0) -> Asker:
    """One of the accounts that were seeded, at the first node."""
    return Asker(running.ports[0], running.tokens.read_text().splitlines()[account])
