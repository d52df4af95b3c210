"""What can be wrong around a body: path, method, query, headers, framing. And bodies that are many faults at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from uuid import UUID

from order_service.api.operations import OPERATIONS
from order_service.api.protocol import MAX_HEAD

from .bodies import INVALID, MALFORMED
from .case import JSON, Case, Maker, Targets, http
from .sound import ORDERS, WRITES, Write, body, encoded, target

NOT_FOUND = (404, "not-found")
NO_ORDER = (404, "order-not-found")
NO_CALL = (404, "call-not-found")
BAD_KEY = (400, "invalid-idempotency-key")
BAD_MATCH = (400, "invalid-if-match")
STALE = (412, "stale-version")
NO_METHOD = (405, "method-not-allowed")
NO_HTTP = (400, "malformed-request")
LONG_HEAD = (431, "headers-too-large")


def makers() -> Iterator[Maker]:
    """All of them, in an order that never changes."""
    for write in WRITES:
        yield from _headers(write)
        yield from _ids(write)
    yield from _reads()
    yield from _lists()
    yield from _paths()
    yield from _methods()
    yield from _hardly_http()
    yield from _unfinished()
    yield from _many_faults()


def _write(write: Write, fault: str, told: tuple[int, str], *, place: str | None = None, **how: str) -> Maker:
    """A sound body; ``header`` and ``value``, ``query``, or another ``order`` or ``call`` in the path."""

    def make(random: Random, targets: Targets) -> Case:
        path = target(write.name, targets) + how.get("query", "")
        if "order" in how:
            path = f"{ORDERS}/{how['order']}/{path.removeprefix(ORDERS + '/').partition('/')[2]}"
        if "call" in how:
            start, _, end = path.partition("/calls/")
            path = f"{start}/calls/{how['call']}/{end.partition('/')[2]}"
        headers = (JSON, (how["header"], how["value"])) if "header" in how else (JSON,)
        raw = encoded(body(write.name, random), random)
        return Case(f"{write.name} {fault}", http(write.method, path, raw, headers), *told, place)

    return make


_KEYS = ["", "a b", "a\tb", "x" * 256, "x" * 5000, "schl\xfcssel", "a\xa0"]
_MATCHES = [
    "",
    "1",
    '"0"',
    '"01"',
    '"-1"',
    '"1.0"',
    "NaN",
    'W/"1"',
    '"1", "2"',
    "**",
    f'"{2**53}"',
    f'"{10**400}"',
    "'1'",
]
_NO_QUERIES = {"?x=1": "?x", "?limit=1": "?limit", "?x": "?", "?%ff=1": "?", "?x=%00": "?x", "?=": "?", "?&": "?"}


def _headers(write: Write) -> Iterator[Maker]:
    for value in _KEYS:
        yield _write(write, f"key {value[:20]!r}", BAD_KEY, header="Idempotency-Key", value=value)
    if write.name != "place":
        for value in _MATCHES:
            yield _write(write, f"match {value[:20]!r}", BAD_MATCH, header="If-Match", value=value)
        yield _write(write, "match of another version", STALE, header="If-Match", value='"99"')
    for query, place in _NO_QUERIES.items():
        yield _write(write, f"query {query}", INVALID, place=place, query=query)


_NO_IDS = ["1", "x", "null", "%7B%7D", "-1", "0" * 32, "9" * 400, "%F0%9F%98%80", "{}", "' or 1=1", "a" * 36, "NaN"]
_ABSENT = "0197b1f0-7a5e-7c11-8000-00000000a1b2"
_HOSTILE_SEGMENTS = ["%00", "%ff", "a%2Fb", "%0a", "%c0%af", "%ed%a0%80", "x%0d%0aSet-Cookie:%20a=b", "%e2%80%ae"]


def _ids(write: Write) -> Iterator[Maker]:
    if write.name == "place":
        return
    for found in (*_NO_IDS, _ABSENT, _ABSENT + "%20", str(UUID(int=0)), str(UUID(int=2**128 - 1))):
        found = found.replace(" ", "%20")
        yield _write(write, f"order {found[:40]}", NO_ORDER, order=found)
        if "call" in target(write.name, _NOBODY):
            yield _write(write, f"call {found[:40]}", NO_CALL, call=found)
    for found in _HOSTILE_SEGMENTS:
        yield _write(write, f"order {found}", NOT_FOUND, order=found)


_NOBODY = Targets(*[""] * 8)


def _get(fault: str, path: str, told: tuple[int, str], place: str | None = None) -> Maker:
    """A GET of a path in which ``{order}`` is an order's id."""

    def make(_: Random, targets: Targets) -> Case:
        return Case(fault, http("GET", path.replace("{order}", targets.delivered), None, ()), *told, place)

    return make


def _reads() -> Iterator[Maker]:
    for part in ("", "/history"):
        for found in (*_NO_IDS, _ABSENT):
            yield _get(f"read order {found[:40]}{part}", f"{ORDERS}/{found.replace(' ', '%20')}{part}", NO_ORDER)
        for found in _HOSTILE_SEGMENTS:
            yield _get(f"read order {found}{part}", f"{ORDERS}/{found}{part}", NOT_FOUND)
        for query, place in _NO_QUERIES.items():
            yield _get(f"read with {query}{part}", f"{ORDERS}/{{order}}{part}{query}", INVALID, place)


