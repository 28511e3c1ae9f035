"""A real RabbitMQ for tests: a node of its own on ports that are free, in a folder of its own, seen by nobody else.

    with rabbitmq(folder) as broker:
        RabbitBroker(broker.url)

It takes some seconds to start, and about 100 MB. Whatever it starts, the port mapper of Erlang too, ends with it.
"""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests import canaries
from tests.running import free_port

WITHIN: Final = 60.0  # seconds for anything that it does
SETTINGS: Final = """\
listeners.tcp.1 = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
default_vhost = {vhost}
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.absolute = 4GB
log.file.level = info
"""
# One thread that runs Erlang, and none that waits for work in a busy loop.
ERLANG: Final = "+S 1:1 +SDcpu 1:1 +SDio 4 +sbwt none +sbwtdcpu none +sbwtdio none"
LOOPBACK: Final = "-kernel inet_dist_use_interface {127,0,0,1}"


class RabbitServer:
    """One node of RabbitMQ, started again on the same folder and port as often as a test likes."""

    user: Final = "chat"
    vhost: Final = "place"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)
        self.log = folder / "rabbitmq.log"
        self._mapper_port = free_port()
        self._distribution_port = free_port()
        self._mapper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        canaries.keep(self.password)
        folder.mkdir(parents=True, exist_ok=True)
        self._write_settings()

    @property
    def url(self) -> str:
        return self.url_by()

    def url_by(self, *, user: str = "", password: str = "", vhost: str = "", port: int = 0) -> str:
        """With something else in the place of what is right."""
        credentials = f"{user or self.user}:{password or self.password}"
        return f"amqp://{credentials}@127.0.0.1:{port or self.port}/{vhost or self.vhost}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process, "RabbitMQ was not started"
        return self._process

    def _write_settings(self) -> None:
        (self.folder / "rabbitmq.conf").write_text(
            SETTINGS.format(port=self.port, user=self.user, password=self.password, vhost=self.vhost)
        )
        (self.folder / "plugins").write_text("[].\n")

    @property
    def _environment(self) -> dict[str, str]:
        ours = {
            "HOME": self.folder,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": self._mapper_port,
            "RABBITMQ_NODENAME": f"chat{self.port}@localhost",
            "RABBITMQ_DIST_PORT": self._distribution_port,
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq.conf",
            "RABBITMQ_CONF_ENV_FILE": self.folder / "none.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.folder / "none.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "plugins",
            "RABBITMQ_MNESIA_BASE": self.folder / "data",
            "RABBITMQ_LOG_BASE": self.folder,
            "RABBITMQ_LOGS": self.log,
            "RABBITMQ_PID_FILE": self.folder / "rabbitmq.pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{ERLANG} {LOOPBACK}",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script gives way to the server: signals reach it
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "CHAT_"))}
        return kept | {name: str(value) for name, value in ours.items()}

    # Its life.

    def start(self) -> None:
        """Wait until it takes connections."""
        self._start_mapper()
        written = self._logged()
        with (self.folder / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                ["rabbitmq-server"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._wait_for_log(b"Server startup complete", written)

    def _start_mapper(self) -> None:
        """Otherwise the server starts one that nobody ends."""
        if self._mapper is None:
            mapper = ["epmd", "-address", "127.0.0.1", "-port", str(self._mapper_port)]
            quiet = subprocess.DEVNULL
            self._mapper = subprocess.Popen(mapper, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)

    def _logged(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def _wait_for_log(self, words: bytes, written: int) -> None:
        end = time.monotonic() + WITHIN
        while not (self.log.exists() and words in self.log.read_bytes()[written:]):
            assert self.process.poll() is None, f"RabbitMQ ended:\n{(self.folder / 'output.log').read_text()[-2_000:]}"
            assert time.monotonic() < end, f"waited {WITHIN:g} s for {words.decode()!r} in {self.log}"
            time.sleep(0.05)

    def stop(self) -> None:
        """As an operator does: clients are told."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(WITHIN)

    def kill(self) -> None:
        """SIGKILL: nothing is told to anybody."""
        self._signal(signal.SIGKILL)
        self.process.wait(WITHIN)

    def pause(self) -> None:
        """It keeps its connections and does nothing any more."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def end(self) -> None:
        """Everything, for good."""
        if self._process:
            self.kill()
        if self._mapper:
            self._mapper.kill()
            self._mapper.wait(WITHIN)

    # What an operator may do to it. Each takes a second or two.

    def ctl(self, *words: str) -> str:
        done = subprocess.run(
            ["rabbitmqctl", "--quiet", "--timeout", "30", *words],
            env=self._environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        assert done.returncode == 0, f"rabbitmqctl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def evaluate(self, erlang: str) -> str:
        return self.ctl("eval", erlang)

    def queues(self) -> dict[str, int]:
        """Each with how many messages wait in it or are not acknowledged."""
        return {name: int(count) for name, count in self._listed("list_queues", "name", "messages")}

    def connections(self) -> list[str]:
        """The states of all."""
        listed = self.ctl("list_connections", "--no-table-headers", "state")
        return listed.split()

    def _listed(self, *words: str) -> list[list[str]]:
        lines = self.ctl(words[0], "--no-table-headers", "--vhost", self.vhost, *words[1:]).splitlines()
        return [line.split("\t") for line in lines if line]

    def delete_queue(self, name: str) -> None:
        """Also an exclusive one, which `rabbitmqctl delete_queue` is refused."""
        found = f'rabbit_amqqueue:lookup(rabbit_misc:r(<<"{self.vhost}">>, queue, <<"{name}">>))'
        self.evaluate(f'{{ok, Queue}} = {found}, rabbit_amqqueue:delete(Queue, false, false, <<"operator">>).')

    def close_all_connections(self) -> None:
        self.ctl("close_all_connections", "--vhost", self.vhost, "closed by the operator")

    def raise_alarm(self) -> None:
        """Who publishes is blocked: there is said to be too little memory."""
        self.ctl("set_vm_memory_high_watermark", "0.00001")

    def clear_alarm(self) -> None:
        self.ctl("set_vm_memory_high_watermark", "absolute", "4GB")


@contextmanager
def rabbitmq(folder: Path) -> Iterator[RabbitServer]:
    """A new one, running."""
    server = RabbitServer(folder)
    try:
        server.start()
        yield server
    finally:
        server.end()
