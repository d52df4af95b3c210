"""One connection to the running service, and what it answered."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Reply(NamedTuple):
    """One answer, whole; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of a problem."""
        return self.json["code"] if self.headers.get("content-type") == "application/problem+json" else None

    @property
    def replayed(self) -> bool:
        """Whether it was given before."""
        return self.headers.get("idempotent-replayed") == "true"


class Client:
    """Sends one request after the other."""

    def __init__(self, address: str) -> None:
        url = urlsplit(address)
        assert url.hostname is not None
        self._connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """One request and its answer."""
        sent = {} if headers is None else dict(headers)
        data = None
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body), "application/json"
        self._connection.request(method, path, data, sent)
        reply = self._connection.getresponse()
        return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
