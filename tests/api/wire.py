"""Bytes to and from a socket: nothing between a test and what really goes over the wire."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import uvloop

from order_service.api.admission import Admission
from order_service.api.frame import Api
from order_service.api.server import Limits, Server, build

JSON = {"Content-Type": "application/json"}


class Answer:
    """A response, read to its end; header names are lower case."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self) -> tuple[int, str]:
        """Status and code, after what every problem document has was checked."""
        assert self.headers["content-type"] == "application/problem+json", (self.status, self.body)
        told = self.json()
        assert set(told) >= {"type", "title", "status", "code", "detail", "correlationId"}
        assert told["status"] == self.status
        assert told["type"] == f"/docs/errors/{told['code']}"
        assert told["correlationId"] == self.headers["x-correlation-id"]
        return self.status, told["code"]

    def faults(self) -> dict[str, str]:
        """Pointer -> detail of a refused body."""
        assert self.problem() == (422, "validation-failed"), self.body
        return {fault["pointer"]: fault["detail"] for fault in self.json()["errors"]}


class Served:
    """A real server on a free port of this machine, in a thread of its own."""

    def __init__(self, app: Api, limits: Limits | None = None, admission: Admission | None = None) -> None:
        self.server: Server = build(app, "127.0.0.1", 0, limits=limits, admission=admission)
        self._started = threading.Event()
        self.server.when_started = lambda _: self._started.set()
        self._thread = threading.Thread(target=lambda: uvloop.run(self.server.serve()), daemon=True)
        self.port = 0

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._started.wait(10), "the server did not start"
        self.port = self.server.port
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    def connect(self, timeout_s: float = 10) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def raw(self, data: bytes, *, method: str = "GET") -> Answer:
        """Send these bytes on a new connection and read one response."""
        with self.connect() as connection:
            connection.sendall(data)
            return read(connection, method)

    def request(self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> Answer:
        """One request on a connection of its own; nothing is added but Host and Content-Length."""
        head = [f"{method} {target} HTTP/1.1", "Host: localhost"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None:
            head.append(f"Content-Length: {len(body)}")
        return self.raw("\r\n".join([*head, "", ""]).encode("latin-1") + (body or b""), method=method)

    def post(self, target: str, body: Any, headers: Mapping[str, str] = {}, *, method: str = "POST") -> Answer:
        """Send JSON, or bytes as they are."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request(method, target, raw, {**JSON, **headers})

    def get(self, target: str, headers: Mapping[str, str] = {}) -> Answer:
        return self.request("GET", target, None, headers)


def read(connection: socket.socket, method: str = "GET") -> Answer:
    """The next response of a connection."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response)


def closed(connection: socket.socket) -> bool:
    """Whether the server has ended the connection, after all it had to say."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True
