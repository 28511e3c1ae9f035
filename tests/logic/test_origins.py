"""Which pages of the web may act here with somebody's cookie."""

import pytest

from chat.logic.origins import Asked, is_allowed, is_rebound, may_connect, may_write

HERE = "https://chat.example"
THERE = "https://evil.example"
NAMED = ["https://app.example"]


def asked(origin: str | None = None, site: str | None = None, *, cookie: bool = True, method: str = "POST") -> Asked:
    return Asked(method=method, host="chat.example", origin=origin, fetch_site=site, cookie=cookie)


@pytest.mark.parametrize(
    ("origin", "yes"),
    [
        (HERE, True),
        ("http://chat.example", True),
        (THERE, False),
        ("https://chat.example:8443", False),
        ("https://chat.example.evil.example", False),
        ("ftp://chat.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_an_origin_is_allowed_where_it_is_the_host_that_was_asked(origin: str, yes: bool) -> None:
    assert is_allowed(origin, "chat.example", ()) is yes


def test_what_was_asked_by_https_is_not_for_a_page_that_came_by_http() -> None:
    assert is_allowed(HERE, "chat.example", (), secure=True)
    assert not is_allowed("http://chat.example", "chat.example", (), secure=True)
    page = asked("http://chat.example", "cross-site")._replace(secure=True)
    assert not may_write(page, ())
    assert not may_connect(page, ())


def test_where_origins_are_named_only_these_are_allowed() -> None:
    assert is_allowed("https://app.example", "chat.example", NAMED)
    assert not is_allowed(HERE, "chat.example", NAMED)


@pytest.mark.parametrize(
    ("request_", "yes"),
    [
        (asked(HERE), True),
        (asked(THERE), False),
        (asked(THERE, cookie=False), False),
        (asked(THERE, method="GET"), True),
        (asked(None), False),
        (asked(None, cookie=False), True),
        (asked(None, "same-origin"), True),
        (asked(None, "none"), True),
        (asked(None, "same-site"), False),
        (asked(None, "cross-site"), False),
    ],
    ids=str,
)
def test_a_page_writes_from_here_and_a_program_from_anywhere(request_: Asked, yes: bool) -> None:
    assert may_write(request_, ()) is yes


@pytest.mark.parametrize(
    ("request_", "yes"),
    [
        (asked(HERE), True),
        (asked(THERE), False),
        (asked(THERE, cookie=False), False),
        (asked(None), False),
        (asked(None, cookie=False), True),
    ],
    ids=str,
)
def test_a_page_connects_from_here_and_a_program_from_anywhere(request_: Asked, yes: bool) -> None:
    assert may_connect(request_, ()) is yes


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]", "[::1]:8000"])
def test_the_machines_own_names_are_nobody_elses(host: str) -> None:
    assert not is_rebound(host, "127.0.0.1", (), ())


@pytest.mark.parametrize("host", ["evil.example:8000", "evil.example", "", "localhost.evil:80", "127.0.0.1.evil"])
def test_another_name_that_leads_here_is_not_ours_unless_somebody_said_so(host: str) -> None:
    assert is_rebound(host, "127.0.0.1", (), ())
    assert is_rebound(host, "::1", (), ())
    assert not is_rebound(host, "127.0.0.1", ("https://chat.example.org",), ())
    assert not is_rebound(host, "127.0.0.1", (), ("127.0.0.1",))
    assert not is_rebound(host, "0.0.0.0", (), ())
