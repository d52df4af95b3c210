"""Clients that send slowly, too much, or never read: none of them holds a connection for long."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from select import select

import pytest

from order_service.api.app import create_app
from order_service.api.protocol import MAX_HEAD
from order_service.api.server import Limits
from order_service.requests import Reply

from .corpus import ORDER, ORDERS
from .recorder import Recorder
from .wire import Served, closed, read

HASTY = Limits(head_timeout_s=0.6, body_grace_s=1.5, write_timeout_s=0.6, keep_alive_s=1, connections=250)
BODY_TIMEOUT_S = 0.6
HEAD = f"POST {ORDERS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def hasty_orders() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def hasty(hasty_orders: Recorder) -> Iterator[Served]:
    with Served(create_app(hasty_orders, body_timeout_s=BODY_TIMEOUT_S), HASTY) as served:
        yield served


def waits_while_others_are_served(hasty: Served, connection: socket.socket) -> bool:
    """Nothing has come, nor has it been closed, by the time that a request sent later is answered."""
    assert hasty.get("/livez").status == 200
    return not select([connection], [], [], 0)[0]


def test_half_a_head_is_answered_408_and_closed(hasty: Served) -> None:
    with hasty.connect(3) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert waits_while_others_are_served(hasty, connection)
        answer = read(connection)
        assert answer.problem() == (408, "request-timeout")
        assert answer.headers["connection"] == "close"
        assert closed(connection)


def test_a_head_that_trickles_in_gains_no_time(hasty: Served) -> None:
    with hasty.connect() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        connection.settimeout(0.1)
        received = b""
        for _ in range(30):
            try:
                connection.sendall(b"a")
                received += connection.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                break
            if received.startswith(b"HTTP/1.1 408"):
                break
    assert received.startswith(b"HTTP/1.1 408 ")


def test_a_connection_that_says_nothing_is_closed(hasty: Served) -> None:
    with hasty.connect(5) as connection:
        assert waits_while_others_are_served(hasty, connection)
        assert connection.recv(1) == b""


def test_empty_lines_do_not_keep_a_connection(hasty: Served) -> None:
    with hasty.connect(5) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read(connection).status == 200
        connection.sendall(b"\r\n")
        assert closed(connection)


@pytest.mark.parametrize("framing", ["Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"])
def test_half_a_body_is_answered_408_and_closed(hasty: Served, hasty_orders: Recorder, framing: str) -> None:
    hasty_orders.reset()
    with hasty.connect(3) as connection:
        connection.sendall((HEAD + framing).encode())
        assert waits_while_others_are_served(hasty, connection)
        answer = read(connection)
        assert answer.problem() == (408, "request-timeout")
        assert answer.headers["connection"] == "close"
        assert closed(connection)
    assert hasty_orders.asked == []


def test_a_body_that_nobody_reads_is_cut_off(hasty: Served) -> None:
    with hasty.connect() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert read(connection).status == 200
        connection.settimeout(0.1)
        for _ in range(50):
            try:
                connection.sendall(b"a")
                assert connection.recv(1) == b""
                break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            pytest.fail("the connection is still open")


def test_a_client_that_never_reads_its_answers_is_cut_off(hasty: Served, hasty_orders: Recorder) -> None:
    hasty_orders.reset()
    hasty_orders.reply = Reply(200, b'"' + b"x" * 30_000_000 + b'"', 1)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", hasty.port))
        connection.sendall(f"GET {ORDER} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        time.sleep(2.5)
        received = 0
        try:
            while piece := connection.recv(1_000_000):
                received += len(piece)
        except ConnectionResetError:
            pass
    assert received < 30_000_000


def test_one_who_reads_slowly_but_steadily_gets_all(hasty: Served, hasty_orders: Recorder) -> None:
    hasty_orders.reset()
    hasty_orders.reply = Reply(200, b'"' + b"x" * 8_000_000 + b'"', 1)
    with hasty.connect() as connection:
        connection.sendall(f"GET {ORDER} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = 0
        while piece := connection.recv(400_000):
            received += len(piece)
            time.sleep(0.05)
    assert received > 8_000_000


@pytest.mark.parametrize("size", [MAX_HEAD + 1, 100_000, 5_000_000])
def test_a_head_beyond_32_kib_is_431(hasty: Served, size: int) -> None:
    with hasty.connect() as connection:
        data = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * size + b"\r\n\r\n"
        try:
            connection.sendall(data)
        except OSError:
            assert size > 1_000_000  # the server had closed before all of it was sent
            return
        try:
            answer = read(connection)
        except ConnectionResetError:
            assert size > 1_000_000
            return
        assert answer.problem() == (431, "headers-too-large")


def test_a_head_beyond_32_kib_is_refused_before_it_ends(hasty: Served) -> None:
    with hasty.connect() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ")
        for _ in range(5):
            time.sleep(0.02)
            connection.sendall(b"a" * 7_000)
        assert read(connection).problem() == (431, "headers-too-large")
        assert closed(connection)


def test_many_small_headers_count_as_one_head(hasty: Served) -> None:
    data = b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(4_000)) + b"\r\n"
    assert hasty.raw(data).problem() == (431, "headers-too-large")


def test_a_long_path_counts_as_head_too(hasty: Served) -> None:
    assert hasty.raw(b"GET /" + b"a" * MAX_HEAD + b" HTTP/1.1\r\nHost: x\r\n\r\n").problem() == (
        431,
        "headers-too-large",
    )


def test_a_head_just_below_the_limit_is_served(hasty: Served) -> None:
    data = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * (MAX_HEAD - 100) + b"\r\n\r\n"
    assert hasty.raw(data).status == 200
    with hasty.connect() as connection:
        for start in range(0, len(data), 10_000):
            connection.sendall(data[start : start + 10_000])
            time.sleep(0.02)
        assert read(connection).status == 200


def test_slow_clients_do_not_keep_others_waiting(hasty: Served) -> None:
    idle = [hasty.connect() for _ in range(200)]
    for connection in idle:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-")
    assert waits_while_others_are_served(hasty, idle[-1])
    for connection in idle:
        assert connection.recv(12) == b"HTTP/1.1 408"
        connection.close()


def test_one_connection_too_many_is_told_to_come_back(hasty: Served) -> None:
    crowd = [hasty.connect() for _ in range(250)]
    with hasty.connect() as connection:
        answer = read(connection)
        assert answer.problem() == (503, "service-unavailable")
        assert (answer.headers["retry-after"], answer.headers["connection"]) == ("2", "close")
    for connection in crowd:
        connection.close()
    for _ in range(100):
        if hasty.get("/livez").status == 200:
            return
        time.sleep(0.05)
    pytest.fail("the connections that were closed still count")
