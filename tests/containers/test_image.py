"""The image: what is in it, that it runs with nothing but a volume to write to, and that it ends when it is asked to.

It is built by buildah and run by podman, on a Debian that debootstrap makes, which takes most of the time.
CHAT_TEST_BASE names a file in which that Debian is kept from run to run. CHAT_TEST_BUILDS says how often the image is
built, each time from nothing and with the same layers; twice without.
"""

import os
import re
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

import pytest

from tests.client import Account, register, request
from tests.containers.image import BASE, IMAGE, Images
from tests.running import ROOT, free_port, wait_for

pytestmark = pytest.mark.requires("container")

BUILDS: Final = int(os.environ.get("CHAT_TEST_BUILDS", "2"))
LARGEST: Final = 60e6  # bytes on top of the base
ENDS_WITHIN: Final = 10.0  # seconds
UID: Final = "10001"
LIMITS: Final = ("--ulimit=nofile=13000:13000", "--ulimit=nproc=1000:1000")  # podman's own may be beyond ours
CONFINED: Final = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--network=host",
    "--no-healthcheck",
)
_names = count(1)


class Container:
    """A single node, its data on a volume."""

    def __init__(self, images: Images, volume: str) -> None:
        self.name = f"chat{next(_names)}"
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._podman = images.podman
        variables = (f"CHAT_PORT={self.port}", "CHAT_HOST=127.0.0.1", "CHAT_REGISTRATION=open")
        settings = [f"--env={variable}" for variable in variables]
        self._podman(
            "run", "--detach", f"--name={self.name}", *CONFINED, *LIMITS, *settings, f"--volume={volume}:/data", IMAGE
        )
        wait_for(self.lives, "the container to answer")

    def lives(self) -> bool:
        try:
            return request(self.address, "GET", "/healthz").status == 200
        except OSError:
            return False

    def do(self, *command: str, **variables: str) -> str:
        settings = [f"--env={name}={value}" for name, value in variables.items()]
        return self._podman("exec", *settings, self.name, *command)

    def stop(self) -> tuple[float, int]:
        """By SIGTERM: how long it takes, in seconds, and the exit status. Who takes longer is killed, with another."""
        start = time.monotonic()
        self._podman("stop", "--time", f"{ENDS_WITHIN:.0f}", self.name)
        took = time.monotonic() - start
        return took, int(self._podman("inspect", self.name, "--format", "{{.State.ExitCode}}"))


@pytest.fixture(scope="module")
def images() -> Iterator[Images]:
    images = Images()
    try:
        images.make_base()
        images.build()
        yield images
    finally:
        images.remove()


@contextmanager
def running(images: Images, volume: str) -> Iterator[Container]:
    container = Container(images, volume)
    try:
        yield container
    finally:
        images.podman("rm", "--force", container.name)


def test_it_is_small(images: Images, capsys: pytest.CaptureFixture[str]) -> None:
    whole, base = images.inspect(IMAGE)["Size"], images.inspect(BASE)["Size"]
    with capsys.disabled():
        print(f"\nthe image: {(whole - base) / 1e6:.1f} MB on top of the base's {base / 1e6:.0f}")
    assert 0 < whole - base < LARGEST


def test_its_layers_are_the_same_whenever_it_is_built(images: Images) -> None:
    layers = images.inspect(IMAGE)["RootFS"]["Layers"]
    for _ in range(BUILDS - 1):
        images.build("localhost/again")
        assert images.inspect("localhost/again")["RootFS"]["Layers"] == layers


def test_it_says_how_it_is_to_be_run(images: Images) -> None:
    told: dict[str, Any] = images.inspect(IMAGE)["Config"]
    assert told["User"] == f"{UID}:{UID}"
    assert told["Cmd"] == ["python", "chat.py"]
    assert told["StopSignal"] == "SIGTERM"
    assert told["ExposedPorts"] == {"8000/tcp": {}}
    assert told["Volumes"] == {"/data": {}}
    assert "Entrypoint" not in told
    assert not [variable for variable in told["Env"] if variable.startswith("PIP_")]


def test_it_runs_read_only_without_root_and_keeps_its_data_over_a_restart(
    images: Images, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(images, "kept") as first:
        ann = register(first.address, "ann")
        room = ann.do("create_room", title="Kept", kind="private")["room"]
        seq = ann.do("send_message", room=room, text="for later")["seq"]
        took, status = first.stop()
    with capsys.disabled():
        print(f"\nthe container ended within {took:.1f} s, with status {status}")
    assert status == 0
    assert took < ENDS_WITHIN
    with running(images, "kept") as second:
        [message] = Account(second.address, ann.token).ask("list_messages", room=room)["messages"]
        assert (message["seq"], message["text"]) == (seq, "for later")


def test_nothing_in_it_can_be_written_to_but_the_volume(images: Images) -> None:
    with running(images, "written") as container:
        assert container.do("id", "-u").strip() == UID
        written = "import os; print([path for path in ('/', '/app', '/opt/chat', '/tmp', '/data') if can(path)])"
        can = "def can(path):\n try: open(path + '/x', 'w').close()\n except OSError: return False\n return True\n"
        assert container.do("python", "-c", can + written).strip() == "['/data']"


def test_its_health_is_that_it_lives_at_the_port_that_it_was_given(images: Images) -> None:
    kind, *command = images.inspect(IMAGE)["Healthcheck"]["Test"]
    assert kind == "CMD"
    with running(images, "healthy") as container:
        container.do(*command)
        with pytest.raises(AssertionError, match="Connection refused"):
            container.do(*command, CHAT_PORT=str(free_port()))


def test_what_it_runs_on_is_what_the_lock_says(images: Images) -> None:
    lock = tomllib.loads((ROOT / "poetry.lock").read_text())["package"]
    locked = {package["name"]: package["version"] for package in lock if "main" in package["groups"]}
    listed = "from importlib.metadata import distributions as d; print(*(f'{x.name}=={x.version}' for x in d()))"
    with running(images, "looked_into") as container:
        there = dict(each.split("==") for each in container.do("python", "-Ic", listed).split())
    found = {re.sub("[-_.]+", "-", name).lower(): version for name, version in there.items()}
    assert {"asyncpg", "aio-pika", "uvloop", "uvicorn"} <= found.keys()
    assert not {"pip", "setuptools", "pytest", "hypothesis", "podman-compose"} & found.keys()
    assert found.items() <= locked.items()
