"""What no log may ever hold: each token, password, invitation and text that the clients of the tests send or are given.

Clients keep them here, and every server's log is watched. After each test `leaks` looks for all that was ever kept in
what the servers have written since. One line is meant to tell a secret: the set-up link of the first account.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

SECRET: Final = frozenset({"token", "password", "old", "new", "invite", "text"})  # fields of commands and answers
LEAST: Final = 8  # characters; fewer stand somewhere in any log
MOST: Final = 60
PLAIN: Final = re.compile(r"[ !#-&(-\[\]-~]+")  # looks the same in JSON, in a repr, and in both
MEANT: Final = re.compile(rb"^.*set up the first account.*$", re.MULTILINE)

_kept: dict[bytes, set[bytes]] = {}  # by their first LEAST bytes: a log is looked through once, however many there are
_watched: dict[Path, int] = {}  # logs, and the byte up to which each was looked through


def keep(*secrets: str) -> None:
    """Of each what can be told from everything else: its longest part that is written in one way only."""
    for secret in secrets:
        part = max(PLAIN.findall(secret), key=len, default="").strip()
        if len(part) >= LEAST:
            _kept.setdefault(part[:LEAST].encode(), set()).add(part[:MOST].encode())


def keep_fields(fields: Mapping[str, Any]) -> None:
    keep(*(value for name, value in fields.items() if name in SECRET and isinstance(value, str)))


def watch(log: Path) -> None:
    _watched.setdefault(log, 0)


def leaks() -> list[str]:
    """Each secret that a log has told since this was last asked, and which log."""
    return [f"{secret.decode()!r} stands in {log}" for log in _watched for secret in _told(log)]


def _told(log: Path) -> list[bytes]:
    if not log.exists() or log.stat().st_size <= _watched[log]:
        return []
    with log.open("rb") as file:
        file.seek(_watched[log])
        written = file.read()
    _watched[log] += len(written)
    return sorted(found_in(MEANT.sub(b"", written)))


def found_in(written: bytes) -> set[bytes]:
    return {
        secret
        for start in range(len(written) - LEAST + 1)
        for secret in _kept.get(written[start : start + LEAST], ())
        if written.startswith(secret, start)
    }
