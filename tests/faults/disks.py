"""Disks that fail when a test says so: a library between a process and the system, and a tmpfs that is small."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
BLOCK: Final = 4_096


class FailingDisk:
    """A library to preload, see failing_disk.c. It takes a C compiler."""

    def __init__(self, folder: Path) -> None:
        self._control = folder / "control"
        self._library = folder / "failing_disk.so"
        command = ["cc", "-shared", "-fPIC", "-o", str(self._library), str(HERE / "failing_disk.c"), "-ldl"]
        subprocess.run(command, check=True)

    @property
    def environment(self) -> Mapping[str, str]:
        return {"LD_PRELOAD": str(self._library), "FAILING_DISK": str(self._control)}

    def fail(self, number: int, what: str) -> None:
        """`write` or `sync` with this errno, from now on."""
        told = self._control.with_suffix(".new")
        told.write_text(f"{number} {what}")
        told.replace(self._control)

    def work(self) -> None:
        self._control.unlink(missing_ok=True)


class SmallDisk:
    """A tmpfs at `mounted`, for those who are started by `script`: it is in a mount namespace of its own, so it takes
    no more than a user namespace, and nothing is left behind. Others reach it as `folder`."""

    def __init__(self, mounted: Path, megabytes: int) -> None:
        self.mounted = mounted
        mounted.mkdir()
        mount = f"mount -t tmpfs -o size={megabytes}m,mode=700 tmpfs {mounted} && echo mounted && exec sleep 600"
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        command = ["unshare", "--mount", *user, "sh", "-c", mount]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._holder.stdout
        assert self._holder.stdout.readline() == b"mounted\n"
        self.folder = Path(f"/proc/{self._holder.pid}/root{mounted}")
        self.script = HERE / "on_small_disk.py"
        self.environment: Mapping[str, str] = {"NAMESPACES": str(self._holder.pid)}

    def fill(self) -> None:
        """To the last byte."""
        with suppress(OSError), (self.folder / "filler").open("ab", buffering=0) as file:
            while True:
                file.write(b"." * BLOCK)

    def make_room(self) -> None:
        (self.folder / "filler").unlink()

    def make_read_only(self) -> None:
        command = ["mount", "-o", "remount,bind,ro", str(self.mounted)]
        enter = ["nsenter", f"--target={self._holder.pid}", "--mount"]
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        subprocess.run([*enter, *user, *command], check=True)

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout
        self._holder.stdout.close()


@contextmanager
def small_disk(mounted: Path, megabytes: int) -> Iterator[SmallDisk]:
    disk = SmallDisk(mounted, megabytes)
    try:
        yield disk
    finally:
        disk.close()


def chat(folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """chat.py with this command line, to its end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
    script = HERE / "on_small_disk.py" if environment and "NAMESPACES" in environment else ROOT / "chat.py"
    return subprocess.run(
        [sys.executable, script, *words],
        cwd=folder,
        env={**inherited, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
