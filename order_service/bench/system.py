"""The system that is measured: real PostgreSQL and Kafka at full durability, cheap partners, and the service itself."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil  # type: ignore[import-untyped]

from order_service.auth.api_keys import digest_of, new_key
from order_service.embedded import Kafka, LauncherError, Postgres, ports
from order_service.embedded.child import Child
from order_service.relay import READER
from order_service.store.api_keys import create_api_key
from order_service.store.migrate import migrate
from order_service.store.statements import connect_one, fetchval

_READY_WITHIN_S = 60.0
_DRAINED_WITHIN_S = 120.0
_STOPS_WITHIN_S = 30.0


class System:
    """Everything in a folder of its own that is removed at the end; the service runs with its defaults, AUTH on.

    Use it from the main thread: the servers end with it.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="order-service-bench-"))
        self.key = new_key()
        self.url = ""
        self.postgres = Postgres(self.folder)
        self.kafka = Kafka(self.folder)
        self._roots: dict[str, list[int]] = {}
        self._services: list[Child] = []
        self._partners = ""
        self._say = say
        self._open = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def cpu_s(self) -> dict[str, float]:
        """Seconds of CPU that each part has used so far, with all its processes."""
        return {part: sum(map(_cpu_of, roots)) for part, roots in self._roots.items()}

    def memory_mb(self) -> dict[str, float]:
        """Megabytes that each part holds in memory; pages shared by processes count once where the system tells."""
        return {part: sum(map(_memory_of, roots)) for part, roots in self._roots.items()}

    def start_service(self) -> str:
        """Start one more replica; returns its address when it is ready."""
        port = ports.free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("ORDER_SERVICE_")}
        environment = clean | self._environment() | {"ORDER_SERVICE_PORT": str(port)}
        name = f"service-{len(self._services) + 1}"
        service = self._child(name, "order_service", "serve", env=environment)
        self._services.append(service)
        self._roots["service"] = [child.pid for child in self._services]
        url = f"http://127.0.0.1:{port}"
        _await_ready(f"{url}/readyz", service)
        return url

    def stop_services(self) -> None:
        """End every replica, as a deployment does."""
        for service in self._services:
            service.stop([(signal.SIGTERM, _STOPS_WITHIN_S)])
        self._services.clear()
        self._roots["service"] = []

    def partners_take(self, latency_s: float) -> None:
        """From now on partners answer after so many seconds."""
        wish = json.dumps({"latencyMs": latency_s * 1000}).encode()
        request = urllib.request.Request(f"{self._partners}/control", wish, method="POST")  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310
            pass

    async def drained(self, within_s: float = _DRAINED_WITHIN_S) -> None:
        """Return when the broker has acknowledged every event that is due."""
        until = time.monotonic() + within_s
        connection = await connect_one(self.postgres.dsn())
        try:
            while await fetchval(connection, "reader_lag", name=READER) is not None:
                if time.monotonic() > until:
                    raise LauncherError(f"The relay did not drain within {within_s:.0f} seconds.")
                await asyncio.sleep(0.05)
        finally:
            await connection.close()

    # --- start and end ---

    def _start(self) -> None:
        self._say("starting PostgreSQL")
        self._open.enter_context(self.postgres)
        self._say("starting Kafka")
        self._open.enter_context(self.kafka)
        self._say("starting partners and service")
        asyncio.run(self._prepare())
        partners = self._child("partners", "order_service.bench.partners", "--die-with-parent", env=dict(os.environ))
        self._partners = _address(partners)
        self._roots = {"postgres": [self.postgres.pid], "broker": [self.kafka.pid], "partners": [partners.pid]}
        self.url = self.start_service()

    async def _prepare(self) -> None:
        await migrate(self.postgres.dsn())
        connection = await connect_one(self.postgres.dsn())
        try:
            await create_api_key(
                connection, digest=digest_of(self.key), scope="service", user=None, name="bench", expires_in_s=None
            )
        finally:
            await connection.close()

    def _environment(self) -> dict[str, str]:
        settings = {
            "DATABASE_URL": self.postgres.dsn(),
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap,
            **{f"{name}_URL": self._partners for name in ("PAYMENT", "INVENTORY", "CART")},
            "DATA_DIR": str(self.folder),
        }
        return {f"ORDER_SERVICE_{name}": value for name, value in settings.items()}

    def _child(self, name: str, module: str, *arguments: str, env: dict[str, str]) -> Child:
        log = self.folder / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        child = Child((sys.executable, "-m", module, *arguments), log=log, cwd=self.folder, env=env)
        self._open.callback(child.stop, [(signal.SIGTERM, 10.0)])
        return child

    def _close(self) -> None:
        self._open.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _cpu_of(root: int) -> float:
    """Of a process, its descendants, and those of them that have ended."""
    total = 0.0
    process = psutil.Process(root)
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _memory_of(root: int) -> float:
    """Of a process and its descendants, in megabytes."""
    total = 0
    process = psutil.Process(root)
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss if psutil.LINUX else one.memory_info().rss
        except psutil.Error:
            continue
    return total / 2**20


def _address(partners: Child) -> str:
    until = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < until and partners.exit_code is None:
        for line in partners.output().splitlines():
            if line.startswith("{"):
                return str(json.loads(line)["url"])
        time.sleep(0.02)
    raise LauncherError(f"The partners did not start; the last lines were:\n{partners.tail()}")


def _await_ready(url: str, service: Child) -> None:
    until = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < until and service.exit_code is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise LauncherError(f"The service did not get ready; the last lines were:\n{service.tail()}")
