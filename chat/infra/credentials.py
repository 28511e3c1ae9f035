"""Passwords by argon2id (RFC 9106), and tokens that are opaque, random and stored hashed."""

import asyncio
import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from chat.domain.errors import Refused

MEMORY: Final = 19 * 1024  # KiB, with two passes on one lane: what OWASP asks for at least
AT_WORK: Final = 2
WAITING: Final = 100

T = TypeVar("T")


class Argon2Passwords:
    """Hashes in threads, AT_WORK at once; when WAITING more wait, the next is refused with `busy`."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=MEMORY, parallelism=1)
        self._threads = ThreadPoolExecutor(AT_WORK, thread_name_prefix="passwords")
        self._dummy = ""
        self.pending = 0

    async def hash(self, password: str) -> str:
        return await self._in_thread(lambda: self._hasher.hash(password))

    async def verify(self, hashed: str, password: str) -> bool:
        """Without a hash, another one is verified all the same: nobody learns from the time it takes."""
        return await self._in_thread(lambda: self._verify(hashed, password))

    def _verify(self, hashed: str, password: str) -> bool:
        self._dummy = self._dummy or self._hasher.hash(secrets.token_hex())
        try:
            self._hasher.verify(hashed or self._dummy, password)
        except (Argon2Error, InvalidHashError):
            return False
        return bool(hashed)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self.pending >= AT_WORK + WAITING:
            raise Refused("busy", "Too many are logging in: try again in a moment.", retry_after=5.0)
        self.pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self.pending -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class RandomTokens:
    """256 random bits, of which only the SHA-256 is kept: a guess is hopeless without slow hashing."""

    def draw(self) -> tuple[str, str]:
        secret = secrets.token_urlsafe(32)
        return secret, self.hash(secret)

    def derive(self, seed: str) -> tuple[str, str]:
        secret = urlsafe_b64encode(hashlib.sha256(f"derived from {seed}".encode()).digest()).decode().rstrip("=")
        return secret, self.hash(secret)

    def hash(self, secret: str) -> str:
        return hashlib.sha256(secret.encode()).hexdigest()

    def draw_password(self) -> str:
        alphabet = "abcdefghjkmnpqrstuvwxyz23456789"  # none that reads like another
        return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(3))
