"""Paths are exact, methods are told, and what is no id is nobody's order."""

from __future__ import annotations

import pytest

from order_service.api.operations import OPERATIONS

from .corpus import ORDER, ORDERS
from .recorder import BODY, CALL_ID, ORDER_ID, Recorder
from .wire import Answer, Served, closed, read


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/api",
        "/api/v1",
        "/api/v2/orders",
        "/api/v1/orders/",
        "//api/v1/orders",
        "/api//v1/orders",
        f"/{ORDER}",
        f"{ORDER}/",
        f"{ORDER}//history",
        f"{ORDER}/history/",
        f"{ORDER}/nothing",
        f"{ORDER}/calls/{CALL_ID}",
        "/livez/",
        "//livez",
        "/livez%00",
        "/livez%0a",
        "/livez%ff",
        "/livez%C0%AF",
        "/docs/",
        "/docs/errors",
        "/docs/errors/no-such-code",
        "/docs/../livez",
        "/schema",
        "/openapi.json/",
        f"{ORDERS}/user",
        f"{ORDERS}/user/",
        f"{ORDERS}/user/%00",
        f"{ORDERS}/user/ada%00",
        f"{ORDERS}/user/%ff",
        f"{ORDERS}/user/%ed%a0%80",
        f"{ORDERS}/user%2Fada",
        f"{ORDERS}/user%2fada",
        f"{ORDERS}/user/a%2Fb",
        f"{ORDERS}/user/a%0Ab",
        "/api/v1%2Forders/user/ada",
    ],
)
def test_a_path_that_is_not_exactly_one_of_ours_is_404(api: Served, orders: Recorder, target: str) -> None:
    answer = api.get(target)
    assert answer.problem() == (404, "not-found")
    assert orders.asked == []


def test_an_encoded_character_is_the_character(api: Served, orders: Recorder) -> None:
    assert api.get(f"{ORDERS}/user/ada%40example.com%3A1").status == 200
    assert orders.asked[0][2] == "ada@example.com:1"
    assert api.get("/%6civez").status == 200


@pytest.mark.parametrize("user", ["a%20b", "%20", "a+b", "%C3%A4", "a,b", "x" * 129, "%25", "%zz", "a;b", "..%5C"])
def test_a_user_id_that_cannot_be_one_is_refused(api: Served, orders: Recorder, user: str) -> None:
    faults = api.get(f"{ORDERS}/user/{user}").faults()
    assert faults == {"{userId}": "must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -"}
    assert orders.asked == []


NO_IDS = [
    "1",
    "x",
    ORDER_ID[:-1],
    ORDER_ID + "0",
    ORDER_ID.replace("-", ""),
    "g" + ORDER_ID[1:],
    "..",
    "null",
    "%7B%7D",
]


@pytest.mark.parametrize("no_id", NO_IDS)
def test_what_is_no_id_is_no_order(api: Served, orders: Recorder, no_id: str) -> None:
    for path in ("", "/history"):
        assert api.get(f"{ORDERS}/{no_id}{path}").problem() == (404, "order-not-found")
    for path in ("/payment", "/cancel", f"/calls/{CALL_ID}/retry"):
        assert api.request("POST", f"{ORDERS}/{no_id}{path}").problem() == (404, "order-not-found")
    assert api.post(f"{ORDERS}/{no_id}/status", {"status": "x"}, method="PUT").problem() == (404, "order-not-found")
    assert orders.asked == []


@pytest.mark.parametrize("no_id", NO_IDS)
def test_what_is_no_id_is_no_call(api: Served, orders: Recorder, no_id: str) -> None:
    for action in ("retry", "give-up"):
        answer = api.request("POST", f"{ORDER}/calls/{no_id}/{action}")
        assert answer.problem() == (404, "call-not-found")
    assert orders.asked == []


def test_an_id_in_capitals_is_the_same_id(api: Served, orders: Recorder) -> None:
    assert api.get(f"{ORDERS}/{ORDER_ID.upper()}").status == 200
    assert orders.asked[0][2] == ORDER_ID


