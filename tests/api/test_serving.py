"""One process from its first connection to its last answer."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from .corpus import ORDER
from .recorder import BODY
from .wire import Served, closed, read


class Process(Served):
    """The wire to a server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def rest(self) -> list[str]:
        """What it still had to say."""
        out, _ = self.process.communicate(timeout=20)
        return out.split("\n")[:-1]


@contextmanager
def serving(*, drain_s: float = 0, graceful_s: int = 5) -> Iterator[Process]:
    command = [sys.executable, "-m", "tests.api.serve_once", str(drain_s), str(graceful_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield Process(process, int(process.stdout.readline()))
        finally:
            process.kill()


def slow(api: Process, seconds: float) -> tuple[int, bytes]:
    answer = api.post(f"{ORDER}/cancel", {"reason": str(seconds)})
    return answer.status, answer.body


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_under_way_finish_and_then_returns(number: signal.Signals) -> None:
    with serving() as api, ThreadPoolExecutor() as threads:
        answers = [threads.submit(slow, api, 1.5) for _ in range(3)]
        time.sleep(0.7)
        api.process.send_signal(number)
        assert [answer.result(10) for answer in answers] == [(200, BODY)] * 3
        assert api.rest() == ["draining", "worked", "worked", "worked", "served"]
        assert api.process.returncode == 0


def test_new_connections_are_refused_once_the_door_is_closed_but_idle_ones_end_at_once() -> None:
    with serving() as api, ThreadPoolExecutor() as threads:
        idle = api.connect()
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read(idle).status == 200
        answer = threads.submit(slow, api, 2)
        time.sleep(0.7)
        api.process.send_signal(signal.SIGTERM)
        assert closed(idle)
        time.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            api.connect()
        assert answer.result(10) == (200, BODY)


def test_while_it_drains_it_serves_but_says_that_it_is_not_ready() -> None:
    with serving(drain_s=2.5) as api:
        assert api.get("/readyz").status == 200
        api.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert api.get("/readyz").problem() == (503, "not-ready")
        assert api.get("/livez").status == 200
        assert slow(api, 0.1) == (200, BODY)
        time.sleep(0.9)
        assert api.get("/livez").status == 200
        assert api.rest() == ["draining", "worked", "served"]


def test_a_request_that_takes_too_long_is_told_so_when_the_time_is_up() -> None:
    with serving(graceful_s=1) as api, ThreadPoolExecutor() as threads:
        answer = threads.submit(api.post, f"{ORDER}/cancel", {"reason": "30"})
        time.sleep(0.7)
        api.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert not answer.done()
        refused = answer.result(5)
        assert refused.problem() == (503, "service-unavailable")
        assert refused.headers["connection"] == "close"
        assert api.rest() == ["draining", "served"]


def test_a_client_that_hangs_up_does_not_stop_what_it_asked_for() -> None:
    with serving() as api:
        with api.connect() as connection:
            body = b'{"reason": "0.5"}'
            head = f"POST {ORDER}/cancel HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert api.get("/livez").status == 200
        api.process.send_signal(signal.SIGTERM)
        assert api.rest() == ["draining", "worked", "served"]
