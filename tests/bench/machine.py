"""What a measurement needs of the machine: cores, files, tools, and what processes use of its memory."""

import os
import platform
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

CORES: Final = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
APART: Final = len(CORES) > 1
SERVER_CORE, LOAD_CORE = CORES[:2] if APART else (0, 0)
# Where Debian keeps what is not on everybody's PATH: its own `rabbitmq-server` there insists on the system's service.
FOLDERS: Final = ("/usr/lib/rabbitmq/bin", "/usr/lib/postgresql/*/bin")

Thing = TypeVar("Thing")


class Missing(Exception):
    """Something that is not on this machine. Says what, or why not."""


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started in here stays on this core, whatever is around it; where there are several, and the system can do
    that.
    """
    if not APART:
        yield
        return
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


@contextmanager
def at_the_server(started: AbstractContextManager[Thing]) -> Iterator[Thing]:
    """What it starts stays on the server's core; who uses it does not."""
    with ExitStack() as ending:
        with on_core(SERVER_CORE):
            thing = ending.enter_context(started)
        yield thing


def raise_file_limit() -> None:
    """As many open sockets as this user may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def look_for_tools() -> None:
    """Also where tools stand that need not be on the PATH."""
    found = [str(folder) for pattern in FOLDERS for folder in sorted(Path("/").glob(pattern[1:]))]
    os.environ["PATH"] = os.pathsep.join([*reversed(found), os.environ["PATH"]])


def need(*tools: str) -> None:
    """Raises `Missing`."""
    if absent := [tool for tool in tools if not shutil.which(tool)]:
        raise Missing(f"there is no {' and no '.join(absent)}")


def family(*processes: int) -> tuple[int, ...]:
    """These processes, each with all that it has started."""
    return tuple(member for process in processes for member in (process, *family(*children(process))))


def children(process: int) -> tuple[int, ...]:
    listed = Path(f"/proc/{process}/task/{process}/children")
    return tuple(int(child) for child in listed.read_text().split()) if listed.exists() else ()


def resident(processes: tuple[int, ...]) -> int:
    """Bytes of memory in use. What several of them share counts once."""
    return sum(_resident(process) for process in processes)


def _resident(process: int) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def described(folder: Path) -> dict[str, str | int | bool]:
    """With the disk of this folder."""
    return {
        "processor": processor(),
        "cores": os.cpu_count() or 0,
        "system": platform.platform(),
        "python": platform.python_version(),
        "apart": APART,
        "disk": file_system(folder),
    }


def processor() -> str:
    with suppress(FileNotFoundError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def file_system(folder: Path) -> str:
    """Its kind, such as ext4, where that can be found out."""
    told = subprocess.run(["df", "--output=fstype", folder], capture_output=True, text=True, check=False)
    return told.stdout.split()[-1] if told.stdout else "an unknown file system"
