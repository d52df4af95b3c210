"""`order-service dev`, which is what `make run` runs: real servers and processes, started and stopped by signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from order_service.embedded import ports
from tests.system.harness import PATIENCE_S, System, basket


class Dev:
    """One `order-service dev` in a process group of its own, on a data folder that outlives it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = ports.free_port()
        self._started: list[subprocess.Popen[bytes]] = []

    def command(self, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the product to its end."""
        return subprocess.run(
            [sys.executable, "-m", "order_service", *argv],
            env=self._env(env),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def _env(self, more: dict[str, str]) -> dict[str, str]:
        own = {"ORDER_SERVICE_DATA_DIR": str(self.data), "ORDER_SERVICE_PORT": str(self.port)}
        clean = {k: v for k, v in os.environ.items() if not k.startswith("ORDER_SERVICE_")}
        return clean | own | more

    def start(self, **env: str) -> subprocess.Popen[bytes]:
        """Start it and return when /health answers."""
        with (self.data.parent / "dev.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "order_service", "dev"],
                stdout=log,
                stderr=log,
                env=self._env(env),
                start_new_session=True,
            )
        self._started.append(process)
        System.until(lambda: self._healthy(process))
        System.until((self.data / "endpoints.json").exists)
        return process

    def _healthy(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, (self.data.parent / "dev.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One request to the API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            decoded: dict[str, Any] = json.load(answer)
            return decoded

    def pids(self) -> dict[str, int]:
        """The processes that the launcher says it runs."""
        found: dict[str, int] = json.loads((self.data / "endpoints.json").read_text())["pids"]
        return found

    def end(self) -> None:
        """Leave nothing behind, whatever the test did."""
        for process in self._started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    """A launcher on an empty data folder."""
    running = Dev(tmp_path / "data")
    yield running
    running.end()


def _family(pids: dict[str, int]) -> list[psutil.Process]:
    found = [psutil.Process(pid) for pid in pids.values()]
    return found + [child for process in found for child in process.children(recursive=True)]


def _none_alive(family: list[psutil.Process]) -> Callable[[], bool]:
    return lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family)


def test_two_lives_by_demo_then_a_clean_stop_and_a_second_start_on_the_same_data(dev: Dev) -> None:
    process = dev.start()
    known = json.loads((dev.data / "endpoints.json").read_text())
    assert known["api"] == f"http://127.0.0.1:{dev.port}"
    assert set(known) >= {"api", "console", "database", "kafka", "payment", "inventory", "cart", "pids"}
    demo = dev.command("demo", "--json")
    assert demo.returncode == 0, demo.stderr
    delivered, refunded = json.loads(demo.stdout)
    assert delivered["order"]["status"] == "delivered"
    assert refunded["order"]["status"] == "refunded"
    sent = [event["type"] for entry in delivered["timeline"] for event in entry["events"]]
    assert sent[0] == "order.created"
    assert sent[-2:] == ["order.delivered", "order.status_changed"]
    shown = dev.command("show", delivered["order"]["orderNumber"], "--json")
    assert json.loads(shown.stdout)["order"]["id"] == delivered["order"]["id"]
    assert dev.command("show", delivered["order"]["id"]).returncode == 0
    missing = dev.command("show", "nothing-like-this")
    assert (missing.returncode, missing.stderr) == (1, "order-service: there is no order nothing-like-this.\n")

    family = _family(dev.pids())
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0
    System.until(_none_alive(family))
    assert not (dev.data / "endpoints.json").exists()

    again = dev.start()
    assert dev.call("GET", f"/api/v1/orders/{delivered['order']['id']}")["status"] == "delivered"
    again.send_signal(signal.SIGTERM)
    assert again.wait(PATIENCE_S) == 0


def test_a_killed_launcher_leaves_no_process_and_the_next_start_finishes_the_order(dev: Dev) -> None:
    process = dev.start()
    order = dev.call("POST", "/api/v1/orders", basket())
    family = _family(dev.pids())
    pay = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import sys, urllib.request; urllib.request.urlopen(urllib.request.Request(sys.argv[1], "
            'data=b\'{"paymentMethod": {"token": "tok_timeout_after"}}\', '
            "headers={'Content-Type': 'application/json'}, method='POST'))",
            f"http://127.0.0.1:{dev.port}/api/v1/orders/{order['id']}/payment",
        ],
        stderr=subprocess.DEVNULL,
    )
    sandbox = json.loads((dev.data / "endpoints.json").read_text())["payment"]

    def charged() -> bool:
        with urllib.request.urlopen(f"{sandbox}/sandbox/ledger", timeout=5) as answer:
            return b'"charge"' in answer.read()

    System.until(charged)
    process.kill()
    process.wait()
    pay.wait(PATIENCE_S)
    System.until(_none_alive(family))

    dev.start()
    deadline = time.monotonic() + PATIENCE_S
    while dev.call("GET", f"/api/v1/orders/{order['id']}")["status"] != "confirmed":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    sandbox = json.loads((dev.data / "endpoints.json").read_text())["payment"]
    with urllib.request.urlopen(f"{sandbox}/sandbox/ledger", timeout=5) as answer:
        assert answer.read().count(b'"charge"') == 1


def test_a_second_launcher_on_the_same_data_is_refused_and_disturbs_nothing(dev: Dev) -> None:
    dev.start()
    known = (dev.data / "endpoints.json").read_text()
    second = dev.command("dev", ORDER_SERVICE_PORT=str(ports.free_port()))
    assert second.returncode == 1
    assert second.stderr.startswith("order-service: ")
    assert second.stderr.count("\n") == 1
    assert (dev.data / "endpoints.json").read_text() == known
    assert dev.call("GET", "/health")["status"] == "healthy"


def test_a_killed_service_is_started_again(dev: Dev) -> None:
    process = dev.start()
    first = dev.pids()["service"]
    os.kill(first, signal.SIGKILL)
    System.until(lambda: dev.pids().get("service") not in (first, None) and dev._healthy(process))


def test_a_port_in_use_is_one_plain_sentence_and_exit_code_1(dev: Dev) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", dev.port))
        taken.listen()
        refused = dev.command("dev")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"order-service: Port {dev.port} on 127.0.0.1 cannot be used (address already in use); "
        "set PORT to another one.\n"
    )


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LEASE", "1", "REQUEST_DEADLINE < PARTNER_TIMEOUT < LEASE"),
        ("PORT", "many", "ORDER_SERVICE_PORT"),
        ("AUTH", "maybe", "ORDER_SERVICE_AUTH"),
        ("HOST", "0.0.0.0", "AUTH=off is allowed on a loopback host only"),
    ],
)
def test_a_broken_setting_is_one_plain_sentence_and_exit_code_1(dev: Dev, name: str, value: str, told: str) -> None:
    refused = dev.command("dev", **{f"ORDER_SERVICE_{name}": value})
    assert refused.returncode == 1
    assert told in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert "Traceback" not in refused.stderr
