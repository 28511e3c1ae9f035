"""How the chat says no."""

import pytest

from chat.domain.errors import (
    STATUS,
    Poisoned,
    Refused,
    StoreError,
    Unavailable,
    Unusable,
    content_of,
    problem_of,
)

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


def test_a_refusal_can_be_told_anew_without_its_past() -> None:
    refusal = Refused("too_fast", "Wait.", field="text", retry_after=2.0)
    with pytest.raises(Refused):
        raise refusal
    anew = refusal.afresh()
    assert refusal.__traceback__ is not None
    assert anew.__traceback__ is None
    assert content_of(anew) == content_of(refusal)


def test_there_is_no_refusal_without_a_meaning() -> None:
    with pytest.raises(KeyError):
        Refused("impossible")


def test_a_refusal_says_what_it_knows_and_no_more() -> None:
    assert content_of(Refused("full", "No.")) == {"code": "full", "detail": "No."}
    assert content_of(Refused("malformed", "No.", field="room", retry_after=0.0)) == {
        "code": "malformed",
        "detail": "No.",
        "field": "room",
        "retry_after": 0.0,
    }


def test_as_an_answer_of_http_it_is_problem_details() -> None:
    told = problem_of(Refused("not_found", "No.", field="room"))
    assert told.status == 404
    assert told.headers == {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    assert told.content == {"title": "not_found", "status": 404, "code": "not_found", "detail": "No.", "field": "room"}


def test_an_answer_of_http_may_have_another_status() -> None:
    told = problem_of(Refused("malformed"), 405)
    assert (told.status, told.content["status"], told.content["title"]) == (405, 405, "malformed")


@pytest.mark.parametrize("code", STATUS)
def test_who_has_to_log_in_is_told_how(code: str) -> None:
    told = problem_of(Refused(code)).headers.get("WWW-Authenticate")
    assert told == ("Bearer" if STATUS[code][0] == 401 else None)


@pytest.mark.parametrize(
    ("seconds", "told"), [(None, None), (0.0, "1"), (0.001, "1"), (1.0, "1"), (1.001, "2"), (2.5, "3"), (10.0, "10")]
)
def test_who_comes_back_when_told_is_not_too_early(seconds: float | None, told: str | None) -> None:
    assert problem_of(Refused("too_fast", retry_after=seconds)).headers.get("Retry-After") == told


@pytest.mark.parametrize("kind", [Unavailable, Poisoned, Unusable])
def test_what_a_store_raises_is_a_store_error(kind: type[Exception]) -> None:
    assert issubclass(kind, StoreError)
    assert not issubclass(kind, Refused)
