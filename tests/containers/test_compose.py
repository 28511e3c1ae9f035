"""docker-compose.yml: that it can be read, and that only what should be reached can be.

podman-compose reads it as it would to start it; what it makes of the file is looked at here. It insists on podman's
version first, and is told one by a stand-in: podman itself is not needed.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest
import yaml

from tests.containers.proxied import SHIPPED
from tests.running import ROOT

FILE: Final = ROOT / "docker-compose.yml"
PASSWORDS: Final = {"POSTGRES_PASSWORD": "of-postgres", "RABBITMQ_PASSWORD": "of-rabbitmq"}
NODES: Final = {"chat-1", "chat-2"}


Config = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The whole of it as it is read with these variables."""
    folder = tmp_path_factory.mktemp("podman")
    podman = folder / "podman"
    podman.write_text("#!/bin/sh\necho podman version 4.3.1\n")
    podman.chmod(0o755)
    reading = [sys.executable, "-m", "podman_compose", "--env-file", os.devnull, "-f", str(FILE), "--profile", "single"]

    def read(**variables: str) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": f"{folder}:{os.environ['PATH']}", **variables}
        command = [*reading, "config"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    return read


@pytest.fixture(scope="module")
def whole(config: Config) -> dict[str, Any]:
    done = config(**PASSWORDS)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


@pytest.fixture
def services(whole: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = whole["services"]
    return found


def test_it_has_two_nodes_the_stores_a_proxy_and_apart_from_these_a_single_node(services: dict[str, Any]) -> None:
    assert services.keys() == NODES | {"postgres", "rabbitmq", "proxy", "single"}
    assert {name for name, service in services.items() if "profiles" in service} == {"single"}


@pytest.mark.parametrize("left_out", PASSWORDS)
def test_without_a_password_it_says_which_is_missing(config: Config, left_out: str) -> None:
    done = config(**{name: value for name, value in PASSWORDS.items() if name != left_out})
    assert done.returncode != 0
    assert f"{left_out} is missing a value: choose one, in the file .env" in done.stderr


def test_no_password_stands_in_it(services: dict[str, Any]) -> None:
    """All that could hold one is given from outside."""
    secret = re.compile(r"pass|secret|token|://", re.IGNORECASE)
    held = [
        value
        for service in services.values()
        for name, value in service.get("environment", {}).items()
        if secret.search(name) or secret.search(str(value))
    ]
    assert len(held) == 2 + 2 * len(NODES)
    assert all(any(password in value for password in PASSWORDS.values()) for value in held)
    used = re.findall(r"\$\{(?:POSTGRES|RABBITMQ)_PASSWORD([^}]*)\}", FILE.read_text())
    assert set(used) == {":?choose one, in the file .env"}


def test_every_variable_is_told_of_at_its_head() -> None:
    text = FILE.read_text()
    head, _, rest = text.partition("\nname:")
    used = set(re.findall(r"\$\{(\w+)", rest))
    assert used == set(re.findall(r"\b(?:POSTGRES|RABBITMQ|CHAT)_[A-Z]+\b", head))


def test_only_the_proxy_and_the_single_node_are_published_and_only_to_this_machine(services: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports == {"proxy": ["127.0.0.1:8080:8080"], "single": ["127.0.0.1:8000:8000"]}


def test_only_nodes_reach_the_stores_and_only_the_proxy_has_a_way_out(whole: dict[str, Any]) -> None:
    there = {
        name: set(service.get("networks", ["default"]))
        for name, service in whole["services"].items()
        if name != "single"
    }
    assert there == {
        "proxy": {"outside", "chat"},
        "chat-1": {"chat", "stores"},
        "chat-2": {"chat", "stores"},
        "postgres": {"stores"},
        "rabbitmq": {"stores"},
    }
    assert {name for name, network in whole["networks"].items() if network.get("internal")} == {"chat", "stores"}


def test_nobody_has_more_rights_than_needed(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        assert "privileged" not in service, name
        assert "build" in service or service["user"] not in ("root", "0"), name


def test_what_is_kept_is_kept_in_named_volumes(whole: dict[str, Any]) -> None:
    mounts = {name: service.get("volumes", []) for name, service in whole["services"].items()}
    assert mounts == {
        "proxy": ["./.deploy:/etc/nginx/chat:ro"],
        "chat-1": [],
        "chat-2": [],
        "postgres": ["postgres:/var/lib/postgresql/data"],
        "rabbitmq": ["rabbitmq:/var/lib/rabbitmq"],
        "single": ["single:/data"],
    }
    assert whole["volumes"].keys() == {"postgres", "rabbitmq", "single"}


def test_images_of_others_are_of_one_major_version(services: dict[str, Any]) -> None:
    for service in services.values():
        assert "build" in service or re.fullmatch(r"docker\.io/library/\w+:\d+-\w+", service["image"])


def test_each_starts_when_what_it_needs_is_healthy(services: dict[str, Any]) -> None:
    assert all("healthcheck" in service for service in services.values())
    needs = {name: service.get("depends_on", {}) for name, service in services.items()}
    assert {name: set(needed) for name, needed in needs.items() if needed} == {
        "proxy": NODES,
        "chat-1": {"postgres", "rabbitmq"},
        "chat-2": {"postgres", "rabbitmq"},
    }
    for needed in needs.values():
        assert {each["condition"] for each in needed.values()} <= {"service_healthy"}


def test_nodes_believe_the_proxy_and_nobody_else_and_it_knows_where_they_are(services: dict[str, Any]) -> None:
    address = {name: services[name]["networks"]["chat"]["ipv4_address"] for name in NODES | {"proxy"}}
    assert {services[name]["environment"]["CHAT_PROXIES"] for name in NODES} == {address["proxy"]}
    hosts = services["proxy"]["extra_hosts"]
    known = hosts if isinstance(hosts, dict) else dict(re.split("[:=]", host, maxsplit=1) for host in hosts)
    assert known == {name: address[name] for name in NODES}
    servers = re.findall(r"^server (\S+):8000 ", (SHIPPED / "nodes.conf").read_text(), re.MULTILINE)
    assert set(servers) == NODES


def test_the_port_that_is_published_is_the_one_that_the_proxy_listens_on(services: dict[str, Any]) -> None:
    [published] = services["proxy"]["ports"]
    assert re.findall(r"^listen (\d+);", (SHIPPED / "listen.conf").read_text(), re.MULTILINE) == [
        published.rpartition(":")[2]
    ]


def test_a_node_is_given_the_time_that_it_needs_to_drain(services: dict[str, Any]) -> None:
    assert {services[name]["stop_grace_period"] for name in NODES | {"single"}} == {"12s"}