_BAD_USERS = [
    "a%20b",
    "%20",
    "a+b",
    "%C3%A4",
    "a,b",
    "x" * 129,
    "%25",
    "a;b",
    "%F0%9F%98%80",
    "%22",
    "a%27--",
    "%7B%7D",
]
_OTHER_FORMS = [_ABSENT.upper(), _ABSENT.replace("-", ""), f"urn:uuid:{_ABSENT}", f"%7B{_ABSENT}%7D"]
_BAD_VALUES = {
    "limit": [
        "",
        "0",
        "101",
        "-1",
        "1.0",
        "1e1",
        "ten",
        "%EF%BC%92",
        "9" * 400,
        "+5",
        "5%0a",
        "NaN",
        "true",
        "0x10",
        "05",
    ],
    "cursor": [
        "",
        "x",
        "0",
        "x" * 513,
        "%F0%9F%98%80",
        "a%20b",
        "%0a",
        "NaN",
        "null",
        "-1",
        "9" * 400,
        _ABSENT + "0",
        *_OTHER_FORMS,
    ],
    "status": ["", "Shipped", "lost", "shipped%0a", "null", "%F0%9F%98%80", "0", "pending,shipped", "x" * 5000],
}


def _lists() -> Iterator[Maker]:
    for user in _BAD_USERS:
        yield _get(f"list of {user[:20]}", f"{ORDERS}/user/{user}", INVALID, "{userId}")
    for name, found in _BAD_VALUES.items():
        for value in (*found, "%00", "a%00b"):
            yield _get(f"list {name}={value[:20]}", f"{ORDERS}/user/ada?{name}={value}", INVALID, f"?{name}")
        yield _get(f"list {name} of no text", f"{ORDERS}/user/ada?{name}=%ff", INVALID, "?")
        yield _get(f"list {name} without a value", f"{ORDERS}/user/ada?{name}", INVALID, "?")
    for name in ("unknown", "Limit", "limit%20", "limit[]", "offset", "%F0%9F%98%80"):
        place = {"limit%20": "limit ", "%F0%9F%98%80": "\U0001f600"}.get(name, name)
        yield _get(f"list by {name}", f"{ORDERS}/user/ada?{name}=1", INVALID, f"?{place}")
    yield _get("list limit twice", f"{ORDERS}/user/ada?limit=1&limit=1", INVALID, "?limit")
    yield _get("list of 17 parameters", f"{ORDERS}/user/ada?" + "&".join(["limit=1"] * 17), INVALID, "?")
    yield _get("list of 1,000 parameters", f"{ORDERS}/user/ada?" + "&".join(["a=b"] * 1000), INVALID, "?")


_NO_PATHS = """
    / /api /api/v1 /api/v2/orders /api/v1/orders/ //api/v1/orders /api//v1/orders /API/v1/orders /api/v1/orders%2f
    /api/v1/orders/{order}/ /api/v1/orders/{order}//history /api/v1/orders/{order}/nothing /livez/ //livez /livez%00
    /livez%0a /livez%ff /docs/ /docs/errors /docs/errors/no-such-code /docs/errors/%00 /docs/../livez /schema
    /openapi.json/ /.env /.git/config /../../etc/passwd /api/v1/orders/user /api/v1/orders/user/ /favicon.ico
    /api/v1/orders/user/ada%00 /api/v1/orders/user/%ff /api/v1/orders/user/%ed%a0%80 /api/v1/orders/user%2Fada
    /api/v1/orders/user/a%2Fb /api/v1/orders/user/a%0Ab /api/v1/orders/{order}/calls /api/v1/orders/{order}/calls/1
    /api/v1%2Forders/user/ada /api/v1/orders;x=1/a/b /metrics/x /health%20
    """


def _paths() -> Iterator[Maker]:
    for path in _NO_PATHS.split():
        yield _get(f"path {path}", path, NOT_FOUND)
    yield _get("path of 20,000 characters", "/" + "a" * 20_000, NOT_FOUND)
    yield _get("path of 4,000 parts", "/a" * 4_000, NOT_FOUND)


def _methods() -> Iterator[Maker]:
    for path in dict.fromkeys(operation.path for operation in OPERATIONS):
        allowed: set[str] = {operation.method for operation in OPERATIONS if operation.path == path}
        if "GET" in allowed:
            allowed.add("HEAD")
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "SEARCH"):
            if method not in allowed:
                yield _method(method, path)


def _method(method: str, path: str) -> Maker:
    def make(_: Random, targets: Targets) -> Case:
        filled = path.format(orderId=targets.parked, callId=targets.call, userId="ada", code="conflict")
        return Case(f"{method} {path}", http(method, filled, None, ()), *NO_METHOD)

    return make


