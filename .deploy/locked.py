"""Prints what the chat runs on, as pip reads it: every package that poetry.lock names for it and for the extras given
here, of that version and with one of those hashes alone.

    python locked.py poetry.lock postgres

Which packages this Python and this machine need is for them to say: run it with the interpreter of the image, where pip
is beside it.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pip._vendor.packaging.markers import Marker


def main(lock: str, *extras: str) -> None:
    for package in tomllib.loads(Path(lock).read_text("utf-8"))["package"]:
        if "main" in package["groups"] and is_wanted(package, extras):
            print(" ".join(requirement(package)))


def is_wanted(package: dict[str, Any], extras: tuple[str, ...]) -> bool:
    """A marker is of the main group or, where the lock keeps one for each group, in a table."""
    marker = package.get("markers", "")
    marker = marker.get("main", "") if isinstance(marker, dict) else marker
    return not marker or any(Marker(marker).evaluate({"extra": extra}) for extra in ("", *extras))


def requirement(package: dict[str, Any]) -> Iterator[str]:
    yield f"{package['name']}=={package['version']}"
    for file in package["files"]:
        yield f"--hash={file['hash']}"


main(*sys.argv[1:])
