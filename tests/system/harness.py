"""Starts, kills and questions a running system the way an operator would: by processes, sockets and SQL."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import asyncpg
from confluent_kafka import Consumer, Message, TopicPartition

from order_service.embedded import ports

T = TypeVar("T")
PATIENCE_S = 60.0
"""Bounds a wait for what must happen; nothing is asserted about how long it took."""


class Answer:
    """One HTTP answer, whole."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


class Event:
    """One record of the events topic."""

    def __init__(self, message: Message) -> None:
        self.partition = message.partition()
        self.offset = message.offset()
        self.key = (message.key() or b"").decode()
        self.headers = {name: value.decode() for name, value in message.headers() or []}
        self.type = self.headers["ce_type"]
        self.value = json.loads(message.value() or b"{}")
        self.raw = message.value()


def basket(**changes: Any) -> dict[str, Any]:
    """A body that creates an order of 2 x 19.99 + 1 x 89.50, shipping 5.00, tax 3.00 (USD)."""
    body: dict[str, Any] = {
        "userId": "user-1",
        "currency": "USD",
        "items": [
            {"productId": "shirt", "sku": "S-1", "name": "Shirt", "quantity": 2, "unitPrice": 1999},
            {"productId": "shoes", "name": "Shoes", "quantity": 1, "unitPrice": 8950},
        ],
        "shippingAddress": {
            "name": "Ada Example",
            "line1": "1 Main Street",
            "city": "Springfield",
            "postalCode": "62701",
            "country": "US",
        },
        "shippingCost": 500,
        "tax": 300,
    }
    return body | changes


