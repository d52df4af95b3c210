"""One request as bytes, and the answer that it must get."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple
from uuid import UUID


class Targets(NamedTuple):
    """Orders in the states in which the spoiled requests, without their fault, would be accepted."""

    pending: str
    confirmed: str
    processing: str
    delivered: str
    parked: str
    call: str
    parked_too: str
    call_too: str


class Case(NamedTuple):
    """``status`` 0: no answer, the connection just ends. ``pointer`` is the place of the one fault of a 422.

    ``ends``: this is the last request of its connection. ``half_closed``: the client says no more after ``data``.
    """

    name: str
    data: bytes
    status: int
    code: str = ""
    pointer: str | None = None
    ends: bool = False
    half_closed: bool = False

    @property
    def method(self) -> str:
        """The first word of the request."""
        return self.data.partition(b" ")[0].decode("latin-1")


Maker = Callable[[Random, Targets], Case]
Headers = tuple[tuple[str, str], ...]

JSON = ("Content-Type", "application/json")


def http(method: str, target: str, body: bytes | None = None, headers: Headers = (JSON,)) -> bytes:
    """A request of HTTP/1.1, with the length of its body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(method: str, target: str, pieces: list[bytes], headers: Headers = (JSON,)) -> bytes:
    """The same with a body of chunks."""
    head = http(method, target, None, (*headers, ("Transfer-Encoding", "chunked")))
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def key(random: Random) -> Headers:
    """Half of all requests carry a key: of a refused one nothing may be remembered."""
    if random.random() < 0.5:
        return (JSON,)
    return (JSON, ("Idempotency-Key", UUID(int=random.getrandbits(128)).hex))
