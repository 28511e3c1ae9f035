"""Where somebody asks from, and what counts as one address."""

from ipaddress import ip_address

import pytest

from chat.domain.addresses import place_of, read_address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::", "::"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
    ],
)
def test_an_address_is_read_as_what_it_stands_for(host: str, address: str) -> None:
    assert read_address(host) == ip_address(address)


@pytest.mark.parametrize("host", ["", "somewhere", "a:b", "unix:/a%b", "192.0.2.1:80", "192.0.2.0/24", "%eth0"])
def test_what_is_no_address_is_a_place_as_it_stands(host: str) -> None:
    assert read_address(host) is None
    assert place_of(host) == host


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("192.0.2.1", "::192.0.2.1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::1", "::2", True),
    ],
)
def test_one_address_is_what_one_connection_to_the_internet_is_given(one: str, other: str, same: bool) -> None:
    assert (place_of(one) == place_of(other)) == same


def test_an_address_of_ipv4_is_its_own_place() -> None:
    assert place_of("192.0.2.1") == "192.0.2.1"
