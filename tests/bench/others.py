"""The contestants that are not this project: programs in `peers/`, which keep nothing and check nobody.

What they are made of is none of the project's dependencies: it is installed, in the versions that `peers/` pins, into
a folder of the benchmark's own.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import copyfile
from typing import Final

from tests.bench.ground import Ground, Running, Seed
from tests.bench.load import compile_program
from tests.bench.machine import SERVER_CORE, Missing, at_the_server, family, need, on_core
from tests.running import clean_environment, free_port, wait_for
from tests.servers.rabbitmq import rabbitmq

PEERS: Final = Path(__file__).parent / "peers"
PATIENCE: Final = 600.0  # seconds for an installation


@contextmanager
def floor(ground: Ground, _: Seed) -> Iterator[Running]:
    with ground.fresh() as folder:
        port = free_port()
        with serving(folder, port, str(compile_program(PEERS / "floor.c", folder)), str(port)) as running:
            yield running


@contextmanager
def starlette_loop(ground: Ground, _: Seed) -> Iterator[Running]:
    python = installed_python(ground.cache)
    with ground.fresh() as folder, uvicorn(folder, python, "starlette_loop:app") as running:
        yield running


@contextmanager
def fastapi_faststream(ground: Ground, _: Seed) -> Iterator[Running]:
    need("rabbitmq-server")
    python = installed_python(ground.cache)
    with (
        ground.fresh() as folder,
        at_the_server(rabbitmq(folder / "rabbitmq")) as rabbit,
        uvicorn(folder, python, "fastapi_faststream:app", AMQP=rabbit.url) as running,
    ):
        yield running._replace(processes=(*running.processes, *family(rabbit.process.pid)))


@contextmanager
def socketio(ground: Ground, _: Seed) -> Iterator[Running]:
    modules = installed_modules(ground.cache)
    with ground.fresh() as folder:
        port = free_port()
        command = ("node", str(PEERS / "socketio.js"), str(port))
        with serving(folder, port, *command, NODE_PATH=str(modules)) as running:
            yield running


@contextmanager
def uvicorn(folder: Path, python: Path, app: str, **environment: str) -> Iterator[Running]:
    port = free_port()
    command = (python, "-m", "uvicorn", app, "--app-dir", PEERS, "--port", port, "--log-level", "warning")
    with serving(folder, port, *map(str, command), **environment) as running:
        yield running


@contextmanager
def serving(folder: Path, port: int, *command: str, **environment: str) -> Iterator[Running]:
    with on_core(SERVER_CORE), (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=clean_environment() | environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: listens(port) or process.poll() is not None, f"{command[0]} to listen")
        assert process.poll() is None, (folder / "log").read_text()[-1_000:]
        yield Running((port,), (process.pid,), Path("/dev/null"))
        assert process.poll() is None, (folder / "log").read_text()[-1_000:]
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


# Installing, once for each version of what is wanted.


def installed_python(cache: Path) -> Path:
    """The interpreter. Raises `Missing`."""
    folder, wanted = cache / "python", PEERS / "requirements.txt"
    python = folder / "bin" / "python"
    if is_new(wanted, folder):
        install(folder, sys.executable, "-m", "venv", "--clear", str(folder))
        install(folder, str(python), "-m", "pip", "install", "--quiet", "--no-input", "-r", str(wanted))
        keep(wanted, folder)
    return python


def installed_modules(cache: Path) -> Path:
    """The folder `node_modules`. Raises `Missing`."""
    need("node", "npm")
    folder, wanted = cache / "node", PEERS / "package-lock.json"
    if is_new(wanted, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            copyfile(PEERS / name, folder / name)
        install(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        keep(wanted, folder)
    return folder / "node_modules"


def is_new(wanted: Path, folder: Path) -> bool:
    done = folder / f"installed-{wanted.name}"
    return not done.exists() or done.read_bytes() != wanted.read_bytes()


def keep(wanted: Path, folder: Path) -> None:
    copyfile(wanted, folder / f"installed-{wanted.name}")


def install(folder: Path, *command: str) -> None:
    """Raises `Missing`."""
    print(f"tests.bench: installing into {folder}: {' '.join(command)}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=PATIENCE)
    except subprocess.CalledProcessError as error:
        raise Missing(f"{command[0]} failed: {error.stderr.strip()[-300:]}") from error
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{command[0]} took more than {PATIENCE:g} s") from error
