"""How the chat says no."""

import pytest

from chat.domain.errors import STATUS, Poisoned, Refused, StoreError, Unavailable, Unusable

# Refusals, of the public interface.
REFUSALS = {
    400: ["malformed"],
    401: ["unauthenticated", "wrong_credentials"],
    403: ["forbidden", "not_a_member", "closed"],
    404: ["not_found"],
    409: ["name_taken", "archived", "full", "last_owner", "used_up", "barred"],
    413: ["too_large"],
    429: ["too_fast"],
    500: ["internal"],
    503: ["busy", "unavailable"],
}


def test_every_refusal_of_the_interface_has_its_status() -> None:
    found: dict[int, list[str]] = {}
    for code, (status, _) in STATUS.items():
        found.setdefault(status, []).append(code)
    assert found == REFUSALS


def test_every_refusal_says_a_sentence() -> None:
    assert all(sentence.endswith(".") for _, sentence in STATUS.values())


def test_a_refusal_knows_what_it_is() -> None:
    refusal = Refused("full", field="members")
    assert (refusal.code, refusal.status, refusal.field, refusal.retry_after) == ("full", 409, "members", None)
    assert refusal.detail == STATUS["full"][1]
    assert str(refusal) == f"full: {refusal.detail}"


def test_a_refusal_may_say_more() -> None:
    refusal = Refused("too_fast", "Slower.", retry_after=1.5)
    assert (refusal.detail, refusal.retry_after, str(refusal)) == ("Slower.", 1.5, "too_fast: Slower.")


def test_there_is_no_refusal_without_a_meaning() -> None:
    with pytest.raises(KeyError):
        Refused("impossible")


@pytest.mark.parametrize("kind", [Unavailable, Poisoned, Unusable])
def test_what_a_store_raises_is_a_store_error(kind: type[Exception]) -> None:
    assert issubclass(kind, StoreError)
    assert not issubclass(kind, Refused)
