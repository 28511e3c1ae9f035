"""Where somebody asks from, and what counts as one address: of IPv4 each, of IPv6 a /64, which is what one connection
to the Internet is given.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address


def read_address(host: str) -> Address | None:
    """Of IPv4 also where it came by IPv6, and without a network card's name. None for a text that is no address."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def place_of(host: str) -> str:
    """What has one share, and one set of limits. A text that is no address is a place as it stands."""
    address = read_address(host)
    if isinstance(address, IPv6Address):
        return ":".join(address.exploded.split(":")[:4])
    return str(address or host)
