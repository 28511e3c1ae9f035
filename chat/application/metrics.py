"""What a monitor asks a node: numbers in Prometheus' text format, for this machine and the proxies alone.

Who comes through a proxy that nobody named looks like a neighbour, but brings a header that neighbours do not send.
"""

from ipaddress import ip_address, ip_network
from typing import Final

from starlette.requests import Request

from chat.application.authentication import host_of
from chat.application.node import Node

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
FORWARDED: Final = ("x-forwarded-for", "x-real-ip", "forwarded")

GAUGES: Final = {
    "chat_sockets": "Open connections.",
    "chat_accounts_connected": "Accounts with a connection.",
    "chat_commands_waiting": "Commands that wait for a turn.",
    "chat_log_position": "The position up to which this node has taken in the log.",
    "chat_states_at_hand": "States in the cache.",
    "chat_draining": "1 while this node shuts down.",
}


def may_read(request: Request, proxies: tuple[str, ...]) -> bool:
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        address = ip_address(host_of(request))
    except ValueError:
        return False
    return address.is_loopback or any(address in ip_network(proxy) for proxy in proxies)


def metrics_of(node: Node) -> str:
    values = {
        "chat_sockets": len(node.hub),
        "chat_accounts_connected": len(node.hub.accounts),
        "chat_commands_waiting": len(node.turns.queue),
        "chat_log_position": node.cursor.position,
        "chat_states_at_hand": len(node.cache),
        "chat_draining": int(node.draining),
    }
    lines = [f"# HELP {name} {GAUGES[name]}\n# TYPE {name} gauge\n{name} {value}\n" for name, value in values.items()]
    told = node.turns.told
    lines.append("# HELP chat_turns_total Turns taken.\n# TYPE chat_turns_total counter\n")
    lines.append(f"chat_turns_total {node.turns.taken}\n")
    lines.append(
        "# HELP chat_commands_total Commands answered, by their outcome.\n# TYPE chat_commands_total counter\n"
    )
    lines += [f'chat_commands_total{{outcome="{outcome}"}} {count}\n' for outcome, count in sorted(told.items())]
    return "".join(lines)
