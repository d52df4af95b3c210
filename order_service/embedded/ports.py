"""Ports on the loopback interface."""

from __future__ import annotations

import random
import socket
from collections import deque

from order_service.embedded.errors import LauncherError

HOST = "127.0.0.1"

# Below the range from which systems take the local ports of outgoing connections (32768 and up on Linux,
# 49152 and up elsewhere), so that nobody's outgoing connection sits on a port that we remembered.
_FIRST, _LAST = 20_000, 29_999
_REMEMBERED = 1000
_given: deque[int] = deque(maxlen=_REMEMBERED)
"""Ports handed out of late: whoever asked for one may not listen yet, and it is nobody else's."""


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a port in TIME_WAIT after a restart counts as free, one that listens does not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None, *, avoid: frozenset[int] = frozenset()) -> int:
    """The preferred port if it is free, else another free one that is not in `avoid` and was not given out lately."""
    if preferred is not None and preferred not in avoid and is_free(preferred):
        return preferred
    dice = random.SystemRandom()
    for _ in range(200):
        port = dice.randint(_FIRST, _LAST)
        if port not in avoid and port not in _given and is_free(port):
            _given.append(port)
            return port
    raise LauncherError(f"No free port was found on {HOST} between {_FIRST} and {_LAST}.")


def demand(port: int, server: str) -> int:
    """The port somebody asked for, or a refusal when another program has it."""
    if not is_free(port):
        raise LauncherError(
            f"{server} cannot listen on port {port} because another program already uses it; "
            "stop that program or choose another port."
        )
    return port
