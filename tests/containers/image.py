"""The image, built and run as anybody would, but of what is on this machine and in its package registries: nothing is
pulled.

The base is a Debian of debootstrap's with nothing but Python. CHAT_TEST_BASE names a file in which it is kept for the
next time; without, it is made anew.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.running import ROOT

BASE: Final = "localhost/base"
IMAGE: Final = "localhost/chat"
BUILT_WITHIN: Final = 600  # seconds
TRUSTED: Final = "/etc/ssl/certs/ca-certificates.crt"  # by this machine: Debian's


class Images:
    """In a folder of their own, and gone with it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="chat-images-"))
        self._root = self._folder / "root"
        self._storage = ["--root", str(self._root), "--runroot", str(self._folder / "run")]

    def podman(self, *words: str) -> str:
        return run(["podman", *self._storage, "--runtime", "runc", "--cgroup-manager", "cgroupfs", *words])

    def make_base(self) -> None:
        kept = Path(os.environ.get("CHAT_TEST_BASE") or self._folder / "base.tar")
        if not kept.exists():
            make_debian(kept)
        self.podman("import", "--quiet", str(kept), BASE)

    def build(self, name: str = IMAGE) -> None:
        """With no cache: the layers of two builds are to be compared."""
        command = ["buildah", *self._storage, "bud", "--isolation", "chroot", "--format", "docker", "--timestamp", "0"]
        run([*command, "--quiet", "--build-arg", f"BASE={BASE}", *registry(), "-t", name, str(ROOT)])

    def inspect(self, name: str) -> dict[str, Any]:
        found: dict[str, Any]
        [found] = json.loads(self.podman("image", "inspect", name))
        return found

    def remove(self) -> None:
        self.podman("rm", "--all", "--force")
        for mounted in reversed(mounts_below(self._folder)):
            run(["umount", mounted])
        shutil.rmtree(self._folder)


def mounts_below(folder: Path) -> list[str]:
    """Also what is mounted onto itself, which a look at the folder does not tell (proc(5), mountinfo)."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{folder}/")]


def registry() -> list[str]:
    """How pip gets at it from here, if not as it does by itself."""
    words = []
    if index := setting_of_pip("index-url"):
        words += ["--build-arg", f"PIP_INDEX_URL={index}"]
    if certificates := setting_of_pip("cert") or (TRUSTED if Path(TRUSTED).exists() else ""):
        words += ["--build-arg", "PIP_CERT=/certificates.pem", "--volume", f"{certificates}:/certificates.pem:ro"]
    return words


def setting_of_pip(name: str) -> str:
    """From the environment or a file of settings."""
    if given := os.environ.get(f"PIP_{name.upper().replace('-', '_')}"):
        return given
    command = [sys.executable, "-m", "pip", "config", "get", f"global.{name}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def make_debian(tar: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(["debootstrap", "--variant=minbase", "--include=python3", "bookworm", folder])
        part = tar.with_suffix(".part")
        run(["tar", "-C", folder, "--exclude=./var/cache/apt/archives/*.deb", "-cf", str(part), "."])
        part.rename(tar)


def run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILT_WITHIN)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2_000:]}\n{done.stderr[-4_000:]}"
    return done.stdout
