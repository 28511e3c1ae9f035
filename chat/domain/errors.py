"""How the chat says no.

Refused         a wish that a rule turns down; goes to its sender with a code and a sentence
StoreError      a store could not do it
├── Unavailable the outcome is not known: the sender asks again with the same id
├── Poisoned    the store rejects what it was handed; asking again would not help
└── Unusable    the store cannot be opened: the process says why and ends
"""

from math import ceil
from typing import Any, Final, NamedTuple

STATUS: Final = {
    "malformed": (400, "This is not what was expected here."),
    "unauthenticated": (401, "Log in first."),
    "wrong_credentials": (401, "The name or the password is wrong."),
    "forbidden": (403, "Your role does not allow this."),
    "not_a_member": (403, "Join the room first."),
    "closed": (403, "Registration is closed: ask an admin for an invitation."),
    "not_found": (404, "There is no such thing, or you cannot see it."),
    "name_taken": (409, "Somebody has this name already: choose another."),
    "archived": (409, "The room is archived: it can be read, not changed."),
    "full": (409, "There is no room for more."),
    "last_owner": (409, "The last owner has to stay: make somebody else an owner first."),
    "used_up": (409, "The invitation is used up, expired or revoked: ask for a new one."),
    "barred": (409, "You were removed from this room: an admin can add you again."),
    "too_large": (413, "This is too large."),
    "too_fast": (429, "That was too fast: wait a moment and ask again with the same id."),
    "internal": (500, "Something broke here; it is logged. Ask again with the same id."),
    "busy": (503, "Too much is waiting: ask again in a moment with the same id."),
    "unavailable": (503, "The outcome is not known: ask again with the same id."),
}


class Refused(Exception):
    """A wish turned down. `code` is a key of STATUS; `retry_after` is in seconds."""

    def __init__(
        self, code: str, detail: str = "", *, field: str | None = None, retry_after: float | None = None
    ) -> None:
        self.code = code
        self.status, sentence = STATUS[code]
        self.detail = detail or sentence
        self.field = field
        self.retry_after = retry_after
        super().__init__(f"{code}: {self.detail}")

    def afresh(self) -> "Refused":
        """The same without a past. One that was raised holds the frames that it came through; kept by one of them, or
        raised again, it would hold them for long.
        """
        return Refused(self.code, self.detail, field=self.field, retry_after=self.retry_after)


def content_of(refusal: Refused) -> dict[str, Any]:
    """What a refusal says, in a frame as in an answer of HTTP."""
    content: dict[str, Any] = {"code": refusal.code, "detail": refusal.detail}
    if refusal.field:
        content["field"] = refusal.field
    if refusal.retry_after is not None:
        content["retry_after"] = refusal.retry_after
    return content


class Problem(NamedTuple):
    """An answer of HTTP that refuses, as problem details (RFC 9457)."""

    status: int
    headers: dict[str, str]
    content: dict[str, Any]


def problem_of(refusal: Refused, status: int | None = None) -> Problem:
    """The status is the code's, unless another one is given. `Retry-After` counts whole seconds (RFC 9110, 10.2.3):
    more rather than fewer, so that nobody who does as told is too early.
    """
    status = status or refusal.status
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, ceil(refusal.retry_after)))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Problem(status, headers, {"title": refusal.code, "status": status, **content_of(refusal)})


class StoreError(Exception):
    """A store could not do what it was asked."""


class Unavailable(StoreError):
    """The store did not answer, or not in time; whether it did the work is not known."""


class Poisoned(StoreError):
    """The store rejects the content of a turn."""


class Unusable(StoreError):
    """The store cannot be opened at all; the message says why and what to do."""
