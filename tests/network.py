"""An audit hook that lets a process speak to this machine alone: `sys.addaudithook(only_here)`."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

# What a process of its own runs first.
ALONE = "import sys; from tests.network import only_here; sys.addaudithook(only_here); "

_TO_ADDRESS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_TO_NAME = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}


class ConnectedElsewhere(BaseException):
    """Something asked for another machine; no code under test handles it as its own error."""


def only_here(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what would speak to another machine, or ask for its address.

    Raises:
        ConnectedElsewhere: with the call and the address.
    """
    if event in _TO_ADDRESS:
        asked, address = arguments[0], arguments[-1]
        if asked.family in {socket.AF_INET, socket.AF_INET6} and address is not None:
            _check(event, address[0])
    elif event in _TO_NAME:
        _check(event, arguments[0])


def _check(event: str, host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host or "localhost"
    # A name under .invalid belongs to nobody, on purpose.
    if name in {"localhost", socket.gethostname()} or name.endswith(".invalid"):
        return
    try:
        is_here = ipaddress.ip_address(name)
    except ValueError:
        raise ConnectedElsewhere(f"{event}: {name}") from None
    if not (is_here.is_loopback or is_here.is_unspecified):
        raise ConnectedElsewhere(f"{event}: {name}")