_START = f"POST {ORDERS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
_BROKEN: dict[str, bytes] = {
    "the start of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
    "the start of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no request": b"HELLO\r\n\r\n",
    "no target": b"GET\r\n\r\n",
    "another version": b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
    "an unknown method": f"PLACE {ORDERS} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "a method in small letters": b"get /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "no host before a body": _START.replace(b"Host: x\r\n", b"") + b"Content-Length: 2\r\n\r\n{}",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "a header on two lines": b"GET /livez HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "lines without a return": b"GET /livez HTTP/1.1\nHost: x\n\n",
    "an unknown transfer coding": _START + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "a name with a space": b"GET /livez HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
    "a name with NUL": b"GET /livez HTTP/1.1\r\nHost: x\r\nBad\0: 1\r\n\r\n",
    "a value with NUL": b"GET /livez HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
    "a value with a control character": b"GET /livez HTTP/1.1\r\nHost: x\r\nA: b\x7fc\r\n\r\n",
    "a header without a colon": b"GET /livez HTTP/1.1\r\nHost: x\r\nRubbish\r\n\r\n",
    "a length below nothing": _START + b"Content-Length: -1\r\n\r\n",
    "a length in words": _START + b"Content-Length: two\r\n\r\n",
    "a length of 10^400": _START + b"Content-Length: 1" + b"0" * 400 + b"\r\n\r\n",
    "two lengths": _START + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": _START + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk of rubbish": _START + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk of 2^64": _START + b"Transfer-Encoding: chunked\r\n\r\n1" + b"0" * 16 + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk that is longer than it says": _START + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
}
_LONG_HEADS: dict[str, bytes] = {
    "a header of 33 KiB": b"GET /livez HTTP/1.1\r\nHost: x\r\nA: " + b"a" * (MAX_HEAD + 1024) + b"\r\n\r\n",
    "2,000 headers": b"GET /livez HTTP/1.1\r\nHost: x\r\n"
    + b"A: "
    + b"\r\nA: ".join([b"a" * 20] * 2_000)
    + b"\r\n\r\n",
    "a target of 40,000 characters": b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
}


def _hardly_http() -> Iterator[Maker]:
    for fault, data in _BROKEN.items():
        yield _fixed(Case(fault, data, *NO_HTTP, ends=True))
    for fault, data in _LONG_HEADS.items():
        yield _fixed(Case(fault, data, *LONG_HEAD, ends=True))


def _fixed(case: Case) -> Maker:
    return lambda _, __: case


def _unfinished() -> Iterator[Maker]:
    """Requests whose end never comes: nobody is there to be answered, or the time for it runs out."""
    for write in WRITES:
        yield _truncated(write, half_closed=True)
    yield _truncated(WRITES[0], half_closed=False)


def _truncated(write: Write, *, half_closed: bool) -> Maker:
    def make(random: Random, targets: Targets) -> Case:
        data = http(write.method, target(write.name, targets), encoded(body(write.name, random), random))[:-1]
        if half_closed:
            return Case(f"{write.name} cut off by the client", data, 0, ends=True, half_closed=True)
        return Case(f"{write.name} never finished", data, 408, "request-timeout", ends=True)

    return make


def _many_faults() -> Iterator[Maker]:
    """Bodies within the limits that are made to cost as much as they can."""
    item = {"productId": "p", "name": "n", "quantity": 0, "unitPrice": -1, "x": 1}
    bad = {
        "200 bad lines": json.dumps({"userId": "ada", "items": [item] * 200}).encode(),
        "15,000 unknown members": json.dumps({f"x{n}": n for n in range(15_000)}).encode(),
        "20,000 times the same member": b'{"userId":1,' + b'"a":1,' * 20_000 + b'"a":1}',
        "40,000 NULs": b'{"notes":"' + rb"\u0000" * 40_000 + b'"}',
        "100,000 entries": b'{"items":[' + b"1," * 100_000 + b"1]}",
        "a number of 200,000 digits": b'{"tax":' + b"9" * 200_000 + b"}",
        "an exponent of 200,000 digits": b'{"tax":1e' + b"9" * 200_000 + b"}",
        "a text of 250,000 characters": json.dumps({"userId": "a" * 250_000}).encode(),
        "a name of 250,000 characters": json.dumps({"a" * 250_000: 1}).encode(),
        "metadata of 10,000 pairs": json.dumps({"metadata": {f"k{n}": n for n in range(10_000)}}).encode(),
        "digits that may be a card": json.dumps({"notes": "4111-" * 400, "userId": 1}).encode(),
    }
    for write in WRITES:
        for fault, raw in bad.items():
            data = http(write.method, "{target}", raw)
            yield _aimed(write, Case(f"{write.name} {fault}", data, *INVALID))
        yield _aimed(write, Case(f"{write.name} no object", http(write.method, "{target}", b"\xff\xfe"), *MALFORMED))


def _aimed(write: Write, case: Case) -> Maker:
    def make(_: Random, targets: Targets) -> Case:
        return case._replace(data=case.data.replace(b"{target}", target(write.name, targets).encode(), 1))

    return make