TARGETS = {
    operation.path: operation.path.format(orderId=ORDER_ID, callId=CALL_ID, userId="ada", code="conflict")
    for operation in OPERATIONS
}


@pytest.mark.parametrize("path", TARGETS)
def test_every_path_tells_the_methods_it_has(api: Served, orders: Recorder, path: str) -> None:
    methods = {operation.method for operation in OPERATIONS if operation.path == path}
    allowed = sorted({*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
        if method in allowed:
            continue
        answer = api.request(method, TARGETS[path])
        assert answer.status == 405
        assert answer.headers["allow"] == ", ".join(allowed)
        if method != "HEAD":
            assert answer.problem() == (405, "method-not-allowed")
            assert answer.json()["allowed"] == allowed
    answer = api.request("OPTIONS", TARGETS[path])
    assert (answer.status, answer.headers["allow"]) == (204, ", ".join(allowed))
    assert orders.asked == []


@pytest.mark.parametrize("path", ["/livez", "/health", "/docs", "/openapi.json", ORDER, f"{ORDER}/history"])
def test_head_is_get_without_the_body(api: Served, orders: Recorder, path: str) -> None:
    got, head = api.get(path), api.request("HEAD", path)
    volatile = ("x-correlation-id", "date")
    assert head.status == got.status == 200
    assert head.body == b""
    assert {k: v for k, v in head.headers.items() if k not in volatile} == {
        k: v for k, v in got.headers.items() if k not in volatile
    }


def test_head_of_what_is_not_there_is_404_without_a_body(api: Served) -> None:
    answer = api.request("HEAD", "/nothing")
    assert (answer.status, answer.body) == (404, b"")
    assert int(answer.headers["content-length"]) > 0


def test_a_connection_serves_one_request_after_another(api: Served, orders: Recorder) -> None:
    request = f"GET {ORDER} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with api.connect() as connection:
        connection.sendall(request * 3)
        received = b""
        while received.count(BODY) < 3:
            received += connection.recv(65536)
    assert received.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELLO\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_hardly_http_is_a_problem_document_too(api: Served, orders: Recorder, data: bytes) -> None:
    answer = api.raw(data)
    assert answer.problem()[0] in (400, 404, 405), answer.body
    assert orders.asked == []


@pytest.mark.parametrize("hosts", ["", "Host: x\r\nHost: x\r\n", "Host: x\r\nHost: y\r\n"])
def test_a_request_of_http_1_1_names_one_host(api: Served, orders: Recorder, hosts: str) -> None:
    answer = api.raw(f"GET {ORDER} HTTP/1.1\r\n{hosts}\r\n".encode())
    assert answer.problem() == (400, "malformed-request")
    assert orders.asked == []
    assert api.raw(f"GET {ORDER} HTTP/1.0\r\n\r\n".encode()).status == 200


def test_rubbish_behind_a_request_costs_it_nothing_but_the_connection(api: Served, orders: Recorder) -> None:
    with api.connect() as connection:
        connection.sendall(f"GET {ORDER} HTTP/1.1\r\nHost: x\r\n\r\nRUBBISH\r\n\r\n".encode())
        answer = read(connection)
        assert (answer.status, answer.body, answer.headers["connection"]) == (200, BODY, "close")
        assert closed(connection)


def test_a_broken_chunk_is_refused_and_never_reaches_the_service(api: Served, orders: Recorder) -> None:
    head = f"POST {ORDERS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = api.raw(head.encode() + b"zz\r\n{}\r\n0\r\n\r\n")
    assert answer.problem() == (400, "malformed-request")
    assert orders.asked == []


@pytest.mark.parametrize("piece", [1, 7, 10_000])
def test_a_request_with_an_offer_to_upgrade_is_served_as_it_is(api: Served, orders: Recorder, piece: int) -> None:
    body = b'{"reason": "twice"}'
    head = (
        f"POST {ORDER}/cancel HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: {len(body)}\r\n"
        "Host: x\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\nUpgrade: h2c\r\nContent-Type: application/json\r\n\r\n"
    )
    answer: Answer = api.raw(head.encode() + body)
    assert (answer.status, answer.body) == (200, BODY)
    assert orders.asked[0][3].reason == "twice"
