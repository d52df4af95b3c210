"""The whole system in one foreground command: what has no address given is started here, and stopped at the end.

Every part is a process of its own that ends with this one, however this one ends. PostgreSQL is stopped last, the
service first. A service that dies is started again: what it owed is in the database.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from order_service.config import Settings
from order_service.embedded import Kafka, LauncherError, Postgres, ports
from order_service.embedded.child import Child
from order_service.store.migrate import migrate
from order_service.wiring import CannotStart, listen

READY_WITHIN_S = 60.0
SHORTEST_LIFE_S = 5.0
"""A service that dies sooner than this after its start, three times in a row, is not started again."""

_AUTH = {
    "off": "off: whoever reaches the API is staff",
    "on": "on: make a key with `order-service keys create`",
}
DRAIN_S = 20.0
SANDBOX_STOP_S = 3.0


class _Stop(Exception):
    """Somebody wants the system to stop."""


class Dev:
    """Starts the parts in order, watches them, and stops them in the opposite order."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._data = settings.data_dir.resolve()
        self._stack = ExitStack()
        self._pids: dict[str, Callable[[], int]] = {}
        self._urls: dict[str, str] = {}
        self._service: Child | None = None

    def run(self) -> None:
        """Run until SIGINT or SIGTERM; raises ``LauncherError`` with one sentence where it cannot."""
        self._settings.check_auth()
        try:
            listen(self._settings.host, self._settings.port).close()
        except CannotStart as error:
            raise LauncherError(str(error)) from None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _raise_stop)
        try:
            with self._stack:
                self._start()
                self._watch()
        except _Stop:
            self._say("Stopped.")

    # --- start ---

    def _start(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        self._urls["database"] = self._settings.database_url or self._start_postgres()
        self._urls["kafka"] = self._settings.kafka_bootstrap_servers or self._start_kafka()
        self._start_partners()
        self._say("Bringing the database's schema up to date.")
        asyncio.run(migrate(self._urls["database"]))
        self._stack.callback(self._stop_service)
        self._stack.callback(self._forget_endpoints)
        self._start_service()
        self._announce()

    def _start_postgres(self) -> str:
        server = Postgres(self._data, progress=self._say)
        self._say("Starting PostgreSQL.")
        self._stack.enter_context(server)
        self._pids["postgres"] = lambda: server.pid
        return server.dsn()

    def _start_kafka(self) -> str:
        server = Kafka(self._data, progress=self._say)
        self._say("Starting Kafka.")
        self._stack.enter_context(server)
        self._pids["kafka"] = lambda: server.pid
        return server.bootstrap

    def _start_partners(self) -> None:
        given = {
            "payment": self._settings.payment_url,
            "inventory": self._settings.inventory_url,
            "cart": self._settings.cart_url,
        }
        if not all(given.values()):
            sandbox = self._start_sandbox()
            given = {name: url or sandbox for name, url in given.items()}
        self._urls |= {name: url for name, url in given.items() if url}

    def _start_sandbox(self) -> str:
        self._say("Starting the sandbox partners.")
        port = ports.free_port()
        folder = self._data / "sandbox"
        child = Child(
            [
                *(sys.executable, "-m", "order_service.sandbox"),
                *("--port", str(port), "--data", folder, "--die-with-parent"),
            ],
            log=self._log("sandbox"),
            cwd=self._data,
            env=os.environ,
        )
        self._stack.callback(child.stop, [(signal.SIGTERM, SANDBOX_STOP_S)])
        self._pids["sandbox"] = lambda: child.pid
        url = f"http://127.0.0.1:{port}"
        _await_answer(f"{url}/health", child, "The sandbox partners")
        return url

    def _start_service(self) -> None:
        env = dict(os.environ)
        env |= {
            "ORDER_SERVICE_DATABASE_URL": self._urls["database"],
            "ORDER_SERVICE_KAFKA_BOOTSTRAP_SERVERS": self._urls["kafka"],
            "ORDER_SERVICE_PAYMENT_URL": self._urls["payment"],
            "ORDER_SERVICE_INVENTORY_URL": self._urls["inventory"],
            "ORDER_SERVICE_CART_URL": self._urls["cart"],
            "ORDER_SERVICE_AUTH": self._settings.auth,
            "ORDER_SERVICE_HOST": self._settings.host,
            "ORDER_SERVICE_PORT": str(self._settings.port),
        }
        env.setdefault("ORDER_SERVICE_DRAIN_IDLE", "0")  # whoever stops it sits in front of it
        if self._settings.jwt_jwks_file is not None:
            env["ORDER_SERVICE_JWT_JWKS_FILE"] = str(self._settings.jwt_jwks_file.resolve())
        self._say("Starting the order service.")
        self._service = Child(
            [sys.executable, "-m", "order_service", "serve"],
            log=self._log("service"),
            cwd=self._data,
            env=env,
            death_signal=signal.SIGTERM,
        )
        self._pids["service"] = lambda: self._service.pid if self._service else 0
        host = "127.0.0.1" if self._settings.host == "localhost" else self._settings.host
        self._urls["api"] = f"http://{f'[{host}]' if ':' in host else host}:{self._settings.port}"
        _await_answer(f"{self._urls['api']}/health", self._service, "The order service")
        self._write_endpoints()

    def _stop_service(self) -> None:
        if self._service is not None:
            self._service.stop([(signal.SIGTERM, DRAIN_S)])

    def _forget_endpoints(self) -> None:
        """Only what this launcher wrote: a second one on the same data must not take the first one's away."""
        if "api" in self._urls:
            self._endpoints_file.unlink(missing_ok=True)

    @property
    def _endpoints_file(self) -> Path:
        return self._data / "endpoints.json"

    def _log(self, name: str) -> Path:
        folder = self._data / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.log"

    def _write_endpoints(self) -> None:
        content = {
            "api": self._urls["api"],
            "console": None,
            **{name: self._urls[name] for name in ("database", "kafka", "payment", "inventory", "cart")},
            "pids": {"launcher": os.getpid(), **{name: pid() for name, pid in self._pids.items()}},
        }
        scratch = self._endpoints_file.with_suffix(".tmp")
        scratch.touch(mode=0o600)
        scratch.write_text(json.dumps(content, indent=1))
        scratch.replace(self._endpoints_file)

    def _announce(self) -> None:
        self._say(
            f"Ready.\n  API   {self._urls['api']}/api/v1/orders\n  Docs  {self._urls['api']}/docs\n"
            f"  Logs  {self._data / 'logs'}\n  Auth  {_AUTH[self._settings.auth]}\nStop with Ctrl-C."
        )

    # --- watch ---

    def _watch(self) -> None:
        """Start the service again when it dies; without its database or broker, started here, stop."""
        failures = 0
        started = time.monotonic()
        while True:
            time.sleep(0.2)
            service = self._service
            assert service is not None
            if service.exit_code is None:
                continue
            failures = failures + 1 if time.monotonic() - started < SHORTEST_LIFE_S else 1
            if failures > 2:
                raise LauncherError(f"The order service keeps ending; its last lines were:\n{service.tail()}")
            self._say(f"The order service ended (exit code {service.exit_code}); starting it again.")
            started = time.monotonic()
            self._start_service()
            self._say("The order service is ready again.")


def _raise_stop(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # once is enough: a second one would interrupt the clean stop
    print("Stopping; the service finishes what it is doing.", flush=True)
    raise _Stop


def _await_answer(url: str, child: Child, what: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if child.exit_code is not None:
            raise LauncherError(f"{what} ended while starting; the last lines were:\n{child.tail()}")
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.05)
    raise LauncherError(f"{what} did not get ready within {READY_WITHIN_S:.0f} seconds; see {child.log}.")
