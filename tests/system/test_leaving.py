"""Processes that end or are replaced, and clients that leave: nobody else notices, and nothing of them stays."""

from __future__ import annotations

import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import psutil

from tests.system.harness import System, basket

JSON = {"Content-Type": "application/json"}
BASKET = json.dumps(basket())


def test_a_connection_outlives_the_process_that_served_it(database: str, kafka: Any, tmp_path: Any) -> None:
    with System(database, kafka.bootstrap, tmp_path, WORKERS="2") as system:
        parent = system.start_service()
        system.until(lambda: len(_workers(parent.pid)) == 2)
        old = _workers(parent.pid)
        with closing(_connection(system)) as kept:
            assert _ask(kept, "GET", "/livez").status == 200
            door = kept.sock
            parent.send_signal(signal.SIGHUP)

            def replaced() -> bool:
                assert _ask(kept, "GET", "/livez").status == 200
                return len(_workers(parent.pid)) == 2 and not old & _workers(parent.pid)

            system.until(replaced)
            answer = _ask(kept, "POST", "/api/v1/orders", BASKET)
            assert (answer.status, answer.getheader("connection")) == (201, None)
            assert kept.sock is door
        assert system.stop_service() == 0


def test_the_end_of_the_service_breaks_off_no_request(database: str, kafka: Any, tmp_path: Any) -> None:
    with System(database, kafka.bootstrap, tmp_path, WORKERS="2") as system, ExitStack() as stack:
        parent = system.start_service()
        system.until(lambda: len(_workers(parent.pid)) == 2)
        kept = [stack.enter_context(closing(_connection(system))) for _ in range(16)]
        for connection in kept:
            assert _ask(connection, "GET", "/livez").status == 200
        for connection in kept:
            connection.request("POST", "/api/v1/orders", BASKET, JSON)
        parent.send_signal(signal.SIGTERM)
        with ThreadPoolExecutor(len(kept)) as threads:
            answers = list(threads.map(_read, kept))
        assert {answer.status for answer in answers} <= {201, 202}
        assert parent.wait(60) == 0
        assert system.rows("select count(*) as orders from orders") == [{"orders": len(kept)}]


def test_clients_that_hang_up_in_the_middle_leave_nothing_behind(system: System) -> None:
    assert system.service is not None
    service = psutil.Process(system.service.pid)
    system.place()
    body = BASKET.encode()
    head = f"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    request = head.encode() + b"\r\n\r\n" + body
    for sent in (len(head) - 10, len(request) - 10, len(request)):
        for _ in range(40):
            with socket.create_connection(("127.0.0.1", system.port), timeout=60) as connection:
                connection.sendall(request[:sent])
    system.until(lambda: not [c for c in service.net_connections() if c.laddr.port == system.port and c.raddr])
    system.until(lambda: _gauge(system, "order_service_requests_under_way") == 0)
    system.await_no_open_calls()
    # A client that has sent all of its request is served, whether it stays or not; the others have asked for nothing.
    system.until(lambda: system.rows("select count(*) as orders from orders") == [{"orders": 41}])
    in_transaction = "select count(*) as left_open from pg_stat_activity where state like 'idle in transaction%'"
    assert system.rows(f"{in_transaction} and datname = current_database()") == [{"left_open": 0}]
    assert system.place()["status"] == "pending"
    assert system.stop_service() == 0


def _workers(parent: int) -> set[int]:
    return {child.pid for child in psutil.Process(parent).children()}


def _connection(system: System) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", system.port, timeout=60)


def _ask(connection: HTTPConnection, method: str, path: str, body: str | None = None) -> HTTPResponse:
    connection.request(method, path, body, JSON)
    return _read(connection)


def _read(connection: HTTPConnection) -> HTTPResponse:
    answer = connection.getresponse()
    assert answer.read()
    return answer


def _gauge(system: System, name: str) -> float:
    lines = system.call("GET", "/metrics").body.decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))
