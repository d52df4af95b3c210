"""Who is let in while the process is busy, who is turned away first, and what turning away costs nobody."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from order_service.api.admission import (
    CHANGE,
    CREATE,
    KEEP,
    LATE_S,
    LEAST,
    LIST,
    MOST,
    SHARES,
    TICKS_IN_A_ROW,
    Admission,
    rank_of,
)
from order_service.api.app import create_app
from order_service.core.errors import OutOfStock
from order_service.metrics import REGISTRY

from .corpus import ORDER, ORDERS
from .recorder import BODY, CALL_ID, Recorder
from .wire import Served, closed, read

ALL: dict[tuple[str, str], int] = {
    ("POST", f"{ORDER}/payment"): KEEP,
    ("POST", f"{ORDER}/cancel"): KEEP,
    ("PUT", f"{ORDER}/status"): CHANGE,
    ("POST", f"{ORDER}/refunds"): CHANGE,
    ("POST", f"{ORDER}/calls/{CALL_ID}/retry"): CHANGE,
    ("POST", f"{ORDER}/calls/{CALL_ID}/give-up"): CHANGE,
    ("GET", ORDER): CHANGE,
    ("HEAD", ORDER): CHANGE,
    ("GET", f"{ORDER}/history"): CHANGE,
    ("POST", ORDERS): CREATE,
    ("GET", f"{ORDERS}/user/bob"): LIST,
    ("GET", f"{ORDERS}/user/bob?limit=2"): LIST,
}
NEVER = ["/health", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/errors/out-of-stock"]


class Held(Admission):
    """Its limit stays where the test puts it."""

    def look(self, late_s: float) -> None:
        """Nothing is set anew."""


@pytest.fixture
def admission() -> Held:
    return Held()


@pytest.fixture
def shop(orders: Recorder, admission: Held) -> Iterator[Served]:
    with Served(create_app(orders, body_timeout_s=2), admission=admission) as served:
        yield served


def statuses(connection: socket.socket, count: int) -> list[int]:
    """The statuses of so many answers that come one behind the other."""
    found, rest = [], b""
    while len(found) < count:
        head, end, body = rest.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
        if end and len(body) >= length:
            found.append(int(head[9:12]))
            rest = body[length:]
            continue
        more = connection.recv(65536)
        assert more, (found, rest)
        rest += more
    return found


def shed(rank: str) -> float:
    """How many requests of this rank were turned away so far."""
    return REGISTRY.get_sample_value("order_service_requests_shed_total", {"rank": rank}) or 0.0


def test_every_operation_on_orders_has_a_rank_and_nothing_else_has() -> None:
    assert {case: rank_of(case[0], case[1].encode()) for case in ALL} == ALL
    assert [rank_of("GET", url.encode()) for url in NEVER] == [None] * len(NEVER)
    assert rank_of("OPTIONS", ORDERS.encode()) is None


@pytest.mark.parametrize(
    ("busy", "let_in"),
    [
        (0.74, {KEEP, CHANGE, CREATE, LIST}),
        (0.75, {KEEP, CHANGE, CREATE}),
        (0.99, {KEEP, CHANGE, CREATE}),
        (1.0, {KEEP, CHANGE}),
        (1.49, {KEEP, CHANGE}),
        (1.5, {KEEP}),
        (1.99, {KEEP}),
        (2.0, set()),
    ],
)
def test_lists_go_first_then_new_orders_then_changes_and_who_pays_or_cancels_last(
    busy: float, let_in: set[int]
) -> None:
    admission = Admission()
    admission.limit = 100.0
    admission.busy = round(busy * 100)
    found = set()
    for rank in range(len(SHARES)):
        if admission.enter(rank):
            found.add(rank)
            admission.leave()
    assert found == let_in
    assert admission.busy == round(busy * 100)


def test_the_limit_shrinks_while_the_process_comes_late_and_never_below_its_least() -> None:
    admission = Admission()
    admission.busy = 399
    assert admission.enter(CREATE)
    for _ in range(3):
        for _ in range(TICKS_IN_A_ROW - 1):
            admission.look(2 * LATE_S)
        admission.look(0.0)
    assert admission.limit == MOST, "late for less than a second is a crowd"
    for _ in range(TICKS_IN_A_ROW):
        admission.look(2 * LATE_S)
    assert admission.limit == pytest.approx(400 * 0.9)
    for _ in range(100):
        admission.look(2 * LATE_S)
    assert admission.limit == LEAST


def test_the_limit_grows_only_while_it_is_used_and_nothing_is_late() -> None:
    admission = Admission()
    admission.limit = 300.0
    for _ in range(100):
        admission.look(0.0)
    assert admission.limit == 300
    admission.busy = 300
    admission.look(0.75 * LATE_S)
    assert admission.limit == 300
    for _ in range(100):
        admission.busy = int(admission.limit)
        admission.look(0.0)
    assert admission.limit == MOST


def test_who_is_turned_away_is_told_when_to_come_back_and_nothing_reaches_the_service(
    shop: Served, orders: Recorder, admission: Held
) -> None:
    admission.limit = 0.0
    before = [shed(name) for name in ("keep", "change", "create", "list")]
    for (method, target), rank in ALL.items():
        body = b"{}" if method in ("POST", "PUT") else None
        answer = shop.request(method, target, body, {"X-Correlation-Id": "mine", "Idempotency-Key": "k"})
        if method == "HEAD":
            assert answer.status == 503
            continue
        assert answer.problem() == (503, "service-unavailable")
        assert answer.json()["correlationId"] == "mine"
        assert answer.headers["retry-after"] == ("1" if rank == KEEP else "2")
        assert answer.headers["cache-control"] == "no-store"
        assert "connection" not in answer.headers
    assert orders.asked == []
    assert admission.busy == 0
    after = [shed(name) for name in ("keep", "change", "create", "list")]
    assert [b - a for a, b in zip(before, after, strict=True)] == [2, 7, 1, 2]


def test_health_and_metrics_answer_however_busy_the_process_is(shop: Served, orders: Recorder, admission: Held) -> None:
    admission.limit = 0.0
    assert [shop.get(path).status for path in NEVER] == [200] * len(NEVER)
    assert admission.busy == 0


def test_a_connection_goes_on_after_it_was_turned_away(shop: Served, orders: Recorder, admission: Held) -> None:
    admission.limit = 0.0
    create = b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    pay = f"POST {ORDER}/payment HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with shop.connect() as connection:
        connection.sendall(create + create)
        assert statuses(connection, 2) == [503, 503]
        for byte in create[:-1]:
            connection.sendall(bytes([byte]))
        connection.sendall(create[-1:])
        assert read(connection).status == 503
        admission.limit = 100.0
        connection.sendall(pay)
        answer = read(connection)
        assert (answer.status, answer.body) == (200, BODY)
    assert len(orders.asked) == 1


def test_a_large_body_that_is_not_wanted_is_read_and_thrown_away(shop: Served, admission: Held) -> None:
    admission.limit = 0.0
    with shop.connect() as connection:
        head = f"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: {300 * 1024}\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 300 * 1024)
        assert read(connection).status == 503
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read(connection).status == 200


@pytest.mark.parametrize(
    "head",
    [
        "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "POST /api/v1/orders HTTP/1.0\r\n\r\n",
    ],
    ids=["waits for leave to send its body", "wants no other answer", "old HTTP"],
)
def test_a_connection_that_cannot_go_on_ends_with_the_answer(shop: Served, admission: Held, head: str) -> None:
    admission.limit = 0.0
    with shop.connect() as connection:
        connection.sendall(head.encode())
        answer = read(connection)
        assert answer.problem() == (503, "service-unavailable")
        assert answer.headers["connection"] == "close"
        assert closed(connection)


def test_every_place_is_given_back_whatever_became_of_the_request(
    shop: Served, orders: Recorder, admission: Held
) -> None:
    admission.limit = 1.0
    cancel = f"POST {ORDER}/cancel HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    half = b"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    for error, status in ((None, 200), (OutOfStock(()), 409)):
        orders.error = error
        for _ in range(3):
            assert shop.get(ORDER).status == status
            assert shop.request("HEAD", ORDER).status == status
            assert shop.get(f"{ORDER}/").status == 404
            assert shop.request("PUT", ORDER, b"").status == 405
            with shop.connect() as connection:
                connection.sendall(half)  # and goes away
            with shop.connect() as connection:
                connection.sendall(cancel * 3)
                assert statuses(connection, 3) == [status] * 3
    orders.error = RuntimeError("a fault")
    assert shop.get(ORDER).status == 500
    assert admission.busy == 0