class System:
    """The service's processes, its sandbox partners, and the questions a test may ask of all of them."""

    def __init__(self, database: str, bootstrap: str, folder: Path, **env: str) -> None:
        self.database = database
        self.bootstrap = bootstrap
        self.folder = folder
        self.topic = f"orders.{secrets.token_hex(6)}"
        self.port = ports.free_port()
        self.api = f"http://127.0.0.1:{self.port}"
        self.partners = ""
        self.env = env
        self._processes: list[subprocess.Popen[bytes]] = []
        self.service: subprocess.Popen[bytes] | None = None
        self.sandbox: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start_sandbox()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._processes):
            if process.poll() is None:
                process.kill()
            process.wait()
        if kind is not None:
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}")

    # --- processes ---

    def spawn(self, *argv: str, name: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a process that ends with the test; its output goes to a log file."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *argv], stdout=log, stderr=log, env=os.environ | (env or {}), cwd=self.folder
            )
        self._processes.append(process)
        return process

    def start_sandbox(self) -> None:
        """Start the sandbox partners, on the address and the ledger they had before, if they had one."""
        port = self.partners.rpartition(":")[2] or str(ports.free_port())
        self.partners = f"http://127.0.0.1:{port}"
        argv = ("-m", "order_service.sandbox", "--port", port, "--data", "sandbox")
        self.sandbox = self.spawn(*argv, name="sandbox")
        self.await_url(f"{self.partners}/health", self.sandbox)

    def stop_sandbox(self, number: signal.Signals) -> None:
        """End the sandbox by this signal."""
        assert self.sandbox is not None
        self.sandbox.send_signal(number)
        self.sandbox.wait()

    def service_env(self, **more: str) -> dict[str, str]:
        """The settings of one service process."""
        names = {
            "DATABASE_URL": self.database,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            "PAYMENT_URL": self.partners,
            "INVENTORY_URL": self.partners,
            "CART_URL": self.partners,
            "EVENTS_TOPIC": self.topic,
            "PORT": str(self.port),
            "AUTH": "off",
        }
        return {f"ORDER_SERVICE_{name}": value for name, value in (names | self.env | more).items()}

    def start_service(self, **more: str) -> subprocess.Popen[bytes]:
        """Start the service and return when it is ready."""
        self.service = self.spawn("-m", "order_service", "serve", name="service", env=self.service_env(**more))
        self.await_url(f"http://127.0.0.1:{more.get('PORT', self.port)}/readyz", self.service)
        return self.service

    def kill_service(self) -> None:
        """SIGKILL, as a crash would."""
        assert self.service is not None
        self.service.kill()
        self.service.wait()

    def stop_service(self) -> int:
        """SIGTERM; the exit code after the drain."""
        assert self.service is not None
        self.service.send_signal(signal.SIGTERM)
        return self.service.wait(PATIENCE_S)

    def await_url(self, url: str, process: subprocess.Popen[bytes] | None = None) -> None:
        """Wait until the address answers 200."""

        def answers() -> bool:
            if process is not None:
                assert process.poll() is None, "the process ended while starting"
            try:
                with urllib.request.urlopen(url, timeout=2) as reply:
                    return bool(reply.status == 200)
            except OSError:
                return False

        self.until(answers)

    @staticmethod
    def until(holds: Callable[[], T]) -> T:
        """Wait for something that must come true, and return it."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = holds()
            if found:
                return found
            assert time.monotonic() < deadline, f"did not come true: {holds}"
            time.sleep(0.05)

    # --- the API ---

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request."""
        return self.parallel([(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})])[0]

    def parallel(self, requests: list[tuple[str, str, Any, dict[str, str]]], at_once: int = 200) -> list[Answer]:
        """Many requests at once; answers in the order of the requests."""
        return run(self._parallel(requests, at_once))

    async def _parallel(self, requests: list[tuple[str, str, Any, dict[str, str]]], at_once: int) -> list[Answer]:
        connector = aiohttp.TCPConnector(limit=at_once)
        async with aiohttp.ClientSession(self.api, connector=connector) as session:
            return await asyncio.gather(*(self._one(session, *request) for request in requests))

    @staticmethod
    async def _one(
        session: aiohttp.ClientSession, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> Answer:
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json"} | headers if data is not None else headers
        async with session.request(method, path, data=data, headers=headers) as reply:
            return Answer(reply.status, reply.headers.copy(), await reply.read())

    def place(self, **changes: Any) -> dict[str, Any]:
        """Create an order that must succeed at once."""
        answer = self.call("POST", "/api/v1/orders", basket(**changes))
        assert answer.status == 201, answer.body
        order: dict[str, Any] = answer.json
        return order

    def pay(self, order_id: str, token: str | None = "tok_visa", **headers: str) -> Answer:
        """Pay an order."""
        body = None if token is None else {"paymentMethod": {"token": token}}
        return self.call("POST", f"/api/v1/orders/{order_id}/payment", body, **headers)

    def put(self, order_id: str, status: str, **more: Any) -> Answer:
        """PUT a status."""
        return self.call("PUT", f"/api/v1/orders/{order_id}/status", {"status": status, **more})

    def get(self, order_id: str) -> dict[str, Any]:
        """The order as it is now."""
        answer = self.call("GET", f"/api/v1/orders/{order_id}")
        assert answer.status == 200, answer.body
        order: dict[str, Any] = answer.json
        return order

    def await_order(self, order_id: str, **fields: Any) -> dict[str, Any]:
        """Wait until the order has these fields."""

        def has() -> dict[str, Any] | None:
            order = self.get(order_id)
            return order if all(order[name] == value for name, value in fields.items()) else None

        found = self.until(has)
        assert found is not None
        return found

    # --- partners, database, topic ---

    def partner(self, method: str, path: str, body: Any = None) -> Any:
        """Ask or set up the sandbox."""
        request = urllib.request.Request(
            f"{self.partners}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def ledger(self, order_id: str | None = None, kind: str | None = None) -> list[dict[str, Any]]:
        """What the partners did, in order."""
        found = self.partner("GET", "/sandbox/ledger")
        entries = found["items"] if isinstance(found, dict) else found
        return [
            e
            for e in entries
            if (order_id is None or e.get("orderId") == order_id) and (kind is None or e["kind"] == kind)
        ]

    def rows(self, sql: str, *args: Any) -> list[dict[str, Any]]:
        """Ask the database."""

        async def fetch() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self.database)
            try:
                return [dict(row) for row in await connection.fetch(sql, *args)]
            finally:
                await connection.close()

        return run(fetch())

    def await_no_open_calls(self) -> None:
        """Wait until nothing is owed to any partner, deferred checks left out."""
        self.until(
            lambda: (
                self.rows(
                    "select 1 from partner_calls where state = 'open' and kind <> 'late_check' limit 1",
                )
                == []
            )
        )

    def events(self, count: int) -> list[Event]:
        """Read the topic from its beginning until there are ``count`` records and no more come."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"test-{secrets.token_hex(6)}",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        try:
            self.until(lambda: self.topic in consumer.list_topics(timeout=10).topics)
            partitions = consumer.list_topics(self.topic, timeout=10).topics[self.topic].partitions
            consumer.assign([TopicPartition(self.topic, p, 0) for p in partitions])
            found: list[Event] = []
            deadline = time.monotonic() + PATIENCE_S
            quiet_since = time.monotonic()
            while time.monotonic() < deadline:
                message = consumer.poll(0.2)
                if message is not None and message.error() is None:
                    found.append(Event(message))
                    quiet_since = time.monotonic()
                elif len(found) >= count and time.monotonic() - quiet_since > 1.0:
                    break
            return found
        finally:
            consumer.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a loop of its own."""
    return asyncio.run(work)
